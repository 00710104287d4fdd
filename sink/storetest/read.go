package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// objects lists the objects below the prefix, each with its size. With folders, those are added to it, and what lies in
// them is left out. Keys are without the harness's own prefix.
func (h *harness) objects(prefix string, folders *[]string) map[string]int64 {
	h.Helper()
	var folder func(string) error
	if folders != nil {
		folder = func(prefix string) error {
			*folders = append(*folders, prefix[len(h.prefix):])
			return nil
		}
	}
	found := map[string]int64{}
	err := h.store.List(h.Context(), h.prefix+prefix, func(key string, size int64, modified time.Time) error {
		key = key[len(h.prefix):]
		if _, twice := found[key]; twice {
			h.Errorf("List: %s comes twice", key)
		}
		// A store's clock may differ from ours, and may count in seconds.
		if age := time.Since(modified); age < -time.Minute || age > 10*time.Minute {
			h.Errorf("List: %s was changed at %v", key, modified)
		}
		found[key] = size
		return nil
	}, folder)
	if err != nil {
		h.Fatalf("List %q: %v", prefix, err)
	}
	return found
}

// fill makes objects of a byte more each, in some folders, and an upload that is not published.
func (h *harness) fill() (want map[string]int64) {
	want = map[string]int64{}
	for i, key := range []string{"a", "in/0", "in/1", "in/2", "in/3", "in/4", "in/deep/er/5", "in/deep/6", "in/other/7", "inside", "io"} {
		if i%2 == 0 {
			h.mustPublish(h.upload(key, "1", make([]byte, i)))
		} else if err := h.store.Put(h.Context(), h.prefix+key, make([]byte, i)); err != nil {
			h.Fatal(err)
		}
		want[key] = int64(i)
	}
	h.upload("in/unpublished", "1", nil)
	return want
}

func list(h *harness) {
	all := h.fill()
	for prefix, want := range map[string][]string{
		"":        slices.Collect(maps.Keys(all)),
		"in":      {"in/0", "in/1", "in/2", "in/3", "in/4", "in/deep/er/5", "in/deep/6", "in/other/7", "inside"},
		"in/":     {"in/0", "in/1", "in/2", "in/3", "in/4", "in/deep/er/5", "in/deep/6", "in/other/7"},
		"in/d":    {"in/deep/er/5", "in/deep/6"},
		"in/0":    {"in/0"},
		"in/0/":   nil,
		"none":    nil,
		"none/a/": nil,
	} {
		found := h.objects(prefix, nil)
		for _, key := range want {
			if size, ok := found[key]; !ok || size != all[key] {
				h.Errorf("List %q: %s has %d bytes, found: %v; want %d", prefix, key, size, ok, all[key])
			}
		}
		if len(found) != len(want) {
			h.Errorf("List %q: %v; want %v", prefix, slices.Sorted(maps.Keys(found)), want)
		}
	}
}

func listFolders(h *harness) {
	h.fill()
	for prefix, want := range map[string][2]string{
		"":         {"a inside io", "in/"},
		"in":       {"inside", "in/"},
		"in/":      {"in/0 in/1 in/2 in/3 in/4", "in/deep/ in/other/"},
		"in/d":     {"", "in/deep/"},
		"in/deep/": {"in/deep/6", "in/deep/er/"},
		"none/":    {"", ""},
	} {
		var folders []string
		found := slices.Sorted(maps.Keys(h.objects(prefix, &folders)))
		slices.Sort(folders)
		if got := [2]string{join(found), join(folders)}; got != want {
			h.Errorf("List %q: objects and folders %q; want %q", prefix, got, want)
		}
	}
}

func join(texts []string) string {
	text := fmt.Sprint(texts)
	return text[1 : len(text)-1]
}

func listError(h *harness) {
	h.fill()
	stop := errors.New("stop")
	calls := 0
	fail := func(string) error { calls++; return stop }
	for _, prefix := range []string{"in/", "in/d"} {
		calls = 0
		err := h.store.List(h.Context(), h.prefix+prefix, func(string, int64, time.Time) error { return fail("") }, fail)
		if !errors.Is(err, stop) || calls != 1 {
			h.Errorf("List %s: %v after %d calls; want %v after 1", prefix, err, calls, stop)
		}
	}
}

func head(h *harness) {
	look := func(key string, size int64, token string) {
		h.Helper()
		if s, t, err := h.store.Head(h.Context(), h.prefix+key); err != nil || s != size || t != token {
			h.Errorf("Head %s: %d bytes, token %q, %v; want %d, %q", key, s, t, err, size, token)
		}
	}
	missing := func(key string) {
		h.Helper()
		if _, _, err := h.store.Head(h.Context(), h.prefix+key); !errors.Is(err, fs.ErrNotExist) {
			h.Errorf("Head %s: %v; want fs.ErrNotExist", key, err)
		}
	}
	u := h.upload("folder/a", "shardId-000000000000/1/2/abc/0", []byte("body"))
	missing("folder/a")
	h.mustPublish(u)
	look("folder/a", 4, u.token)
	missing("folder")
	missing("folder/b")
	missing("folder/a/b")
	if err := h.store.Put(h.Context(), h.prefix+"put", []byte("other")); err != nil {
		h.Fatal(err)
	}
	look("put", 5, "")
}

func readAt(h *harness) {
	body := random(1 << 20)
	h.mustPublish(h.upload("folder/a", "1", body))
	key := h.prefix + "folder/a"
	for _, span := range [][2]int{{0, 4}, {100, 1000}, {len(body) - 8, 8}, {len(body) - 1, 1}, {0, len(body)}} {
		p := make([]byte, span[1])
		if err := h.store.ReadAt(h.Context(), key, p, int64(span[0])); err != nil || !bytes.Equal(p, body[span[0]:span[0]+span[1]]) {
			h.Errorf("ReadAt %d, %d bytes: other bytes, or %v", span[0], span[1], err)
		}
	}
	for _, span := range [][2]int{{len(body) - 8, 9}, {len(body), 1}, {len(body) + 100, 8}} {
		if err := h.store.ReadAt(h.Context(), key, make([]byte, span[1]), int64(span[0])); err == nil || errors.Is(err, fs.ErrNotExist) {
			h.Errorf("ReadAt %d, %d bytes, of %d: %v; want an error, and not fs.ErrNotExist", span[0], span[1], len(body), err)
		}
	}
	for _, name := range []string{"folder", "folder/b", "folder/a/b"} {
		if err := h.store.ReadAt(h.Context(), h.prefix+name, make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) {
			h.Errorf("ReadAt %s: %v; want fs.ErrNotExist", name, err)
		}
	}
}
