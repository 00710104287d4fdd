package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

var testNames = Names{App: "app", Stream: "orders", StatePrefix: "_sluice/"}

const testShard = "shardId-000000000007"

var errUnknown = errors.New("no answer")

// held is a shard that me holds, after three commits.
func held() *Lease {
	return &Lease{Shard: testShard, Owner: "me", Epoch: 5, CommitNo: 3, CommitID: "third", Checkpoint: "30", State: &StateRef{Key: "old", SHA256: "x"}}
}

var testBatch = Batch{ID: "fourth", Time: "2026-03-04T05:06:07Z", Checkpoint: "40", State: []byte("state"), Schema: 2, Trigger: "bytes",
	Files: []NewFile{{Prefix: "data/", Extension: "parquet", Size: 100, Rows: 10}, {Prefix: "errors/", Extension: "json.gz", Size: 7}}}

var testUploads = []Upload{{ID: "u1", ETags: []string{"e"}}, {ID: "u2", ETags: []string{"f", "g"}}}

// A batch goes through its steps in order; each is tried again until it is done.
func TestStepsOfABatch(t *testing.T) {
	lost := &Lease{Shard: testShard, Owner: "me", Epoch: 5, CommitNo: 3, CommitID: "third"}
	applied := &Lease{Shard: testShard, Owner: "me", Epoch: 5, CommitNo: 4, CommitID: "fourth"}
	type answers []struct {
		step Step
		a    Answer
	}
	uploaded := Answer{Uploads: testUploads}
	rest := func(before answers) answers { // after the commit
		return append(before, answers{{Publishing, Answer{}}, {Recording, Answer{}}, {Clearing, Answer{}}, {Forgetting, Answer{}}}...)
	}
	for name, test := range map[string]struct {
		answers answers
		end     Step
		err     error
	}{
		"all goes well": {rest(answers{{Uploading, uploaded}, {Saving, Answer{}}, {Committing, Answer{}}}), Reading, nil},
		"each fails once, and was not done": {answers{
			{Uploading, Answer{Err: errUnknown}}, {Uploading, uploaded}, {Saving, Answer{Err: errUnknown}}, {Saving, Answer{}},
			{Committing, Answer{Err: errUnknown}}, {Doubting, Answer{Err: errUnknown}}, {Doubting, Answer{Lease: lost}}, {Committing, Answer{}},
			{Publishing, Answer{Err: errUnknown}}, {Publishing, Answer{}}, {Recording, Answer{Err: errUnknown}}, {Recording, Answer{}},
			{Clearing, Answer{Err: errUnknown}}, {Clearing, Answer{}}, {Forgetting, Answer{Err: errUnknown}},
		}, Reading, nil},
		"the commit's answer is lost": {rest(answers{{Uploading, uploaded}, {Saving, Answer{}}, {Committing, Answer{Err: errUnknown}}, {Doubting, Answer{Lease: applied}}}), Reading, nil},
		"the commit is refused since an earlier attempt was applied": {rest(answers{
			{Uploading, uploaded}, {Saving, Answer{}}, {Committing, Answer{Err: errUnknown}}, {Doubting, Answer{Lease: lost}},
			{Committing, Answer{Err: ErrRefused}}, {Doubting, Answer{Lease: applied}},
		}), Reading, nil},
		"the commit is refused without a reason": {rest(answers{
			{Uploading, uploaded}, {Saving, Answer{}}, {Committing, Answer{Err: ErrRefused}}, {Doubting, Answer{Lease: lost}}, {Committing, Answer{}},
		}), Reading, nil},
		"a later epoch": {answers{{Uploading, uploaded}, {Saving, Answer{}}, {Committing, Answer{Err: ErrRefused}},
			{Doubting, Answer{Lease: &Lease{Shard: testShard, Owner: "me", Epoch: 6, CommitNo: 3}}}}, Over, ErrFenced},
		"another owner": {answers{{Uploading, uploaded}, {Saving, Answer{}}, {Committing, Answer{Err: ErrRefused}},
			{Doubting, Answer{Lease: &Lease{Shard: testShard, Owner: "other", Epoch: 5, CommitNo: 3}}}}, Over, ErrFenced},
		"the item is gone": {answers{{Uploading, uploaded}, {Saving, Answer{}}, {Committing, Answer{Err: ErrRefused}}, {Doubting, Answer{}}}, Over, ErrFenced},
		"another has gone on before the list was cleared": {answers{{Uploading, uploaded}, {Saving, Answer{}}, {Committing, Answer{}},
			{Publishing, Answer{}}, {Recording, Answer{}}, {Clearing, Answer{Err: ErrRefused}}}, Over, ErrFenced},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewHold(held(), testNames)
			h.Commit(testBatch)
			for i, a := range test.answers {
				if got := h.Step(); got != a.step {
					t.Fatalf("call %d is %s; want %s", i, got, a.step)
				}
				h.Done(a.a)
			}
			if got := h.Step(); got != test.end || !h.Resting() || h.Err() != test.err {
				t.Errorf("it ends at %s with %v; want %s with %v", got, h.Err(), test.end, test.err)
			}
			if l := h.Lease(); test.err == nil && (l.CommitNo != 4 || l.Checkpoint != "40" || l.Pending != nil || l.Schema != 2) {
				t.Errorf("the item is %+v", l)
			}
		})
	}
}

// What is written in the commit is what recovery finds.
func TestRecoveryFindsWhatWasCommitted(t *testing.T) {
	h := NewHold(held(), testNames)
	h.Commit(testBatch)
	h.Done(Answer{Uploads: testUploads})
	h.Done(Answer{})
	before := Item{leaseKey: testShard, owner: "me", epoch: int64(5), commitNo: int64(3)}
	after, ok := h.Next().Write.Apply(before)
	if !ok {
		t.Fatal("the commit is refused by the item that it was made for")
	}
	if _, again := h.Next().Write.Apply(after); again {
		t.Error("the commit is applied twice")
	}
	l, err := ParseLease(after)
	if err != nil {
		t.Fatal(err)
	}
	taken, ok := Take(l, "other").Apply(after)
	if !ok {
		t.Fatal("the shard cannot be taken as it was seen")
	}
	if l, err = ParseLease(taken); err != nil {
		t.Fatal(err)
	}
	other := NewHold(l, testNames)
	call := other.Next()
	if call.Step != Publishing || len(call.Commit.Files) != 2 {
		t.Fatalf("recovery begins with %+v", call)
	}
	first := call.Commit.Files[0]
	if want := "data/orders-000000000007-e5-c4-0.parquet"; first.Key != want || first.Upload != "u1" || first.Rows != 10 || call.Commit.Token(1) != "fourth/1" {
		t.Errorf("the first file is %+v, the second's token %s; want the key %s", first, call.Commit.Token(1), want)
	}
	other.Done(Answer{})
	record := other.Next()
	var c Commit
	if err := json.Unmarshal(record.Body, &c); err != nil || c.After != "30" || c.Checkpoint != "40" || c.Epoch != 5 || c.Number != 4 || c.Files[1].Size != 7 {
		t.Errorf("the record is %s, %v", record.Body, err)
	}
	if want := "_sluice/app/commits/2026-03-04/orders-000000000007-e5-c4-0.json"; record.Key != want {
		t.Errorf("the record's key is %s; want %s", record.Key, want)
	}
	other.Done(Answer{})
	if w := other.Next().Write; w.Key != testShard || len(w.Remove) != 1 || w.Remove[0] != pending {
		t.Errorf("the list is cleared by %+v", w)
	}
	other.Done(Answer{})
	if got := other.Next(); got.Step != Forgetting || got.Key != "old" {
		t.Errorf("after the list is cleared comes %+v; want the snapshot before to be forgotten", got)
	}
	other.Done(Answer{})
	if !other.Resting() || other.Lease().Owner != "other" {
		t.Errorf("after recovery it is at %s with %+v", other.Step(), other.Lease())
	}
}

// The last batch ends the hold; a finished shard's snapshot stays for its children.
func TestTheEndOfAShard(t *testing.T) {
	h := NewHold(&Lease{Shard: testShard, Owner: "me", Epoch: 1}, testNames)
	h.Commit(Batch{ID: "end", Time: "2026-03-04T05:06:07Z", Finished: true, State: []byte("s")})
	var steps []string
	for !h.Resting() {
		steps = append(steps, h.Step().String())
		h.Done(Answer{})
	}
	if got, want := strings.Join(steps, " "), "upload save finish publish record clear"; got != want || h.Step() != Over || h.Err() != nil {
		t.Errorf("the steps are %s, the end is %s, %v; want %s", got, h.Step(), h.Err(), want)
	}
	if l := NewHold(h.Lease(), testNames); !l.Resting() || l.Step() != Over {
		t.Error("a finished shard is read again")
	}
}

// Whoever finds what a finished shard left may finish it, also beside others.
func TestWhatAFinishedShardLeft(t *testing.T) {
	l := held()
	l.Finished, l.Pending = true, &Commit{ID: "last", Shard: testShard, Time: "2026-03-04T05:06:07Z"}
	for _, cleared := range []error{nil, ErrRefused} {
		h := Left(l, testNames)
		for _, want := range []Step{Publishing, Recording, Clearing} {
			if got := h.Step(); got != want {
				t.Fatalf("at %s; want %s", got, want)
			}
			a := Answer{}
			if want == Clearing {
				a.Err = cleared
			}
			h.Done(a)
		}
		if h.Step() != Over || h.Err() != nil {
			t.Errorf("cleared with %v it ends at %s with %v", cleared, h.Step(), h.Err())
		}
	}
}

// Uploads that somebody aborted after they were committed: the commit is given up by another, and its records are read
// again by whoever takes the shard next.
func TestACommitIsGivenUp(t *testing.T) {
	for _, left := range []bool{false, true} {
		h := NewHold(held(), testNames)
		b := testBatch
		b.Finished = left
		h.Commit(b)
		h.Done(Answer{Uploads: testUploads})
		h.Done(Answer{})
		item, ok := h.Next().Write.Apply(Item{leaseKey: testShard, owner: "me", epoch: int64(5), commitNo: int64(3), checkpoint: "30"})
		if !ok {
			t.Fatal("the commit is refused")
		}
		if h.Done(Answer{}); left {
			l, err := ParseLease(item)
			if err != nil {
				t.Fatal(err)
			}
			h = Left(l, testNames)
		}
		var steps []string
		for !h.Resting() {
			call := h.Next()
			steps = append(steps, call.Step.String())
			a := Answer{}
			switch {
			case call.Step == Publishing && len(call.Commit.Files) > 0:
				a.Err = ErrGone
			case call.Write.Key != "":
				if item, ok = call.Write.Apply(item); !ok {
					t.Fatalf("%s is refused", call.Step)
				}
			case call.Step == Recording:
				var c Commit
				if err := json.Unmarshal(call.Body, &c); err != nil || c.Number != 5 || c.GivesUp != 4 || c.After != "40" || c.Checkpoint != "30" {
					t.Errorf("the record is %s, %v", call.Body, err)
				}
			case call.Step == Forgetting:
				if !strings.HasSuffix(call.Key, "e5-c4-0.state") {
					t.Errorf("%s is forgotten; want the snapshot of the commit that was given up", call.Key)
				}
			}
			h.Done(a)
		}
		if got, want := strings.Join(steps, " "), "publish give-up publish record clear forget"; got != want {
			t.Errorf("the steps are %s; want %s", got, want)
		}
		if want := error(ErrRewound); left != (h.Err() == nil) || !left && h.Err() != want {
			t.Errorf("it ends with %v", h.Err())
		}
		l, err := ParseLease(item)
		if err != nil || l.Checkpoint != "30" || l.CommitNo != 5 || l.Finished || l.Pending != nil || l.State == nil || l.State.Key != "old" || l.ReadUntil != "" {
			t.Errorf("the item is %+v, %v; want the position before", l, err)
		}
	}
}

func TestRelease(t *testing.T) {
	for _, answer := range []error{nil, ErrRefused} {
		h := NewHold(held(), testNames)
		h.Release(true)
		h.Done(Answer{Err: errUnknown})
		if got := h.Step(); got != HandingOver {
			t.Fatalf("after a lost answer it is at %s", got)
		}
		h.Done(Answer{Err: answer})
		if h.Step() != Over || h.Err() != nil {
			t.Errorf("answered by %v it ends at %s with %v", answer, h.Step(), h.Err())
		}
	}
}

// An item of DynamoDB holds 400 KB. A batch of the most files, with the longest keys that S3 takes and uploads as AWS names
// them, fits.
func TestTheLargestCommitFitsIntoItsItem(t *testing.T) {
	const (
		limit  = 400_000
		maxKey = 1024
		parts  = 200 // of 16 MiB; a batch is below 1 GiB in memory
	)
	h := NewHold(held(), testNames)
	b := testBatch
	b.Files = nil
	var uploads []Upload
	name := len(testNames.Object(testShard, 1_900_000_000, 1_000_000_000, MaxFiles, "parquet"))
	for range MaxFiles {
		b.Files = append(b.Files, NewFile{Prefix: strings.Repeat("é", (maxKey-name)/2), Extension: "parquet", Size: 1 << 30, Rows: 1 << 30})
		uploads = append(uploads, Upload{ID: strings.Repeat("u", 256), ETags: []string{strings.Repeat("e", 32) + " " + strings.Repeat("c", 8)}})
	}
	for range parts {
		uploads[0].ETags = append(uploads[0].ETags, uploads[0].ETags[0])
	}
	h.Commit(b)
	h.Done(Answer{Uploads: uploads})
	h.Done(Answer{})
	size := 0
	for a, v := range h.Next().Write.Set {
		size += len(a) + len(fmt.Sprint(v))
	}
	if size > limit {
		t.Errorf("the item takes %d bytes; DynamoDB takes %d", size, limit)
	}
	t.Logf("%d bytes", size)
}
