package backfill

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/consumer"
)

// session is a file as the pipeline sees it: a pipeline.Shard. Its batches are uploaded, and wait for the commit of the file.
type session struct {
	run   *run
	shard string
	names func(batch int64, index int, extension string) string
	token string // of the objects, without their numbers

	fetches chan consumer.Fetch
	batches int64
	files   []object
}

// Shard is the name that the rows have for their shard.
func (s *session) Shard() string { return s.shard }

// Fetches gives the file's pieces.
func (s *session) Fetches() <-chan consumer.Fetch { return s.fetches }

// Stopping never says so: a file is brought whole, or not at all.
func (s *session) Stopping() <-chan struct{} { return nil }

// State is none: the detectors begin anew with each file.
func (s *session) State(context.Context, func(error)) ([][]byte, bool, error) { return nil, false, nil }

// Peers are none: a file is judged by itself.
func (s *session) Peers() ([][]byte, bool) { return nil, true }

// Agreed, Agree and Amend are those of the place where the rows go.
func (s *session) Agreed(ctx context.Context, name string) (string, error) {
	return s.run.Documents.Agreed(ctx, name)
}

func (s *session) Agree(ctx context.Context, name, body string) (string, error) {
	return s.run.Documents.Agree(ctx, name, body)
}

func (s *session) Amend(ctx context.Context, name, old, body string) (string, error) {
	return s.run.Documents.Amend(ctx, name, old, body)
}

// filesAtOnce is how many objects of a file are uploaded at the same time.
const filesAtOnce = 4

// Commit uploads the objects of a batch. A crash leaves uploads that no commit names, which are invisible for ever.
func (s *session) Commit(ctx context.Context, b consumer.Batch) error {
	s.batches++
	objects := make([]object, len(b.Files))
	var group errgroup.Group
	group.SetLimit(filesAtOnce)
	for i, f := range b.Files {
		o := &objects[i]
		*o = object{Key: f.Prefix + s.names(s.batches, i, f.Extension), Size: int64(len(f.Body)), Rows: f.Rows}
		o.Token = fmt.Sprintf("%s/%d/%d", s.token, s.batches, i)
		group.Go(func() (err error) {
			o.Upload, o.ETags, err = s.run.Store.Upload(ctx, o.Key, o.Token, f.ContentType, f.Body)
			return err
		})
	}
	err := group.Wait()
	for _, o := range objects {
		if err == nil || o.Upload != "" {
			s.files = append(s.files, o)
		}
	}
	return err
}

// deliver gives the pieces to the pipeline. Their lines are taken to have arrived at one time; a piece's sequence number is
// its place in the text.
func (s *session) deliver(ctx context.Context, p *Pieces, arrival time.Time) error {
	for {
		piece, offset, err := p.Next()
		// While there is more to come, the shard is not read to its end.
		fetch := consumer.Fetch{BehindLatest: time.Millisecond}
		switch {
		case err == io.EOF:
			fetch = consumer.Fetch{End: true}
		case err != nil:
			return err
		default:
			fetch.Records = []consumer.Record{{
				SequenceNumber: strconv.FormatInt(offset, 10), Arrival: arrival, Data: piece, User: [][]byte{piece},
			}}
		}
		select {
		case s.fetches <- fetch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if fetch.End {
			return nil
		}
	}
}
