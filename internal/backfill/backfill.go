// Package backfill brings local files through the same stages as the records of a stream, and makes the rows of each file
// visible together, and once.
//
// To the pipeline a file is a shard (session.go), whose records are pieces of the file that end where a line ends
// (pieces.go). What becomes of a file is told in file.go, and its one commit in commit.go.
//
// Nothing here knows the formats, which transform does, or how rows become objects.
package backfill

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/internal/once"
	"github.com/sluice-etl/sluice/internal/pipeline"
)

// Config says what is brought where. All fields are required, but for Force.
type Config struct {
	Files     []string // - is Stdin
	Stdin     io.Reader
	Store     once.Store
	Documents Documents
	Stream    string // the objects' names begin with it
	State     string // the prefix of what is kept of each file, with the slash at its end
	Format    string // of transform's
	Force     bool   // bring also files that were brought before: their rows are then there twice
	Parallel  int    // files at a time

	// NewPipeline makes the pipeline of one file. All together must keep within the memory.
	NewPipeline func(pipeline.Metrics) (*pipeline.Pipeline, error)

	// Report is told of each file whose rows are visible, Progress of how many bytes of all files were read. No two calls
	// are made at a time.
	Report   func(Result)
	Progress func(read, size int64)
}

// Documents keep what all agree on that write to one place. They are safe for concurrent use.
type Documents interface {
	// Agreed gives the document of a name, or an empty string.
	Agreed(ctx context.Context, name string) (string, error)
	// Agree stores a document under a name, unless one is there, and gives the one that is.
	Agree(ctx context.Context, name, body string) (string, error)
	// Amend stores a document in the place of the one that is expected, and gives the one that is there then.
	Amend(ctx context.Context, name, old, body string) (string, error)
}

// Result is what became of a file.
type Result struct {
	File      string    `json:"file"`
	SHA256    string    `json:"sha256"`                  // of the file as it is, compressed or not
	Before    time.Time `json:"brought_before,omitzero"` // it was done then, and nothing now; what follows is of then
	Records   int       `json:"records"`                 // rows, rejects, and what is left out
	Rows      int       `json:"rows"`
	Rejects   int       `json:"rejects"`
	Filtered  int       `json:"filtered"`  // left out by a step of SLUICE_ENRICH
	Anomalies int       `json:"anomalies"` // a row that two detectors flag counts twice
	Files     int       `json:"files"`     // objects
	Bytes     int64     `json:"bytes"`     // of these
}

// Run brings the files, several at a time. After an error no further file is begun, and only those files are visible
// that Report was told of, but for one whose commit the error is about.
func Run(ctx context.Context, c Config) error {
	r := &run{Config: c}
	for _, name := range c.Files {
		if name == stdin {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		r.size += info.Size()
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Parallel)
	for _, name := range c.Files {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			result, err := r.bring(ctx, name)
			if err != nil {
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.Report(result)
			return nil
		})
	}
	return group.Wait()
}

// run is one Run.
type run struct {
	Config
	size int64 // of all files, in bytes

	mu   sync.Mutex // guards what follows, and the calls of Report and Progress
	read int64      // bytes
}

// progress tells of more bytes that were read.
func (r *run) progress(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read += int64(n)
	r.Progress(r.read, r.size)
}
