package backfill

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/once"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/sink/dir"
	"github.com/sluice-etl/sluice/transform"
)

// place is where a test brings files to.
type place struct {
	t     *testing.T
	dir   string
	store once.Store
	mu    sync.Mutex
	docs  map[string]string
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, dir: t.TempDir(), docs: map[string]string{}}
	var err error
	if p.store, err = dir.New(dir.Options{Dir: p.dir}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) Agreed(_ context.Context, name string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.docs[name], nil
}

func (p *place) Agree(_ context.Context, name, body string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.docs[name] == "" {
		p.docs[name] = body
	}
	return p.docs[name], nil
}

func (p *place) Amend(_ context.Context, name, old, body string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.docs[name] == old {
		p.docs[name] = body
	}
	return p.docs[name], nil
}

// bring brings files of a format, in batches as small as they get.
func (p *place) bring(store once.Store, format string, force bool, files ...string) (results []Result, err error) {
	p.t.Helper()
	prefix, err := sink.ParsePrefix("data/dt=!{timestamp:yyyy-MM-dd}/")
	if err != nil {
		p.t.Fatal(err)
	}
	errorPrefix, err := sink.ParseErrorPrefix("errors/!{firehose:error-output-type}/")
	if err != nil {
		p.t.Fatal(err)
	}
	err = Run(p.t.Context(), Config{
		Files: files, Stdin: strings.NewReader("{\"n\":1}\n"), Store: store, Documents: p, Stream: "s", State: "_sluice/a/backfill/", Format: format, Force: force, Parallel: 2,
		NewPipeline: func(m pipeline.Metrics) (*pipeline.Pipeline, error) {
			return pipeline.New(pipeline.Config{
				Prefix: prefix, ErrorPrefix: errorPrefix, Timezone: time.UTC, Output: sink.OutputParquet, Compression: "none", CreatedBy: "test",
				NewDetector: func(reserved ...string) pipeline.Detector { return transform.NewDetector(reserved...) },
				FlushBytes:  1, FlushInterval: time.Hour, MemoryLimit: 1 << 20, Metrics: m, Log: slog.New(slog.DiscardHandler),
			})
		},
		Report: func(r Result) { results = append(results, r) }, Progress: func(int64, int64) {},
	})
	return results, err
}

// visible lists the objects of data and rejects.
func (p *place) visible() (names []string) {
	p.t.Helper()
	for _, pattern := range []string{"data/*/*", "errors/*/*"} {
		found, err := filepath.Glob(filepath.Join(p.dir, pattern))
		if err != nil {
			p.t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
}

// jsonFile makes a file of so many JSON lines, of which every hundredth is broken.
func jsonFile(t *testing.T, lines int) string {
	t.Helper()
	var b strings.Builder
	for n := range lines {
		if n%100 == 99 {
			b.WriteString("{\"n\":\n")
		} else {
			fmt.Fprintf(&b, "{\"n\":%d,\"text\":%q}\n", n, strings.Repeat("x", 100))
		}
	}
	return write(t, b.String())
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBringOnce(t *testing.T) {
	p := newPlace(t)
	file := jsonFile(t, 10_000)
	results, err := p.bring(p.store, transform.FormatJSON, false, file)
	if err != nil {
		t.Fatal(err)
	}
	first := results[0]
	if first.Rows != 9_900 || first.Rejects != 100 || first.Records != 10_000 || first.Files < 4 || !first.Before.IsZero() {
		t.Errorf("the file gave %+v", first)
	}
	objects := p.visible()
	if len(objects) != first.Files {
		t.Errorf("%d objects are visible; want %d", len(objects), first.Files)
	}
	for _, force := range []bool{false, true} {
		if results, err = p.bring(p.store, transform.FormatJSON, force, file); err != nil {
			t.Fatal(err)
		}
		again := results[0]
		if again.Before.IsZero() != force || again.Rows != first.Rows || again.Rejects != first.Rejects || again.Files != first.Files {
			t.Errorf("with force %t the second time gave %+v", force, again)
		}
		want := len(objects)
		if force {
			want *= 2
		}
		if got := len(p.visible()); got != want {
			t.Errorf("with force %t %d objects are visible after the second time; want %d", force, got, want)
		}
	}
}

// faulty is a store in which a call goes wrong.
type faulty struct {
	once.Store
	upload  func(key string) error                    // instead of the call
	publish func(key string, call func() error) error // around the call
}

func (f faulty) Upload(ctx context.Context, key, token, contentType string, body []byte) (string, []string, error) {
	if err := f.upload(key); err != nil {
		return "", nil, err
	}
	return f.Store.Upload(ctx, key, token, contentType, body)
}

func (f faulty) Publish(ctx context.Context, key, upload string, etags []string, token string) error {
	return f.publish(key, func() error { return f.Store.Publish(ctx, key, upload, etags, token) })
}

func isCommit(key string) bool { return strings.HasPrefix(key, "_sluice/") }

// TestFaults lets a call go wrong, and brings the file again: each row must be there once.
func TestFaults(t *testing.T) {
	fault := errors.New("a fault")
	for name, tt := range map[string]struct {
		upload    func(key string) error
		publish   func(key string, call func() error) error
		fails     bool
		committed bool // when the first run is over
	}{
		"an upload": {
			upload: func(key string) error {
				if strings.Contains(key, "-c2-") {
					return fault
				}
				return nil
			}, fails: true,
		},
		"the upload of the commit": {
			upload: func(key string) error {
				if isCommit(key) {
					return fault
				}
				return nil
			}, fails: true,
		},
		"the commit": {
			publish: func(key string, call func() error) error {
				if isCommit(key) {
					return fault
				}
				return call()
			}, fails: true,
		},
		"the answer to the commit": {
			publish: func(key string, call func() error) error {
				if isCommit(key) {
					return errors.Join(call(), fault)
				}
				return call()
			}, committed: true,
		},
		"an object's publishing": {
			publish: func(key string, call func() error) error {
				if strings.Contains(key, "-c2-") {
					return fault
				}
				return call()
			}, fails: true, committed: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			file := jsonFile(t, 10_000)
			broken := faulty{p.store, func(string) error { return nil }, func(_ string, call func() error) error { return call() }}
			if tt.upload != nil {
				broken.upload = tt.upload
			}
			if tt.publish != nil {
				broken.publish = tt.publish
			}
			if _, err := p.bring(broken, transform.FormatJSON, false, file); errors.Is(err, fault) != tt.fails {
				t.Fatalf("the first run gave %v", err)
			}
			if n := len(p.visible()); !tt.committed && n > 0 {
				t.Errorf("%d objects are visible without a commit", n)
			}
			results, err := p.bring(p.store, transform.FormatJSON, false, file)
			if err != nil {
				t.Fatal(err)
			}
			if r := results[0]; r.Before.IsZero() == tt.committed || r.Rows != 9_900 || r.Rejects != 100 || len(p.visible()) != r.Files {
				t.Errorf("the second run gave %+v, and %d objects", r, len(p.visible()))
			}
		})
	}
}

// TestTwoAtOnce brings a file twice at the same time: one of them counts.
func TestTwoAtOnce(t *testing.T) {
	p := newPlace(t)
	file := jsonFile(t, 10_000)
	both := make(chan struct{}, 2)
	meet := faulty{p.store, func(key string) error {
		if isCommit(key) { // neither may commit before both could
			both <- struct{}{}
			for len(both) < 2 {
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	}, func(_ string, call func() error) error { return call() }}
	results, err := p.bring(meet, transform.FormatJSON, false, file, file)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].Before.IsZero() == results[1].Before.IsZero() || len(p.visible()) != results[0].Files {
		t.Errorf("they gave %+v, and %d objects are visible", results, len(p.visible()))
	}
	uploads := 0
	err = p.store.(*dir.Store).Uploads(t.Context(), "", func(string, string, time.Time) error { uploads++; return nil })
	if err != nil || uploads > 0 {
		t.Errorf("%d uploads are left, %v", uploads, err)
	}
}

func TestObjectsThatAreGone(t *testing.T) {
	p := newPlace(t)
	file := jsonFile(t, 100)
	if _, err := p.bring(p.store, transform.FormatJSON, false, file); err != nil {
		t.Fatal(err)
	}
	for _, name := range p.visible() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	_, err := p.bring(p.store, transform.FormatJSON, false, file)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "is gone since") {
		t.Errorf("objects that were deleted give %v", err)
	}
}

func TestSources(t *testing.T) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	io.WriteString(zip, "{\"n\":1}\n{\"n\":2}\n\n\n")
	zip.Close()
	for name, tt := range map[string]struct {
		file string // - or what a file holds
		rows int
		err  string
	}{
		"gzip":            {packed.String(), 2, ""},
		"two gzip files":  {packed.String() + packed.String(), 4, ""},
		"truncated":       {packed.String()[:packed.Len()-9], 0, "unexpected EOF"},
		"standard input":  {"-", 1, ""},
		"empty":           {"", 0, ""},
		"blank":           {"\n\n", 0, ""},
		"no last newline": {"{\"n\":1}\n{\"n\":2}", 2, ""},
		"pretty-printed":  {"{\n \"n\": 1\n}\n{\n \"n\": 2\n}\n", 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			file := tt.file
			if file != "-" {
				file = write(t, file)
			}
			results, err := p.bring(p.store, transform.FormatJSON, false, file)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || len(p.visible()) > 0 {
					t.Errorf("got %v, and %d objects", err, len(p.visible()))
				}
				return
			}
			if err != nil || results[0].Rows != tt.rows || results[0].Rejects != 0 {
				t.Errorf("got %+v, %v", results, err)
			}
		})
	}
}

// TestPieces cuts texts that are longer than a piece: put together they are the text, and each begins where a line begins.
func TestPieces(t *testing.T) {
	object := "{\"text\":\"" + strings.Repeat("x", 1000) + "\",\n \"list\": [\n  {},\n  {}\n ]\n}\n"
	for name, tt := range map[string]struct {
		format, text, begins string
		most                 int // bytes of a piece
	}{
		"log lines":          {transform.FormatApache, strings.Repeat("<"+strings.Repeat("y", 99)+"\n", 10_000), "<", pieceSize},
		"JSON":               {transform.FormatJSON, strings.Repeat(object, 1000), "{\"text\"", pieceSize},
		"JSON in a line":     {transform.FormatJSON, strings.Repeat(strings.ReplaceAll(object, "\n", ""), 1000), "{\"text\"", pieceSize},
		"CSV":                {transform.FormatCSV, strings.Repeat("<,\""+strings.Repeat("a\n\"\"", 100)+"\"\n", 2000), "<,", pieceSize},
		"a long value":       {transform.FormatCSV, strings.Repeat("<,\""+strings.Repeat("a\n", pieceSize)+"\"\n", 3), "<,", 4 * pieceSize},
		"no line at all":     {transform.FormatRaw, strings.Repeat("<", 3*maxPiece), "<", maxPiece},
		"a lost quote":       {transform.FormatCSV, "<,\"" + strings.Repeat("a\n<", maxPiece), "<", maxPiece},
		"no JSON, but lines": {transform.FormatJSON, strings.Repeat("< no JSON\n", maxPiece/5), "<", maxPiece},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := NewPieces(strings.NewReader(tt.text), tt.format)
			if err != nil {
				t.Fatal(err)
			}
			var together []byte
			for n := 0; ; n++ {
				piece, offset, err := p.Next()
				if err == io.EOF {
					if n < 2 {
						t.Errorf("%d pieces", n)
					}
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if offset != int64(len(together)) || len(piece) > tt.most || !bytes.HasPrefix(piece, []byte(tt.begins)) {
					t.Fatalf("piece %d at %d of %d bytes begins with %.20q", n, offset, len(piece), piece)
				}
				together = append(together, piece...)
			}
			if string(together) != tt.text {
				t.Errorf("the pieces are not the text: %d of %d bytes", len(together), len(tt.text))
			}
		})
	}
}
