package consumer

import (
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// A commit is pending from the write that decides it until its files are visible.
func TestPendingReader(t *testing.T) {
	l := newLab(t, 1)
	reader := Clients{l.k, l.d}.PendingReader("leases")
	if _, err := reader.Pending(t.Context()); err == nil || !strings.Contains(err.Error(), "SLUICE_LEASE_TABLE") {
		t.Errorf("without a table: %v; want what to do about it", err)
	}
	table := &table{client: l.d, name: "leases"}
	if err := table.ensure(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	want := func(n int) {
		t.Helper()
		all, err := reader.Pending(t.Context())
		if err != nil || len(all) != n || n > 0 && (all[0].Number != 1 || all[0].Files[0].Rows != 7) {
			t.Errorf("%d commits are pending, %v; want %d", len(all), err, n)
		}
		one, err := reader.PendingOf(t.Context(), onlyShard)
		if err != nil || (one != nil) != (n > 0) || one != nil && one.ID != all[0].ID {
			t.Errorf("of the shard: %+v, %v; want %d", one, err, n)
		}
	}
	want(0)

	lease, err := table.writeLease(t.Context(), protocol.Create(onlyShard, "me", 1, startOldest, nil, "now"))
	if err != nil {
		t.Fatal(err)
	}
	want(0)
	hold := protocol.NewHold(lease, protocol.Names{App: "app", Stream: labStream})
	hold.Commit(protocol.Batch{ID: "id", Time: "2026-01-31T12:00:00Z", Checkpoint: "1", Files: []protocol.NewFile{{Prefix: "data/", Extension: "parquet", Size: 3, Rows: 7}}})
	for !hold.Resting() {
		answer := protocol.Answer{Uploads: []protocol.Upload{{ID: "upload"}}}
		call := hold.Next()
		if call.Step == protocol.Publishing {
			want(1)
		}
		if call.Step == protocol.Committing || call.Step == protocol.Clearing {
			_, answer.Err = table.write(t.Context(), call.Write)
		}
		if answer.Err != nil {
			t.Fatal(answer.Err)
		}
		hold.Done(answer)
	}
	want(0)
}
