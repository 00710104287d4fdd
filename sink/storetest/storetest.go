// Package storetest is the contract that every store of objects keeps, as one suite of tests.
//
// It describes what a caller may rely on: uploads are invisible until they are published, publishing may be repeated by
// anyone, and no publish ever replaces an object. It does not test how a store does that, nor what it does when its
// service fails.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"
)

// Store is what is tested.
type Store interface {
	Upload(ctx context.Context, key, token, contentType string, body []byte) (uploadID string, etags []string, err error)
	Publish(ctx context.Context, key, uploadID string, etags []string, token string) error
	Put(ctx context.Context, key string, body []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	Uploads(ctx context.Context, prefix string, each func(key, uploadID string, started time.Time) error) error
	Abort(ctx context.Context, key, uploadID string) error
	List(ctx context.Context, prefix string, object func(key string, size int64, modified time.Time) error, folder func(prefix string) error) error
	Head(ctx context.Context, key string) (size int64, token string, err error)
	ReadAt(ctx context.Context, key string, p []byte, offset int64) error
}

// Run holds a store against the contract. open opens the store, always over the same data; once it was called, stores
// opened before are no longer used. The data may be there before and are not looked at; every test works under a prefix
// of its own.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for _, test := range []struct {
		name string
		run  func(h *harness)
	}{
		{"PublishMakesVisible", publishMakesVisible},
		{"PublishAgain", publishAgain},
		{"PublishByOther", publishByOther},
		{"PublishAborted", publishAborted},
		{"PublishNeverOverwrites", publishNeverOverwrites},
		{"PublishDeleted", publishDeleted},
		{"PublishAtOnce", publishAtOnce},
		{"Reopen", reopen},
		{"PutGetDelete", putGetDelete},
		{"Uploads", uploads},
		{"UploadsError", uploadsError},
		{"Abort", abort},
		{"List", list},
		{"ListFolders", listFolders},
		{"ListError", listError},
		{"Head", head},
		{"ReadAt", readAt},
		{"Sizes", sizes},
		{"Keys", keys},
		{"ConcurrentUploads", concurrentUploads},
		{"BodyNotKept", bodyNotKept},
		{"Cancelled", cancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(&harness{T: t, store: open(t), open: open, prefix: "contract/" + test.name + "/"})
		})
	}
}

// harness is a test's view of the store: keys are below its own prefix, and what must work fails the test.
type harness struct {
	*testing.T
	store  Store
	open   func(t *testing.T) Store
	prefix string
}

// upload is an upload as its publisher knows it.
type upload struct {
	key, id, token string
	etags          []string
}

func (h *harness) upload(key, token string, body []byte) upload {
	h.Helper()
	u := upload{key: h.prefix + key, token: token}
	var err error
	if u.id, u.etags, err = h.store.Upload(h.Context(), u.key, token, "application/octet-stream", body); err != nil {
		h.Fatalf("Upload %s: %v", u.key, err)
	}
	return u
}

func (h *harness) publish(u upload) error {
	return h.store.Publish(h.Context(), u.key, u.id, u.etags, u.token)
}

func (h *harness) mustPublish(u upload) {
	h.Helper()
	if err := h.publish(u); err != nil {
		h.Fatalf("Publish %s: %v", u.key, err)
	}
}

// holds asserts an object's content.
func (h *harness) holds(key string, want []byte) {
	h.Helper()
	got, err := h.store.Get(h.Context(), h.prefix+key)
	if err != nil {
		h.Fatalf("Get: %v", err)
	}
	if !bytes.Equal(got, want) {
		h.Fatalf("%s%s holds %d bytes, %.40q; want %d, %.40q", h.prefix, key, len(got), got, len(want), want)
	}
}

// missing asserts that there is no object.
func (h *harness) missing(key string) {
	h.Helper()
	if body, err := h.store.Get(h.Context(), h.prefix+key); !errors.Is(err, fs.ErrNotExist) {
		h.Fatalf("Get %s%s: %.40q, %v; want fs.ErrNotExist", h.prefix, key, body, err)
	}
}

// lost asserts an error that tells that the bytes are gone.
func (h *harness) lost(err error) {
	h.Helper()
	if !errors.Is(err, fs.ErrNotExist) {
		h.Fatalf("Publish: %v; want fs.ErrNotExist", err)
	}
}

// listed returns the unfinished uploads below the prefix, each as key, space and id.
func (h *harness) listed(prefix string) map[string]bool {
	h.Helper()
	found := map[string]bool{}
	err := h.store.Uploads(h.Context(), h.prefix+prefix, func(key, id string, started time.Time) error {
		name := key + " " + id
		if found[name] {
			h.Errorf("Uploads: %s comes twice", name)
		}
		// A store's clock may differ from ours, and may count in seconds.
		if age := time.Since(started); age < -time.Minute || age > 10*time.Minute {
			h.Errorf("Uploads: %s was started at %v", name, started)
		}
		found[name] = true
		return nil
	})
	if err != nil {
		h.Fatalf("Uploads: %v", err)
	}
	return found
}

// random makes bytes that show parts which were swapped, dropped or doubled.
func random(size int) []byte {
	body := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(body)
	return body
}

func numbered(i int) []byte { return fmt.Appendf(nil, "body %d", i) }
