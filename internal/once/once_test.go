package once

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"

	"github.com/sluice-etl/sluice/sink/dir"
)

// unsure is a store of which one answer is lost, or one request.
type unsure struct {
	Store
	answer, request, look bool
}

var errLost = errors.New("lost")

func (u unsure) Publish(ctx context.Context, key, upload string, etags []string, token string) error {
	if u.request {
		return errLost
	}
	if err := u.Store.Publish(ctx, key, upload, etags, token); err != nil || !u.answer {
		return err
	}
	return errLost
}

func (u unsure) Get(ctx context.Context, key string) ([]byte, error) {
	if u.look {
		return nil, errLost
	}
	return u.Store.Get(ctx, key)
}

func TestCreate(t *testing.T) {
	store, err := dir.New(dir.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, test := range []struct {
		store       unsure
		key, body   string
		there       string
		unknown     bool
		visibleThen string
	}{
		{store: unsure{}, key: "a", body: "1", there: "1", visibleThen: "1"},
		{store: unsure{}, key: "a", body: "2", there: "1", visibleThen: "1"},
		{store: unsure{answer: true}, key: "b", body: "1", there: "1", visibleThen: "1"},
		{store: unsure{request: true}, key: "b", body: "2", there: "1", visibleThen: "1"},
		{store: unsure{request: true}, key: "c", body: "1", unknown: true},
		{store: unsure{answer: true, look: true}, key: "d", body: "1", unknown: true, visibleThen: "1"},
	} {
		test.store.Store = store
		there, err := Create(ctx, test.store, test.key, "token of "+test.body, []byte(test.body))
		if string(there) != test.there || (err != nil) != test.unknown || err != nil && (!errors.Is(err, ErrUnknown) || !errors.Is(err, errLost)) {
			t.Errorf("%+v: %q, %v", test, there, err)
		}
		body, err := store.Get(ctx, test.key)
		if string(body) != test.visibleThen || errors.Is(err, fs.ErrNotExist) != (test.visibleThen == "") {
			t.Errorf("%+v: then there is %q, %v", test, body, err)
		}
	}
}

// Of many at a time one makes the object, and all are told the same.
func TestCreateAtOnce(t *testing.T) {
	store, err := dir.New(dir.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, 16)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			name := string(rune('a' + i))
			there, err := Create(t.Context(), store, "key", name, []byte(name))
			if err != nil {
				t.Error(err)
			}
			got[i] = string(there)
		})
	}
	all.Wait()
	for _, there := range got {
		if there != got[0] || there == "" {
			t.Fatalf("they were told %q", got)
		}
	}
}
