// Package redrive sends rejected records to the stream again, each at most once.
//
// A record is claimed before it is sent (claims.go): after a crash nobody knows whether the stream has taken what was being
// sent, and it is told of instead of sent again. Nothing here knows why a record was rejected, or whether it would be again.
package redrive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/once"
	"github.com/sluice-etl/sluice/sink"
)

// Store keeps objects. Its methods are safe for concurrent use, and each retries for a while on its own.
type Store interface {
	once.Store

	// List calls object for every object whose key begins with the prefix. The first error of a call ends the list.
	List(ctx context.Context, prefix string, object func(key string, size int64, modified time.Time) error, folder func(prefix string) error) error

	// Put stores a small object, visible at once.
	Put(ctx context.Context, key string, body []byte) error
}

// Config says what is sent again. All fields are required, but for the filters and the flags.
type Config struct {
	Store  Store
	Prefix string // of the rejects' keys
	State  string // the prefix of the claims' keys, with the slash at its end

	// Send puts at most consumer.MaxPutRecords records into the stream, of consumer.MaxPutBytes together. It returns nil when
	// the stream has all of them. It is called by several goroutines at a time.
	Send func(ctx context.Context, records []consumer.Outgoing) error

	From, To time.Time // of the arrival of records, where they are not zero: From is of the range, To is not
	Codes    []string  // of rejects; none: all

	Force  bool // also those that were sent, or may have been sent, before
	DryRun bool // send nothing, and claim nothing

	Progress func(records int) // is told how many were looked at; no two calls at a time
}

// Summary is what a run did. Records that the filters leave out are not counted.
type Summary struct {
	Files   int            `json:"files"`    // with records
	Records int            `json:"records"`  // of these
	Codes   map[string]int `json:"codes"`    // of the records
	Sent    int            `json:"sent"`     // now; with DryRun: that would be
	Before  int            `json:"before"`   // were sent by a run before, and not now
	InDoubt int            `json:"in_doubt"` // were claimed, by a run that was cut off, or is at work: it may have sent them
	Others  int            `json:"others"`   // objects that are no files of rejects
}

// atOnce is how many files are looked at at the same time. Each takes the memory of a request, and of the file.
const atOnce = 8

// Run sends rejects. The summary is true also beside an error.
func Run(ctx context.Context, c Config) (Summary, error) {
	r := &run{Config: c, sum: Summary{Codes: map[string]int{}}}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	err := c.Store.List(ctx, c.Prefix, func(key string, _ int64, _ time.Time) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		group.Go(func() error {
			if err := r.file(ctx, key); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			return nil
		})
		return nil
	}, nil)
	return r.sum, errors.Join(group.Wait(), err)
}

// run is one Run.
type run struct {
	Config

	mu  sync.Mutex // guards what follows, and the calls of Progress
	sum Summary
}

func (r *run) add(count func(*Summary)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	count(&r.sum)
	r.Progress(r.sum.Records)
}

// record is a reject that is to be sent.
type record struct {
	line int // in its file
	consumer.Outgoing
}

// file sends what is to be sent of one file of rejects, a request at a time.
func (r *run) file(ctx context.Context, key string) error {
	if !strings.HasSuffix(key, "."+sink.RejectsExtension) {
		r.add(func(s *Summary) { s.Others++ })
		return nil
	}
	body, err := r.Store.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was removed meanwhile
	}
	if err != nil {
		return err
	}
	// The first line shows what the file is, before a record of it is sent.
	shown := errors.New("shown")
	if err := sink.ReadRejects(body, func(int, sink.Reject) error { return shown }); errors.Is(err, sink.ErrNoRejects) {
		r.add(func(s *Summary) { s.Others++ })
		return nil
	}
	claims := &claims{run: r, object: key, lines: map[int]bool{}}
	if err := claims.read(ctx); err != nil {
		return err
	}
	before := claims.lines
	var batch []record
	size, wanted := 0, 0
	flush := func() error {
		err := r.send(ctx, claims, batch)
		batch, size = nil, 0
		return err
	}
	err = sink.ReadRejects(body, func(line int, j sink.Reject) error {
		if !r.wants(&j) {
			return nil
		}
		wanted++
		sent, claimed := before[line]
		r.add(func(s *Summary) {
			s.Records++
			s.Codes[j.Code]++
			switch {
			case !claimed || r.Force:
			case sent:
				s.Before++
			default:
				s.InDoubt++
			}
		})
		if claimed && !r.Force {
			return nil
		}
		// Its own partition key is not known any more; this one spreads the records, and keeps the lines of one together.
		next := record{line, consumer.Outgoing{PartitionKey: j.Shard + "/" + j.Sequence, Data: slices.Clone(j.Raw)}}
		length := len(next.Data) + len(next.PartitionKey)
		if len(batch) == consumer.MaxPutRecords || size+length > consumer.MaxPutBytes && size > 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, next)
		size += length
		return nil
	})
	if err == nil {
		err = flush()
	}
	if wanted > 0 {
		r.add(func(s *Summary) { s.Files++ })
	}
	return err
}

func (r *run) wants(j *sink.Reject) bool {
	return (r.From.IsZero() || !j.Arrival.Before(r.From)) && (r.To.IsZero() || j.Arrival.Before(r.To)) &&
		(len(r.Codes) == 0 || slices.Contains(r.Codes, j.Code))
}

// send claims records, sends them, and notes that they are sent. A crash before the claim leaves them to the next run; one
// after it leaves them in doubt, also when they were sent.
func (r *run) send(ctx context.Context, claims *claims, batch []record) error {
	if r.DryRun {
		r.add(func(s *Summary) { s.Sent += len(batch) })
		return nil
	}
	batch, err := claims.claim(ctx, batch)
	if err != nil || len(batch) == 0 {
		return err
	}
	records := make([]consumer.Outgoing, len(batch))
	for i := range batch {
		records[i] = batch[i].Outgoing
	}
	if err := r.Send(ctx, records); err != nil {
		r.add(func(s *Summary) { s.InDoubt += len(records) })
		return err
	}
	r.add(func(s *Summary) { s.Sent += len(records) })
	return claims.sent(ctx)
}
