package consumer

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/consumer/protocol"
)

// The library puts whole items, without looking who holds them. Each write of ours names what it found, and is refused
// when the item has gone on: a worker that was held up moves no position back, and takes no lease back.
func TestAWriteThatComesTooLateChangesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	ctx := t.Context()
	leases := &table{client: l.d, name: "leases"}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(leases.ensure(ctx, true))
	write := func(w protocol.Write) *protocol.Lease {
		t.Helper()
		l, err := leases.writeLease(ctx, w)
		must(err)
		return l
	}
	create := protocol.Create(onlyShard, "old", 1, startOldest, nil, "now")
	old := write(create)
	held := write(protocol.Take(old, "new"))
	first := write(commitOf(held, protocol.Batch{ID: "first", Checkpoint: "100"}))

	refused := func(what string, write func() error) {
		t.Helper()
		before, err := leases.get(ctx, onlyShard)
		must(err)
		if err := write(); !errors.Is(err, protocol.ErrRefused) {
			t.Errorf("%s: %v; want it refused", what, err)
		}
		if found, err := leases.get(ctx, onlyShard); err != nil || !maps.Equal(found, before) {
			t.Errorf("%s: the item has changed, %v", what, err)
		}
	}
	tooLate := func(what string, w protocol.Write) {
		t.Helper()
		refused(what, func() error { _, err := leases.write(ctx, w); return err })
	}
	tooLate("commit while files wait", commitOf(first, protocol.Batch{ID: "next", Checkpoint: "200"}))
	write(clearOf(first))
	refused("removal of what is not finished", func() error { return leases.remove(ctx, onlyShard, protocol.Remove(first)) })
	commit := func(what string, change func(*protocol.Lease)) {
		t.Helper()
		by := *first
		change(&by)
		tooLate("commit by "+what, commitOf(&by, protocol.Batch{ID: "next", Checkpoint: "200"}))
	}
	commit("the last holder", func(l *protocol.Lease) { l.Owner, l.Epoch = old.Owner, old.Epoch })
	commit("another worker in this epoch", func(l *protocol.Lease) { l.Owner = old.Owner })
	commit("the holder in an earlier epoch", func(l *protocol.Lease) { l.Epoch = old.Epoch })
	commit("who knows of no commit", func(l *protocol.Lease) { l.CommitNo-- })
	commit("who knows of a later one", func(l *protocol.Lease) { l.CommitNo++ })
	tooLate("a second creation", create)
	take := func(what string, seen protocol.Lease) {
		t.Helper()
		tooLate("take of "+what, protocol.Take(&seen, "third"))
	}
	take("what another has taken since", *old)
	take("a later epoch under its last owner", protocol.Lease{Shard: onlyShard, Owner: old.Owner, Epoch: held.Epoch})
	take("the same owner's later epoch", protocol.Lease{Shard: onlyShard, Owner: held.Owner, Epoch: old.Epoch})
	take("what nobody held", protocol.Lease{Shard: onlyShard, Epoch: held.Epoch})
	tooLate("release by the last holder", releaseOf(old))
	tooLate("release by another", releaseOf(&protocol.Lease{Shard: onlyShard, Owner: old.Owner, Epoch: held.Epoch}))
	tooLate("release of an earlier epoch", releaseOf(&protocol.Lease{Shard: onlyShard, Owner: held.Owner, Epoch: old.Epoch}))

	// The last commit has files that are not published yet.
	cleared := *first
	cleared.Pending = nil
	second := write(commitOf(&cleared, protocol.Batch{ID: "second", Checkpoint: "200", Finished: true, Files: []protocol.NewFile{{Prefix: "data/", Extension: "txt"}}}))
	tooLate("clear of an earlier commit", clearOf(first))
	refused("removal while files wait", func() error { return leases.remove(ctx, onlyShard, protocol.Remove(second)) })
	write(clearOf(second))
	refused("removal of an earlier epoch", func() error { return leases.remove(ctx, onlyShard, protocol.Remove(old)) })
	must(leases.remove(ctx, onlyShard, protocol.Remove(second)))
}

// commitOf is the write by which the holder of a lease commits a batch.
func commitOf(l *protocol.Lease, b protocol.Batch) protocol.Write {
	by := *l
	by.Pending = nil
	h := protocol.NewHold(&by, protocol.Names{})
	h.Commit(b)
	h.Done(protocol.Answer{Uploads: make([]protocol.Upload, len(b.Files))})
	return h.Next().Write
}

// clearOf is the write that tells that the files of the last commit are visible.
func clearOf(l *protocol.Lease) protocol.Write {
	h := protocol.NewHold(l, protocol.Names{})
	for h.Step() != protocol.Clearing {
		h.Done(protocol.Answer{})
	}
	return h.Next().Write
}

// releaseOf is the write by which the holder of a lease gives it back.
func releaseOf(l *protocol.Lease) protocol.Write {
	by := *l
	by.Pending = nil
	h := protocol.NewHold(&by, protocol.Names{})
	h.Release(false)
	return h.Next().Write
}

// The library deletes a row when its shard is not listed. Ours leaves when nobody can need it: the shard has left the
// stream and was read to its end, and its children have commits of their own, and so states.
func TestARowLeavesWhenNobodyNeedsIt(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	h := l.hand("one")
	write := func(w protocol.Write) *protocol.Lease {
		t.Helper()
		row, err := h.table.writeLease(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	put := func(shard string, finished bool, commits int, parents ...string) {
		t.Helper()
		row := write(protocol.Create(shard, "gone", 1, startOldest, parents, "now"))
		for n := range commits {
			w := commitOf(row, protocol.Batch{ID: "id", Time: "2026-01-31T12:00:00Z", Finished: finished && n == commits-1})
			w.Set["state"] = `{"key":"_state/` + shard + `"}`
			w.Remove = nil
			row = write(clearOf(write(w)))
		}
		if row.State != nil {
			if err := l.store.Put(t.Context(), row.State.Key, []byte("state")); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(onlyShard, true, 1)
	put("child of a listed shard", false, 1, onlyShard)
	put("not finished", false, 1)
	put("child of what is not finished", false, 1, "not finished")
	put("without children", true, 1)
	put("with a fresh child", true, 1)
	put("fresh child", false, 0, "with a fresh child")
	put("other child of the same", false, 1, "with a fresh child")
	put("with a child that nobody took", true, 1)
	put("other child of that", false, 1, "with a child that nobody took")
	put("needed by nobody", true, 2)
	put("child of what nobody needs", false, 1, "needed by nobody")
	h.see()
	h.listed = append(slices.Clone(h.listed), protocol.Shard{ID: "not taken", Parents: []string{"with a child that nobody took"}})
	before := maps.Clone(h.rows)
	if err := h.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, _, err := h.table.scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	delete(before, "needed by nobody")
	if got, want := slices.Sorted(maps.Keys(rows)), slices.Sorted(maps.Keys(before)); !slices.Equal(got, want) {
		t.Errorf("left are %q; want %q", got, want)
	}
	states := l.store.objects("_state/")
	for shard, row := range before {
		if _, ok := states["_state/"+shard]; ok != (row.State != nil) {
			t.Errorf("the state of the shard %q: %v", shard, ok)
		}
	}
	if len(states) != len(before)-1 {
		t.Errorf("left are the states %v", states)
	}
}

// What a finished shard left is finished by whoever sees it, also where the uploads were aborted by somebody: then its last
// commit is given up, and the shard is to be read again from before it. One shard of which that cannot be said yet holds up
// no other.
func TestTheLostFilesOfAFinishedShard(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	h := l.hand("one")
	left := func(shard string, files ...protocol.NewFile) {
		t.Helper()
		row, err := h.table.writeLease(t.Context(), protocol.Create(shard, "gone", 1, startOldest, nil, "now"))
		if err == nil {
			_, err = h.table.writeLease(t.Context(), commitOf(row, protocol.Batch{ID: shard, Time: "2026-01-31T12:00:00Z", Checkpoint: "100", Finished: true, Files: files}))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	left("lost", protocol.NewFile{Prefix: "data/", Extension: "txt"})
	left("also lost", protocol.NewFile{Prefix: "data/", Extension: "txt"})
	left("without files")
	if err := h.look(t.Context()); err == nil {
		t.Error("nothing is said of files that are lost")
	}
	if row := l.row("without files"); row.Pending != nil {
		t.Error("a shard whose files are lost holds up another")
	}
	h.pass(h.cfg.GiveUpAfter)
	h.see()
	for _, shard := range []string{"lost", "also lost"} {
		if row := l.row(shard); row.Finished || row.Pending != nil || row.Checkpoint != "" || row.CommitNo != 2 {
			t.Errorf("the row of %q is %+v; want it as before the commit that is given up", shard, row)
		}
	}
}

// Of two that amend a document one succeeds, and the other is told what is there; an answer that is lost is no defeat.
func TestADocumentIsAmendedOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	ctx := t.Context()
	leases := &table{client: l.d, name: "leases"}
	if err := leases.ensure(ctx, true); err != nil {
		t.Fatal(err)
	}
	give := func(what, want string, f func() (string, error)) {
		t.Helper()
		if got, err := f(); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", what, got, err, want)
		}
	}
	give("nothing is there", "", func() (string, error) { return leases.swap(ctx, "_document", "1", "2") })
	give("the first", "1", func() (string, error) { return leases.once(ctx, "_document", "1") })
	give("the second", "1", func() (string, error) { return leases.once(ctx, "_document", "one") })
	l.server.Inject(kcltest.Fault{Operation: "UpdateItem", DropAnswer: true, Count: 1})
	give("amended, the answer lost", "2", func() (string, error) { return leases.swap(ctx, "_document", "1", "2") })
	give("amended too late", "2", func() (string, error) { return leases.swap(ctx, "_document", "1", "two") })
	give("as it is", "2", func() (string, error) { return leases.agreed(ctx, "_document") })
}
