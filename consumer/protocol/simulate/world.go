package simulate

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// world is what is outside the workers: a stream, a table and a store. It applies requests in the order in which they reach
// it, and knows what must never be seen.
type world struct {
	shards []*shard
	byID   map[string]*shard
	last   int // the newest record

	table   map[string]row
	uploads map[string]upload // by id
	objects map[string]object // by key
	commits []*protocol.Commit
	made    int             // uploads so far
	gone    map[string]bool // uploads that a person aborted

	visible map[int]string // the object of each visible record
}

// row is an item of the table, as it is and as it reads. Neither is changed: a write makes another row.
type row struct {
	item  protocol.Item
	lease *protocol.Lease
}

// shard is a shard of the stream. Records are numbers that go up through all shards, as sequence numbers do.
type shard struct {
	info     protocol.Shard
	records  []int
	closed   bool
	finished bool // it was, once: a commit that is given up may take that back
	torn     bool // its last commit was given up: children may have begun with what was there before
}

// upload is a file that is not visible.
type upload struct {
	key, token string
	shard      string
	rows       []int
}

// object is a visible object: a file with its rows, or a snapshot or record with its body.
type object struct {
	token string
	body  []byte
}

// breach is what must not be.
type breach string

func newWorld() world {
	return world{byID: map[string]*shard{}, table: map[string]row{}, uploads: map[string]upload{},
		objects: map[string]object{}, visible: map[int]string{}, gone: map[string]bool{}}
}

func breached(format string, args ...any) { panic(breach(fmt.Sprintf(format, args...))) }

// sequence is a record's sequence number.
func sequence(record int) string { return strconv.Itoa(record) }

// position is the inverse of sequence; 0 is before the first record.
func position(sequence string) int {
	n, _ := strconv.Atoi(sequence) // empty before the first record
	return n
}

func (w *world) addShard(parents ...string) *shard {
	s := &shard{info: protocol.Shard{ID: fmt.Sprintf("shardId-%012d", len(w.shards)), Parents: parents}}
	w.shards = append(w.shards, s)
	w.byID[s.info.ID] = s
	return s
}

// put puts a record into an open shard.
func (w *world) put(s *shard) {
	w.last++
	s.records = append(s.records, w.last)
}

// after gives the records of a shard after a position.
func (s *shard) after(position int) []int {
	i, _ := slices.BinarySearch(s.records, position+1)
	return s.records[i:]
}

// count is what a snapshot must say at a position of a shard: the records up to it, and those of its ancestors.
func (w *world) count(s *shard, position int) int {
	n := len(s.records) - len(s.after(position))
	for _, parent := range s.info.Parents {
		n += w.count(w.byID[parent], w.last)
	}
	return n
}

// lease is a shard's item as it is; nil where there is none.
func (w *world) lease(id string) *protocol.Lease { return w.table[id].lease }

// write applies a write, and tells whether its conditions held.
func (w *world) write(request protocol.Write) bool {
	before := w.table[request.Key]
	item, ok := request.Apply(before.item)
	if !ok {
		return false
	}
	after, err := protocol.ParseLease(item)
	if err != nil {
		breached("item %s: %v", request.Key, err)
	}
	w.table[request.Key] = row{item, after}
	if before.lease != nil && before.lease.CommitNo == after.CommitNo {
		return true
	}
	s := w.byID[request.Key]
	s.finished = s.finished || after.Finished
	for _, parent := range s.info.Parents {
		if !w.byID[parent].finished {
			breached("%s is read before its parent %s is finished", request.Key, parent)
		}
	}
	if after.Pending != nil {
		w.commits = append(w.commits, after.Pending)
	}
	return true
}

// upload stores a file without making it visible.
func (w *world) upload(shard, key, token string, rows []int) (id string) {
	w.made++
	id = "u" + strconv.Itoa(w.made)
	w.uploads[id] = upload{key, token, shard, rows}
	return id
}

// publish makes an upload visible, as sink/s3 does.
func (w *world) publish(key, id, token string) error {
	u, ok := w.uploads[id]
	if !ok {
		if w.gone[id] {
			return protocol.ErrGone
		}
		if w.objects[key].token != token {
			breached("the committed upload of %s is gone", key)
		}
		return nil
	}
	if _, taken := w.objects[key]; taken {
		breached("the object %s is written twice", key)
	}
	if u.key != key || u.token != token {
		breached("upload %s is of %s with token %s, and published as %s with %s", id, u.key, u.token, key, token)
	}
	delete(w.uploads, id)
	w.objects[key] = object{token: token}
	for _, record := range u.rows {
		if other, twice := w.visible[record]; twice {
			breached("record %d of %s is visible twice: in %s and in %s", record, u.shard, other, key)
		}
		w.visible[record] = key
	}
	return nil
}

// abort takes away the uploads of a commit of which nothing is visible, as a lifecycle rule may do, or a person. It tells
// whether there were any.
func (w *world) abort(c *protocol.Commit) bool {
	for _, f := range c.Files {
		if _, ok := w.uploads[f.Upload]; !ok {
			return false
		}
	}
	for _, f := range c.Files {
		delete(w.uploads, f.Upload)
		w.gone[f.Upload] = true
	}
	s := w.byID[c.Shard]
	s.torn = s.torn || c.Finished
	return len(c.Files) > 0
}

// blurred tells whether a shard's snapshots may lack something of its ancestors.
func (w *world) blurred(s *shard) bool {
	for _, parent := range s.info.Parents {
		if p := w.byID[parent]; p.torn || w.blurred(p) {
			return true
		}
	}
	return false
}

// put stores a small object.
func (w *world) putObject(key string, body []byte) { w.objects[key] = object{body: body} }

// remove deletes a snapshot.
func (w *world) remove(key string) { delete(w.objects, key) }

// check looks at what must be true at the end, when nothing moves any more.
func (w *world) check(names protocol.Names) {
	for _, s := range w.shards {
		for _, record := range s.records {
			if _, ok := w.visible[record]; !ok {
				breached("record %d of %s is not visible", record, s.info.ID)
			}
		}
		l := w.lease(s.info.ID)
		switch {
		case l == nil:
			breached("%s was never read", s.info.ID)
		case l.Pending != nil:
			breached("commit %d of %s waits to be published", l.CommitNo, s.info.ID)
		case s.closed && !l.Finished:
			breached("%s is not finished", s.info.ID)
		}
	}
	if len(w.visible) != w.last {
		breached("%d records are visible, and %d were put", len(w.visible), w.last)
	}
	given := map[string]bool{}
	for _, c := range w.commits {
		if c.GivesUp > 0 {
			given[fmt.Sprint(c.Shard, c.GivesUp)] = true
		}
	}
	for _, c := range w.commits {
		if given[fmt.Sprint(c.Shard, c.Number)] {
			continue // nothing of it is left
		}
		if record := w.objects[names.Record(c)]; !bytes.Equal(record.body, c.Record()) {
			breached("commit %d of %s has no record, or another one", c.Number, c.Shard)
		}
		for i, f := range c.Files {
			if w.objects[f.Key].token != c.Token(i) {
				breached("the object %s is not that of commit %s", f.Key, c.ID)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.uploads)) {
		u := w.uploads[id]
		if _, epoch, _, _ := names.ParseObject(u.key); epoch < w.lease(u.shard).Epoch {
			breached("the upload of %s is left", u.key)
		}
	}
}
