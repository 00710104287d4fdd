package chaos

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// TestJournal puts three records: the first is acknowledged, the second is in the stream without that, the third is not.
func TestJournal(t *testing.T) {
	records := []world.Record{
		{ID: 0, Key: "a", Data: []byte(`{"n":1}`), Payloads: [][]byte{[]byte(`{"n":1}`)}},
		{ID: 1, Key: "a", Data: []byte("{\"n\":2}\n{\"n\":3}"), Payloads: [][]byte{[]byte(`{"n":2}`), []byte(`{"n":3}`)}},
		{ID: 2, Key: "b", Data: []byte(`no`), Payloads: [][]byte{[]byte(`no`)}, Rejected: true},
	}
	shard := "shardId-000000000000"
	path := filepath.Join(t.TempDir(), "journal")
	j, err := newJournal(path, func(at time.Time) string { return at.UTC().Format("dt=2006/") })
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_700_000_000_000)
	if err := j.intend(records, at); err != nil {
		t.Fatal(err)
	}
	if err := j.acknowledge([]world.Taken{{Record: records[0], Shard: shard, Seq: "10"}}, at.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if j.Acknowledged() != 1 {
		t.Errorf("%d payloads are acknowledged", j.Acknowledged())
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	first, second := world.Stored{Shard: shard, Seq: "10", Data: records[0].Data}, world.Stored{Shard: shard, Seq: "11", Data: records[1].Data}
	for _, c := range []struct {
		name     string
		contents []world.Stored
		want     Audit // but for its ledger
		entries  int
		fault    string
	}{
		{"a call that failed was applied", []world.Stored{first, second}, Audit{Records: 1, Unknown: 1, Lost: 1}, 3, ""},
		{"a call that failed was not applied", []world.Stored{first}, Audit{Records: 1, Lost: 2}, 1, ""},
		{"a call was made twice", []world.Stored{first, {Shard: shard, Seq: "9", Data: records[0].Data}}, Audit{Records: 1, Unknown: 1, Lost: 2}, 2, ""},
		{"the stream lost a record", []world.Stored{second}, Audit{}, 0, "lost record 0"},
		{"the stream has other bytes", []world.Stored{{Shard: shard, Seq: "10", Data: []byte("x")}}, Audit{}, 0, "other bytes"},
		{"somebody else put something", []world.Stored{first, {Shard: shard, Seq: "12", Data: []byte("x")}}, Audit{}, 0, "nobody put"},
	} {
		audit, err := ReadJournal(path, c.contents)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v; want %s", c.name, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := Audit{Records: audit.Records, Unknown: audit.Unknown, Lost: audit.Lost}
		if got != c.want || audit.Ledger.Len() != c.entries {
			t.Errorf("%s: %+v and %d entries; want %+v and %d", c.name, got, audit.Ledger.Len(), c.want, c.entries)
		}
	}
}
