package service

import (
	"fmt"
	"sync"
	"testing"

	"github.com/sluice-etl/sluice/sink/dir"
)

func TestDocuments(t *testing.T) {
	store, err := dir.New(dir.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	d := documents{store, "_sluice/a/backfill/"}
	want := func(got string, err error, want string) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	ctx := t.Context()
	got, err := d.Agreed(ctx, "schema")
	want(got, err, "")
	got, err = d.Agree(ctx, "schema", "one")
	want(got, err, "one")
	got, err = d.Agree(ctx, "schema", "two")
	want(got, err, "one")
	got, err = d.Amend(ctx, "schema", "one", "three")
	want(got, err, "three")
	got, err = d.Amend(ctx, "schema", "one", "four")
	want(got, err, "three")
	got, err = d.Agreed(ctx, "other")
	want(got, err, "")

	// Of several at a time one succeeds, and all are told which.
	var group sync.WaitGroup
	var told [8]string
	for i := range told {
		group.Go(func() {
			var err error
			if told[i], err = d.Amend(ctx, "schema", "three", fmt.Sprint("by ", i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got, err = d.Agreed(ctx, "schema")
	for _, one := range told {
		want(one, err, got)
	}
}
