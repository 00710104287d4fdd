package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func putGetDelete(h *harness) {
	ctx, key := h.Context(), h.prefix+"folder/a"
	h.missing("folder/a")
	for _, body := range [][]byte{[]byte("one"), []byte("another"), {}, []byte("last")} {
		if err := h.store.Put(ctx, key, body); err != nil {
			h.Fatalf("Put: %v", err)
		}
		h.holds("folder/a", body)
	}
	h.missing("folder") // a prefix of keys is no object
	h.missing("folder/a/b")
	for range 2 {
		if err := h.store.Delete(ctx, key); err != nil {
			h.Fatalf("Delete: %v", err)
		}
		h.missing("folder/a")
	}
}

// uploadsOfFirstKey is how many unfinished uploads the first of the listed keys has.
const uploadsOfFirstKey = 4

func uploads(h *harness) {
	want := map[string]bool{}
	add := func(u upload) { want[u.key+" "+u.id] = true }
	// Several of one key, as owners leave them that did not know of each other.
	for i := range uploadsOfFirstKey {
		add(h.upload("in/-", fmt.Sprint(i), numbered(i)))
	}
	for i := range 7 {
		add(h.upload(fmt.Sprintf("in/%d", i), "1", numbered(i)))
	}
	h.upload("io", "1", nil)
	h.upload("it", "1", nil)
	h.upload("other", "1", nil)
	h.mustPublish(h.upload("in/published", "1", nil))

	for _, prefix := range []string{"in/", "in"} {
		found := h.listed(prefix)
		for name := range want {
			if !found[name] {
				h.Errorf("Uploads %q: %s is missing", prefix, name)
			}
		}
		if len(found) != len(want) {
			h.Errorf("Uploads %q: %d were found, want %d", prefix, len(found), len(want))
		}
	}
	if found := h.listed(""); len(found) != len(want)+3 {
		h.Errorf("Uploads: %d were found, want %d", len(found), len(want)+3)
	}
	if found := h.listed("none"); len(found) != 0 {
		h.Errorf("Uploads: %v", found)
	}

	// A cleaner aborts while it lists.
	err := h.store.Uploads(h.Context(), h.prefix, func(key, id string, _ time.Time) error {
		return h.store.Abort(h.Context(), key, id)
	})
	if err != nil {
		h.Fatal(err)
	}
	if found := h.listed(""); len(found) != 0 {
		h.Errorf("Uploads after all were aborted: %v", found)
	}
}

func uploadsError(h *harness) {
	h.upload("a", "1", nil)
	h.upload("b", "1", nil)
	stop := errors.New("stop")
	calls := 0
	err := h.store.Uploads(h.Context(), h.prefix, func(string, string, time.Time) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		h.Errorf("Uploads: %v after %d calls; want %v after 1", err, calls, stop)
	}
}

func abort(h *harness) {
	u := h.upload("a", "1", []byte("body"))
	for range 3 {
		if err := h.store.Abort(h.Context(), u.key, u.id); err != nil {
			h.Fatalf("Abort: %v", err)
		}
	}
	if found := h.listed(""); len(found) != 0 {
		h.Errorf("listed after Abort: %v", found)
	}

	u = h.upload("a", "1", []byte("body"))
	h.mustPublish(u)
	if err := h.store.Abort(h.Context(), u.key, u.id); err != nil {
		h.Fatalf("Abort of a published upload: %v", err)
	}
	h.mustPublish(u)
	h.holds("a", []byte("body"))
}

func sizes(h *harness) {
	for name, size := range map[string]int{"empty": 0, "byte": 1, "large": 20 << 20, "uneven": 11<<20 + 17} {
		body := random(size)
		h.mustPublish(h.upload(name, "1", body))
		h.holds(name, body)
	}
}

func keys(h *harness) {
	for i, key := range []string{
		"ingest_year=2026/ingest_month=01/part-0.parquet",
		"percent%20sign/%2F/100%",
		"plus+sign/a+b",
		"a space/two  spaces",
		"übergröße/データ/🙂",
		"punctuation/!'()*,;:@&$~_-",
		"deep/a/b/c/d/e/f/g/h",
		"ampersand&<angle>\"quote\"",
		"question?mark#hash",
	} {
		h.Run(key, func(t *testing.T) {
			h := *h
			h.T = t
			u := h.upload(key, "1", numbered(i))
			if found := h.listed(key); !found[u.key+" "+u.id] {
				h.Errorf("Uploads: %v, want %s", found, u.key)
			}
			h.mustPublish(u)
			h.mustPublish(u)
			h.holds(key, numbered(i))
			if found := h.objects(key, nil); len(found) != 1 || found[key] != int64(len(numbered(i))) {
				h.Errorf("List: %v, want %s of %d bytes", found, key, len(numbered(i)))
			}
			if size, token, err := h.store.Head(h.Context(), u.key); err != nil || size != int64(len(numbered(i))) || token != "1" {
				h.Errorf("Head: %d bytes, token %q, %v", size, token, err)
			}
			if err := h.store.Put(h.Context(), u.key+".put", numbered(i)); err != nil {
				h.Fatalf("Put: %v", err)
			}
			h.holds(key+".put", numbered(i))
			if err := h.store.Delete(h.Context(), u.key); err != nil {
				h.Fatalf("Delete: %v", err)
			}
			h.missing(key)
			u = h.upload(key, "2", nil)
			if err := h.store.Abort(h.Context(), u.key, u.id); err != nil {
				h.Fatalf("Abort: %v", err)
			}
		})
	}
}

func concurrentUploads(h *harness) {
	const many = 16
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			key, token := fmt.Sprintf("%sfolder-%d/%d", h.prefix, i%3, i), fmt.Sprint(i)
			id, etags, err := h.store.Upload(h.Context(), key, token, "text/plain", numbered(i))
			if err != nil {
				h.Errorf("Upload: %v", err)
				return
			}
			if err := h.store.Publish(h.Context(), key, id, etags, token); err != nil {
				h.Errorf("Publish: %v", err)
			}
		})
	}
	wg.Wait()
	for i := range many {
		h.holds(fmt.Sprintf("folder-%d/%d", i%3, i), numbered(i))
	}
}

func bodyNotKept(h *harness) {
	body := random(9 << 20)
	want := append([]byte(nil), body...)
	u := h.upload("upload", "1", body)
	put := want[:100:100]
	buffer := append([]byte(nil), put...)
	if err := h.store.Put(h.Context(), h.prefix+"put", buffer); err != nil {
		h.Fatal(err)
	}
	clear(body)
	clear(buffer)
	h.mustPublish(u)
	h.holds("upload", want)
	h.holds("put", put)
}

func cancelled(h *harness) {
	u := h.upload("a", "1", []byte("body"))
	key := h.prefix + "b"
	ctx, cancel := context.WithCancel(h.Context())
	cancel()
	_, _, uploading := h.store.Upload(ctx, key, "1", "text/plain", []byte("body"))
	_, getting := h.store.Get(ctx, key)
	_, _, looking := h.store.Head(ctx, key)
	for call, err := range map[string]error{
		"Upload":  uploading,
		"Get":     getting,
		"Publish": h.store.Publish(ctx, u.key, u.id, u.etags, u.token),
		"Put":     h.store.Put(ctx, key, []byte("body")),
		"Delete":  h.store.Delete(ctx, key),
		"Abort":   h.store.Abort(ctx, u.key, u.id),
		"Uploads": h.store.Uploads(ctx, h.prefix, func(string, string, time.Time) error { return nil }),
		"List":    h.store.List(ctx, h.prefix, func(string, int64, time.Time) error { return nil }, nil),
		"Head":    looking,
		"ReadAt":  h.store.ReadAt(ctx, key, make([]byte, 1), 0),
	} {
		if !errors.Is(err, context.Canceled) {
			h.Errorf("%s: %v; want context.Canceled", call, err)
		}
	}
	h.missing("b")
	if found := h.listed(""); len(found) != 1 {
		h.Errorf("uploads after cancelled calls: %v; want the one from before", found)
	}
	h.mustPublish(u)
}
