package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/sink/storetest"
)

func openStore(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func upload(t *testing.T, s *Store, key, token, body string) string {
	t.Helper()
	id, _, err := s.Upload(t.Context(), key, token, "", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// files lists all files below a folder, relative to it.
func files(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestContract(t *testing.T) {
	for name, uploads := range map[string]string{"uploads within": "", "uploads beside": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			o := Options{Dir: filepath.Join(t.TempDir(), "made", "here"), Uploads: uploads}
			storetest.Run(t, func(t *testing.T) storetest.Store { return openStore(t, o) })
		})
	}
}

func TestPatternsFindOnlyWhatIsPublished(t *testing.T) {
	folder := t.TempDir()
	s := openStore(t, Options{Dir: folder})
	parquet := func() []string {
		return slices.DeleteFunc(files(t, folder), func(path string) bool { return filepath.Ext(path) != ".parquet" })
	}
	id := upload(t, s, "day=1/a.parquet", "1", "body")
	if found := parquet(); len(found) != 0 {
		t.Errorf("unpublished, but found: %v", found)
	}
	if err := s.Publish(t.Context(), "day=1/a.parquet", id, nil, "1"); err != nil {
		t.Fatal(err)
	}
	if found := parquet(); !slices.Equal(found, []string{"day=1/a.parquet"}) {
		t.Errorf("published: %v", found)
	}
	// One small file remembers the token; nothing else is left.
	if found := files(t, folder); len(found) != 2 {
		t.Errorf("left: %v", found)
	}
}

func TestManyUploads(t *testing.T) {
	const many = 1200
	s := openStore(t, Options{Dir: t.TempDir()})
	work := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range work {
				if _, _, err := s.Upload(t.Context(), fmt.Sprintf("p/%04d", i), "1", "", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range many {
		work <- i
	}
	close(work)
	wg.Wait()
	var keys []string
	err := s.Uploads(t.Context(), "p/", func(key, _ string, _ time.Time) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil || len(keys) != many || !slices.IsSorted(keys) || len(slices.Compact(keys)) != many {
		t.Errorf("%d uploads are listed, want %d different ones in order; %v", len(keys), many, err)
	}
}

func TestKeysThatNameNoFileBelowTheFolder(t *testing.T) {
	outside := t.TempDir()
	s := openStore(t, Options{Dir: filepath.Join(outside, "dir")})
	for _, key := range []string{
		"", ".", "..", "../a", "a/../../b", "/etc/a", "a/../b", "a//b", "./a", "a/", "a/.", "a\x00b",
		".uploads", ".uploads/open/a", ".uploads/tokens/a",
	} {
		_, _, uploading := s.Upload(t.Context(), key, "1", "", nil)
		_, getting := s.Get(t.Context(), key)
		for call, err := range map[string]error{
			"Upload":  uploading,
			"Get":     getting,
			"Put":     s.Put(t.Context(), key, nil),
			"Delete":  s.Delete(t.Context(), key),
			"Publish": s.Publish(t.Context(), key, newID(), nil, "1"),
		} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s %q: %v", call, key, err)
			}
		}
	}
	if found := files(t, outside); len(found) != 0 {
		t.Errorf("files were written: %v", found)
	}
}

// An upload id comes back from where the caller kept it, and never leads out of the store's folder.
func TestForeignUploadIDs(t *testing.T) {
	folder := t.TempDir()
	s := openStore(t, Options{Dir: folder})
	if err := s.Put(t.Context(), "kept", []byte("body")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "x", "../../kept", strings.Repeat("g", 32), "../tokens"} {
		if err := s.Publish(t.Context(), "a", id, nil, "1"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Publish %q: %v", id, err)
		}
		if err := s.Abort(t.Context(), "a", id); err != nil {
			t.Errorf("Abort %q: %v", id, err)
		}
	}
	if found := files(t, folder); !slices.Equal(found, []string{"kept"}) {
		t.Errorf("left: %v", found)
	}
}

func TestPublishUnderAnotherKey(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	id := upload(t, s, "a", "1", "body")
	for _, as := range []struct{ key, token string }{{"b", "1"}, {"a", "2"}} {
		if err := s.Publish(t.Context(), as.key, id, nil, as.token); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Publish as %v: %v", as, err)
		}
	}
	if err := s.Publish(t.Context(), "a", id, nil, "1"); err != nil {
		t.Error(err)
	}
}

// A place that can take no object is found before the caller commits to the upload.
func TestUploadWhereNoFileCanBe(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	if err := s.Put(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/b", strings.Repeat("n", 300), strings.Repeat("n", 300) + "/a"} {
		if _, _, err := s.Upload(t.Context(), key, "1", "", nil); err == nil {
			t.Errorf("Upload %.20s succeeded", key)
		}
	}
}

// What is on the disk when a process dies between two steps, and what another one then makes of it.
func TestCrash(t *testing.T) {
	const key, token = "folder/a", "1"
	link := func(t *testing.T, s *Store, id string) {
		if err := os.Link(s.bodyPath(id), filepath.Join(s.dir, key)); err != nil {
			t.Fatal(err)
		}
	}
	remember := func(t *testing.T, s *Store) {
		if err := s.write(s.tokenPath(key), []byte(token)); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		crash func(t *testing.T, s *Store, id string)
		lost  bool
	}{
		"the body is not written": {func(t *testing.T, s *Store, id string) {
			if err := os.Remove(s.bodyPath(id)); err != nil {
				t.Fatal(err)
			}
		}, true},
		"the object is linked": {link, false},
		"the token is kept": {func(t *testing.T, s *Store, id string) {
			link(t, s, id)
			remember(t, s)
		}, false},
		"the body is removed": {func(t *testing.T, s *Store, id string) {
			link(t, s, id)
			remember(t, s)
			if err := os.Remove(s.bodyPath(id)); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Dir: t.TempDir()}
			s := openStore(t, o)
			id := upload(t, s, key, token, "body")
			test.crash(t, s, id)

			s = openStore(t, o)
			for range 2 {
				err := s.Publish(t.Context(), key, id, nil, token)
				if errors.Is(err, fs.ErrNotExist) != test.lost || !test.lost && err != nil {
					t.Fatalf("Publish: %v; lost: %v", err, test.lost)
				}
			}
			if body, err := s.Get(t.Context(), key); string(body) != "body" && !test.lost {
				t.Errorf("Get: %q, %v", body, err)
			}
			if err := s.Abort(t.Context(), key, id); err != nil {
				t.Error(err)
			}
			if found := files(t, s.open); len(found) != 0 {
				t.Errorf("left of the upload: %v", found)
			}
		})
	}
}

func TestTemporaryFilesOfACrashAreRemovedLater(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	fresh, old := filepath.Join(s.state, newID()), filepath.Join(s.state, newID())
	for path, age := range map[string]time.Duration{fresh: time.Hour, old: 25 * time.Hour} {
		if err := writeNew(path, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	openStore(t, Options{Dir: s.dir})
	if found := files(t, s.state); !slices.Equal(found, []string{filepath.Base(fresh)}) {
		t.Errorf("left: %v, want only %s, which another process may be writing", found, fresh)
	}
}

func TestNewErrors(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"no folder":              {},
		"a file":                 {Dir: file},
		"below a file":           {Dir: filepath.Join(file, "a")},
		"uploads are a file":     {Dir: folder, Uploads: file},
		"uploads are the folder": {Dir: folder, Uploads: folder},
		"within the uploads":     {Dir: filepath.Join(folder, "a"), Uploads: folder},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: New succeeded", name)
		} else {
			t.Log(err)
		}
	}
}
