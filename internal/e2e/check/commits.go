package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Shard is what the service itself says of a shard, as `sluice shards --json` prints it.
type Shard struct {
	ID       string `json:"shard"`
	Epoch    int64  `json:"epoch"`
	Commit   int64  `json:"commit"`
	Finished bool   `json:"finished"`
	Pending  int    `json:"pending_files"`
}

// Commits holds the objects against the commits that the service says there are: each commit has objects, but for one
// that only tells that a shard has ended; a commit's objects are numbered without a gap; each object is of a commit that
// there is; nothing committed waits to become visible. The service must not be running.
func (o Output) Commits(shards []Shard) error {
	objects, err := o.all()
	if err != nil {
		return err
	}
	var wrong differences
	indices := map[[2]int64][]int64{} // of the objects of a shard's commit
	highest := map[int64]int64{}      // epoch of a shard's objects
	for _, object := range objects {
		commit := [2]int64{object.shard, object.commit}
		indices[commit] = append(indices[commit], object.index)
		highest[object.shard] = max(highest[object.shard], object.epoch)
	}
	for _, s := range shards {
		number, err := ShardNumber(s.ID)
		if err != nil {
			return err
		}
		if s.Pending > 0 {
			wrong.add("%s: %d committed files are not visible", s.ID, s.Pending)
		}
		if highest[number] > s.Epoch {
			wrong.add("%s: there are objects of epoch %d, and the shard is in epoch %d", s.ID, highest[number], s.Epoch)
		}
		for n := int64(1); n <= s.Commit; n++ {
			commit := [2]int64{number, n}
			list := indices[commit]
			delete(indices, commit)
			slices.Sort(list)
			for i, index := range list {
				if index != int64(i) {
					wrong.add("%s: commit %d has objects %v", s.ID, n, list)
					break
				}
			}
			if len(list) == 0 && !(s.Finished && n == s.Commit) {
				wrong.add("%s: commit %d has no objects", s.ID, n)
			}
		}
	}
	for commit, list := range indices {
		wrong.add("shard %d: %d objects of commit %d, of which the service does not know", commit[0], len(list), commit[1])
	}
	return wrong.err("the objects against the commits")
}

// Upload is a multipart upload that is neither complete nor aborted.
type Upload struct{ Key, ID string }

// Uploads judges what is left of uploads when the service has stopped: each must be one of the service's, and none may be
// of an epoch below that of its shard when the cleaner has run since. It returns how many wait for the cleaner.
func (o Output) Uploads(left []Upload, shards []Shard, cleaned bool) (waiting int, err error) {
	epochs := map[int64]int64{}
	for _, s := range shards {
		number, err := ShardNumber(s.ID)
		if err != nil {
			return 0, err
		}
		epochs[number] = s.Epoch
	}
	var wrong differences
	slices.SortFunc(left, func(a, b Upload) int { return cmp.Compare(a.Key, b.Key) })
	for _, u := range left {
		object, ok := o.parse(u.Key)
		epoch, known := epochs[object.shard]
		switch {
		case !ok:
			wrong.add("an upload of %s, which is no object of the service's", u.Key)
		case !known || object.epoch > epoch:
			wrong.add("an upload of %s, and the shard is in epoch %d", u.Key, epoch)
		case cleaned && object.epoch < epoch:
			wrong.add("an upload of %s is left by the cleaner; the shard is in epoch %d", u.Key, epoch)
		default:
			waiting++
		}
	}
	return waiting, wrong.err(fmt.Sprintf("%d uploads that are left", len(left)))
}
