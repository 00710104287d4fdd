package protocol

import (
	"maps"
)

// Item is an item of the table: values by attribute.
type Item map[string]Value

// Value is a string, an int64 or a bool.
type Value any

// Write changes one item, or nothing where a condition does not hold.
type Write struct {
	Key    string
	If     []Condition // all of them
	Set    Item
	Remove []string
}

// Condition asks for an attribute's value; nil: that the item has no such attribute.
type Condition struct {
	Attribute string
	Is        Value
}

// Apply does to an item what the table does, and gives the item as it then is; nil is an item that does not exist. It
// tells whether the conditions held. It leaves its argument as it is.
func (w Write) Apply(it Item) (Item, bool) {
	for _, c := range w.If {
		if it[c.Attribute] != c.Is {
			return it, false
		}
	}
	after := maps.Clone(it)
	if after == nil {
		after = Item{leaseKey: w.Key}
	}
	maps.Copy(after, w.Set)
	for _, name := range w.Remove {
		delete(after, name)
	}
	return after, true
}

// Create makes the item of a shard that nobody has read yet, owned by its creator. firstEpoch has to be later than that of
// any item which this shard had before: with a time in seconds, a table that was deleted and made again does not repeat
// the names of objects. now is for people.
func Create(shard, me string, firstEpoch int64, from string, parentShards []string, now string) Write {
	return Write{
		Key: shard,
		If:  []Condition{{leaseKey, nil}},
		Set: Item{owner: me, epoch: firstEpoch, commitNo: int64(0), start: from, parents: string(document(parentShards)), finished: false, updated: now},
	}
}

// Take makes me the holder of a shard that was seen with another holder, or with none. Whether it may be taken is not
// decided here: that its owner is dead can only be guessed, and a wrong guess costs work, never records.
func Take(seen *Lease, me string) Write {
	held := Condition{owner, nil}
	if seen.Owner != "" {
		held.Is = seen.Owner
	}
	return Write{
		Key: seen.Shard,
		If:  []Condition{{epoch, seen.Epoch}, held},
		Set: Item{owner: me, epoch: seen.Epoch + 1},
	}
}

// commit is the one write that decides a batch: next holds what will be true.
func commit(next *Lease) Write {
	w := Write{
		Key: next.Shard,
		If:  []Condition{{owner, next.Owner}, {epoch, next.Epoch}, {commitNo, next.CommitNo - 1}, {pending, nil}},
		Set: Item{commitNo: next.CommitNo, commitID: next.CommitID, finished: next.Finished, schema: int64(next.Schema),
			pending: string(document(next.Pending)), updated: next.Pending.Time},
	}
	if next.Checkpoint != "" {
		w.Set[checkpoint] = next.Checkpoint
	}
	if next.ReadUntil != "" {
		w.Set[readUntil] = next.ReadUntil
	}
	if next.State != nil {
		w.Set[state] = string(document(next.State))
	} else {
		w.Remove = []string{state}
	}
	return w
}

// giveUp takes the position back: next is a commit without files.
func giveUp(next *Lease) Write {
	w := commit(next)
	w.If = []Condition{{commitNo, next.CommitNo - 1}}
	w.Remove = append(w.Remove, readUntil) // not known any more
	delete(w.Set, readUntil)
	if next.Checkpoint == "" {
		w.Remove = append(w.Remove, checkpoint)
	}
	return w
}

// clear tells that the files of the last commit are visible. Whoever published them may say so.
func clear(l *Lease) Write {
	return Write{Key: l.Shard, If: []Condition{{commitNo, l.CommitNo}}, Remove: []string{pending}}
}

// release gives a shard back.
func release(l *Lease) Write {
	return Write{Key: l.Shard, If: []Condition{{owner, l.Owner}, {epoch, l.Epoch}}, Remove: []string{owner}}
}

// Remove is the condition under which the item of a shard may be deleted: it is finished, and nothing of it waits.
func Remove(l *Lease) []Condition {
	return []Condition{{epoch, l.Epoch}, {finished, true}, {pending, nil}}
}
