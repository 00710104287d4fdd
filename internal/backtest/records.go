package backtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/backfill"
	"github.com/sluice-etl/sluice/internal/pipeline"
)

// Stdin is the name of the standard input among the files.
const Stdin = "-"

// Records are files of records, plain or gzip, which are taken for one shard that holds them one after the other.
type Records struct {
	Files  []File
	Stdin  io.Reader
	Format string // of transform's
	Timed  bool   // a column tells the records' time

	// NewPipeline makes a pipeline without detectors, which shows its rows to a Looker. It must take all times that rows tell for true: a file
	// does not say when a record arrived.
	NewPipeline func(pipeline.Looker, pipeline.Metrics) (*pipeline.Pipeline, error)
}

// RunRecords brings the files as far as the detectors, as backfill and the service do.
//
// A row that tells no time is judged by its arrival. Where others tell theirs, that is taken to be in 1970, so that the row is a late one,
// which detectors do not learn from; else all rows of a file arrived at its last change.
func (c Config) RunRecords(ctx context.Context, r Records) (*Result, error) {
	judges, err := c.newJudges()
	if err != nil {
		return nil, err
	}
	var m pipeline.Counted
	p, err := r.NewPipeline(judges, &m)
	if err != nil {
		return nil, err
	}
	s := &session{Records: r, progress: c.Progress, documents: map[string]string{}, fetches: make(chan consumer.Fetch)}
	group, work := errgroup.WithContext(ctx)
	group.Go(func() error { return s.deliver(work) })
	group.Go(func() error { return p.Process(work, s) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	judges.finish()
	if err := c.draw(judges.outcomes()); err != nil {
		return nil, err
	}
	result := &Result{Rows: judges.rows, Outcomes: judges.outcomes(), Labelled: c.Labels != nil}
	result.What = fmt.Sprintf("%d rows of %d files%s; %d lines were rejected, %d rows left out", judges.rows, len(r.Files), judges.span(), m.Rejects, m.LeftOut)
	switch {
	case !r.Timed:
		result.Notes = append(result.Notes, "SLUICE_TIME_COLUMN is not set: all records of a file are taken to have come at once, when it was changed last. "+
			"Counts in a window are then those of the file, and labels fit no row.")
	case judges.untold > 0:
		result.Notes = append(result.Notes, fmt.Sprintf("%d rows tell no time; they were judged as late ones, and not learned from.", judges.untold))
	}
	return result, nil
}

// session is the files as the pipeline sees them: a pipeline.Shard, of which nothing is kept.
type session struct {
	Records
	progress  func(read, size int64)
	documents map[string]string // by the shard's goroutine alone
	fetches   chan consumer.Fetch
	sequence  int64
}

// Shard, and what follows, is a shard without a past that ends when it is read.
func (s *session) Shard() string                  { return "backtest" }
func (s *session) Fetches() <-chan consumer.Fetch { return s.fetches }
func (s *session) Stopping() <-chan struct{}      { return nil }
func (s *session) Peers() ([][]byte, bool)        { return nil, true }

// State is none.
func (s *session) State(context.Context, func(error)) ([][]byte, bool, error) {
	return nil, false, nil
}

// Agreed, Agree and Amend keep what the session has agreed on with itself.
func (s *session) Agreed(_ context.Context, name string) (string, error) {
	return s.documents[name], nil
}

func (s *session) Agree(ctx context.Context, name, body string) (string, error) {
	return s.Amend(ctx, name, "", body)
}

func (s *session) Amend(_ context.Context, name, old, body string) (string, error) {
	if s.documents[name] == old {
		s.documents[name] = body
	}
	return s.documents[name], nil
}

// Commit has nothing to keep.
func (s *session) Commit(context.Context, consumer.Batch) error { return nil }

// deliver gives the pieces of the files to the pipeline.
func (s *session) deliver(ctx context.Context) error {
	size := int64(0)
	for _, f := range s.Files {
		if f.Path == Stdin {
			continue
		}
		info, err := os.Stat(f.Path)
		if err != nil {
			return err
		}
		size += info.Size()
	}
	read := counting{tell: func(n int64) { s.progress(n, size) }}
	for _, f := range s.Files {
		if err := s.file(ctx, f, &read); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return s.give(ctx, consumer.Fetch{End: true})
}

func (s *session) file(ctx context.Context, f File, read *counting) error {
	read.Reader = s.Stdin
	arrival := time.Now()
	if f.Path != Stdin {
		file, err := os.Open(f.Path)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		read.Reader, arrival = file, info.ModTime()
	}
	if s.Timed {
		arrival = time.UnixMilli(0)
	}
	pieces, err := backfill.NewPieces(read, s.Format)
	if err != nil {
		return err
	}
	for {
		piece, _, err := pieces.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s.sequence++
		err = s.give(ctx, consumer.Fetch{BehindLatest: time.Millisecond, Records: []consumer.Record{{
			SequenceNumber: strconv.FormatInt(s.sequence, 10), Arrival: arrival, Data: piece, User: [][]byte{piece},
		}}})
		if err != nil {
			return err
		}
	}
}

func (s *session) give(ctx context.Context, f consumer.Fetch) error {
	select {
	case s.fetches <- f:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// counting tells how many bytes were read, of all files.
type counting struct {
	io.Reader
	n    int64
	tell func(int64)
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}
