package s3gw

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/versity/versitygw/backend/posix"

	sink "github.com/sluice-etl/sluice/sink/s3"
)

// What is on the disk when the gateway is killed between two steps of completing an upload. Whoever publishes the upload
// then must get the object.
func TestKilledWhileCompleting(t *testing.T) {
	const key, token, body = "folder/a", "1", "body"
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	write := func(t *testing.T, path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The steps in their order; each test does as many of them as its number.
	steps := []struct {
		name string
		do   func(t *testing.T, o Options, uploads, id string)
	}{
		{"the parts are claimed", func(t *testing.T, o Options, uploads, id string) {
			rename(t, filepath.Join(o.Dir, uploads, id), filepath.Join(o.Dir, uploads, id+".0123-1"+inProgress))
		}},
		{"so are their attributes", func(t *testing.T, o Options, uploads, id string) {
			rename(t, filepath.Join(o.Sidecar, uploads, id), filepath.Join(o.Sidecar, uploads, id+".0123-1"+inProgress))
		}},
		{"the object has attributes", func(t *testing.T, o Options, _, id string) {
			folder := filepath.Join(o.Sidecar, o.Bucket, key, attributes)
			write(t, filepath.Join(folder, "etag"), "0123-1")
			write(t, filepath.Join(folder, "X-Amz-Meta.sluice-commit"), token)
			write(t, filepath.Join(folder, partsAttribute), `{"uploadId":"`+id+`","parts":[4]}`)
		}},
	}
	for i, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			g := newGateway(t)
			store := sink.New(g.restart(t), sink.Options{Bucket: g.options.Bucket})
			id, etags, err := store.Upload(t.Context(), key, token, "text/plain", []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			g.stop(t)
			folders, err := filepath.Glob(filepath.Join(g.options.Dir, g.options.Bucket, posix.MetaTmpMultipartDir, "*"))
			if err != nil || len(folders) != 1 {
				t.Fatalf("uploads are in %v, %v", folders, err)
			}
			uploads, err := filepath.Rel(g.options.Dir, folders[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range steps[:i+1] {
				step.do(t, g.options, uploads, id)
			}

			store = sink.New(g.restart(t), sink.Options{Bucket: g.options.Bucket})
			listed := 0
			err = store.Uploads(t.Context(), "", func(string, string, time.Time) error { listed++; return nil })
			if err != nil || listed != 1 {
				t.Errorf("%d uploads are listed, want 1; %v", listed, err)
			}
			for range 2 {
				if err := store.Publish(t.Context(), key, id, etags, token); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := store.Get(t.Context(), key); string(got) != body {
				t.Errorf("the object holds %q, %v", got, err)
			}
		})
	}
}

// Killed when the object was there, but the upload was not cleaned up.
func TestKilledAfterCompleting(t *testing.T) {
	g := newGateway(t)
	store := sink.New(g.restart(t), sink.Options{Bucket: g.options.Bucket})
	id, etags, err := store.Upload(t.Context(), "a", "1", "text/plain", []byte("body"))
	if err == nil {
		err = store.Publish(t.Context(), "a", id, etags, "1")
	}
	if err != nil {
		t.Fatal(err)
	}
	g.stop(t)
	folders, err := filepath.Glob(filepath.Join(g.options.Sidecar, g.options.Bucket, posix.MetaTmpMultipartDir, "*"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("the upload's attributes are in %v, %v", folders, err)
	}
	relative, err := filepath.Rel(g.options.Sidecar, folders[0])
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(g.options.Dir, relative, id+".0123-1"+inProgress)
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}

	store = sink.New(g.restart(t), sink.Options{Bucket: g.options.Bucket})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there; %v", left, err)
	}
	if err := store.Publish(t.Context(), "a", id, etags, "1"); err != nil {
		t.Error(err)
	}
	if got, err := store.Get(t.Context(), "a"); string(got) != "body" {
		t.Errorf("the object holds %q, %v", got, err)
	}
}
