package storetest

import (
	"errors"
	"io/fs"
	"sync"
)

func publishMakesVisible(h *harness) {
	u := h.upload("a", "1", []byte("body"))
	h.missing("a")
	h.mustPublish(u)
	h.holds("a", []byte("body"))
	if found := h.listed(""); len(found) != 0 {
		h.Errorf("a published upload is still listed: %v", found)
	}
}

func publishAgain(h *harness) {
	u := h.upload("a", "1", []byte("body"))
	for range 3 {
		h.mustPublish(u)
	}
	h.holds("a", []byte("body"))
}

// Recovery by another owner gives the same token; whoever comes with another one finds nothing of its own.
func publishByOther(h *harness) {
	u := h.upload("a", "1", []byte("body"))
	h.mustPublish(u)
	stranger := u
	stranger.token = "2"
	h.lost(h.publish(stranger))
	h.mustPublish(u)
	h.holds("a", []byte("body"))
}

func publishAborted(h *harness) {
	u := h.upload("a", "1", []byte("body"))
	if err := h.store.Abort(h.Context(), u.key, u.id); err != nil {
		h.Fatal(err)
	}
	h.lost(h.publish(u))
	h.missing("a")

	// The same where the key has an object, of somebody else.
	u = h.upload("b", "1", []byte("mine"))
	h.mustPublish(h.upload("b", "2", []byte("theirs")))
	if err := h.store.Abort(h.Context(), u.key, u.id); err != nil {
		h.Fatal(err)
	}
	h.lost(h.publish(u))
	h.holds("b", []byte("theirs"))
}

func publishNeverOverwrites(h *harness) {
	first, second := h.upload("a", "1", []byte("first")), h.upload("a", "2", []byte("second"))
	h.mustPublish(first)
	for range 2 {
		err := h.publish(second)
		if err == nil {
			h.Fatal("a second upload was published under the same key")
		}
		if errors.Is(err, fs.ErrNotExist) {
			h.Fatalf("%v; but the upload exists", err)
		}
		h.holds("a", []byte("first"))
	}
	h.mustPublish(first)

	if err := h.store.Put(h.Context(), h.prefix+"b", []byte("put")); err != nil {
		h.Fatal(err)
	}
	if err := h.publish(h.upload("b", "1", []byte("upload"))); err == nil {
		h.Fatal("an upload replaced an object that was put")
	}
	h.holds("b", []byte("put"))
}

// An object that was deleted, or replaced by a put, no longer tells that the upload was published.
func publishDeleted(h *harness) {
	u := h.upload("a", "1", []byte("body"))
	h.mustPublish(u)
	if err := h.store.Delete(h.Context(), u.key); err != nil {
		h.Fatal(err)
	}
	h.lost(h.publish(u))
	if err := h.store.Put(h.Context(), u.key, []byte("put")); err != nil {
		h.Fatal(err)
	}
	h.lost(h.publish(u))
	h.holds("a", []byte("put"))
}

// Two owners may publish the same upload at the same moment. One may be told to try again, but not that bytes are lost.
func publishAtOnce(h *harness) {
	u := h.upload("a", "1", []byte("body"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := h.publish(u); errors.Is(err, fs.ErrNotExist) {
				h.Errorf("Publish: %v", err)
			}
		})
	}
	wg.Wait()
	h.mustPublish(u)
	h.holds("a", []byte("body"))
}

func reopen(h *harness) {
	unpublished, published := h.upload("a", "1", []byte("a")), h.upload("b", "1", []byte("b"))
	h.mustPublish(published)

	h.store = h.open(h.T)
	if found := h.listed(""); len(found) != 1 || !found[unpublished.key+" "+unpublished.id] {
		h.Errorf("listed after reopening: %v", found)
	}
	h.missing("a")
	h.mustPublish(unpublished)
	h.mustPublish(published)
	h.holds("a", []byte("a"))
	h.holds("b", []byte("b"))

	h.store = h.open(h.T)
	h.mustPublish(unpublished)
	published.token = "2"
	h.lost(h.publish(published))
}
