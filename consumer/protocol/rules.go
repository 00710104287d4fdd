package protocol

// Shard is what ListShards tells of a shard.
type Shard struct {
	ID      string
	Parents []string
}

// Ready tells whether a shard is to be read now: it is not finished, and all of its parents are, so that the records of a
// key keep their order. A parent that is neither listed nor in the table was finished long ago, or was never ours to read.
func Ready(s Shard, listed func(id string) bool, leases map[string]*Lease) bool {
	if l := leases[s.ID]; l != nil && l.Finished {
		return false
	}
	for _, parent := range s.Parents {
		l := leases[parent]
		if l == nil && listed(parent) || l != nil && !l.Finished {
			return false
		}
	}
	return true
}

// Abandoned tells whether an upload of a shard's file was given up for ever: it is of an epoch that is over, and no commit
// waits to publish it. Uploads of the current epoch may be of a batch that is just being made. The item may be an old view
// of it, since an epoch that is over stays so; nil where there is none.
func Abandoned(l *Lease, epoch int64, upload string) bool {
	if l == nil || epoch >= l.Epoch {
		return false
	}
	if l.Pending != nil {
		for _, f := range l.Pending.Files {
			if f.Upload == upload {
				return false
			}
		}
	}
	return true
}
