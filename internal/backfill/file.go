package backfill

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/pipeline"
)

// stdin is the name of the standard input.
const stdin = "-"

// bring brings a file, unless it was brought before: which its content tells, and not its name.
func (r *run) bring(ctx context.Context, name string) (Result, error) {
	result, err := r.bringFile(ctx, name)
	if err != nil {
		return result, fmt.Errorf("%s: %w", name, err)
	}
	return result, nil
}

func (r *run) bringFile(ctx context.Context, name string) (Result, error) {
	file, err := r.open(name)
	if err != nil {
		return Result{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Result{}, err
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return Result{}, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Result{}, err
	}
	sum := hex.EncodeToString(hash.Sum(nil))

	// The times that a file was brought are counted: a commit is of a file and a time.
	number := int64(1)
	for {
		c, err := r.committed(ctx, sum, number)
		if err != nil {
			return Result{}, err
		}
		if c == nil {
			break
		}
		if !r.Force {
			return r.finish(ctx, c, true)
		}
		number++
	}
	return r.story(ctx, file, info.ModTime(), commit{File: filepath.Base(name), SHA256: sum, Number: number})
}

// open opens a file. Of the standard input it makes one first, as the content has to be known before the first row.
func (r *run) open(name string) (*os.File, error) {
	if name != stdin {
		return os.Open(name)
	}
	file, err := os.CreateTemp("", "sluice-backfill-")
	if err != nil {
		return nil, err
	}
	removed := os.Remove(file.Name()) // where the system does not do that to an open file, it is left to the system
	n, err := io.Copy(file, r.Stdin)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close(), removed)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size += n
	return file, nil
}

// story is that of a file: its pieces become batches, whose objects are uploaded; when all are, the file is committed, and the
// objects become visible. A crash before the commit leaves nothing that can be seen, and the file is brought from its
// beginning by the next run; one after it leaves a commit that the next run finishes.
func (r *run) story(ctx context.Context, file io.Reader, arrival time.Time, c commit) (Result, error) {
	var m pipeline.Counted
	p, err := r.NewPipeline(&m)
	if err != nil {
		return Result{}, err
	}
	pieces, err := NewPieces(counting{file, r.progress}, r.Format)
	if err != nil {
		return Result{}, err
	}
	s := &session{
		run: r, shard: fmt.Sprintf("%.64s-%.8s", c.File, c.SHA256), names: r.names(c), fetches: make(chan consumer.Fetch),
		token: fmt.Sprintf("backfill/%s/%d/%s", c.SHA256, c.Number, rand.Text()),
	}
	group, work := errgroup.WithContext(ctx)
	group.Go(func() error { return s.deliver(work, pieces, arrival) })
	group.Go(func() error { return p.Process(work, s) })
	if err := group.Wait(); err != nil {
		r.abandon(ctx, s.files)
		return Result{}, fmt.Errorf("nothing of it is visible: %w", err)
	}
	c.Time, c.Token, c.Objects = time.Now().UTC(), s.token, s.files
	c.Rejects, c.Filtered, c.Anomalies = m.Rejects, m.LeftOut, m.Flagged
	won, err := r.commit(ctx, &c)
	if err != nil {
		return Result{}, err
	}
	return r.finish(ctx, won, won != &c)
}

// names gives the names of a file's objects: those of a stream beside the configured one, so that no name is that of an object
// of the service, and its cleaner leaves their uploads alone. Instead of a shard's number there are digits of the hash.
func (r *run) names(c commit) func(batch int64, index int, extension string) string {
	sum, _ := hex.DecodeString(c.SHA256)
	digits := fmt.Sprintf("%018d", binary.BigEndian.Uint64(sum)%1e18)
	names := protocol.Names{Stream: r.Stream + "-backfill"}
	return func(batch int64, index int, extension string) string {
		return names.Object(digits, c.Number, batch, index, extension)
	}
}

// counting tells of the bytes that are read.
type counting struct {
	io.Reader
	tell func(int)
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.tell(n)
	return n, err
}
