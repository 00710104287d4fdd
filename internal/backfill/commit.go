package backfill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/internal/once"
)

// commit is what is kept of a file that was brought: an object under Config.State, which never changes. While it is not there,
// nothing of the file is visible; once it is, everything is, or will be when the next run finishes it.
type commit struct {
	File      string    `json:"file"` // its name, without folders
	SHA256    string    `json:"sha256"`
	Number    int64     `json:"number"` // how often the file was brought, with this time
	Time      time.Time `json:"time"`
	Token     string    `json:"token"` // differs from that of every other
	Rejects   int       `json:"rejects"`
	Filtered  int       `json:"filtered"`
	Anomalies int       `json:"anomalies"`
	Objects   []object  `json:"objects"`
}

// object is an upload of a commit.
type object struct {
	Key    string   `json:"key"`
	Token  string   `json:"token"`
	Upload string   `json:"upload"`
	ETags  []string `json:"etags,omitempty"`
	Size   int64    `json:"size"`
	Rows   int      `json:"rows"`
}

func (r *run) commitKey(sum string, number int64) string {
	return fmt.Sprintf("%s%s-%d.json", r.State, sum, number)
}

// committed gives a file's commit, or nil where there is none.
func (r *run) committed(ctx context.Context, sum string, number int64) (*commit, error) {
	body, err := r.Store.Get(ctx, r.commitKey(sum, number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := &commit{}
	if err := json.Unmarshal(body, c); err != nil {
		return nil, fmt.Errorf("the commit %s cannot be read: %w", r.commitKey(sum, number), err)
	}
	return c, nil
}

// commit makes a file's commit durable, unless another process has brought the same file meanwhile: then that one's counts.
// It gives the one that does. To create what is not there yet is one moment.
func (r *run) commit(ctx context.Context, c *commit) (*commit, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	key := r.commitKey(c.SHA256, c.Number)
	there, err := once.Create(ctx, r.Store, key, c.Token, body)
	switch {
	case errors.Is(err, once.ErrUnknown):
		return nil, fmt.Errorf("it is not known whether it is committed; run the same command again, which finds out: %w", err)
	case err != nil:
		r.abandon(ctx, c.Objects)
		return nil, fmt.Errorf("nothing of it is visible: %w", err)
	case bytes.Equal(there, body):
		return c, nil
	}
	r.abandon(ctx, c.Objects)
	return r.committed(ctx, c.SHA256, c.Number)
}

// finish makes the objects of a commit visible. It may be done again, and by several at a time.
func (r *run) finish(ctx context.Context, c *commit, before bool) (Result, error) {
	result := Result{File: c.File, SHA256: c.SHA256, Rejects: c.Rejects, Filtered: c.Filtered, Anomalies: c.Anomalies, Files: len(c.Objects)}
	if before {
		result.Before = c.Time
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(filesAtOnce)
	for _, o := range c.Objects {
		result.Rows += o.Rows
		result.Bytes += o.Size
		group.Go(func() error {
			err := r.Store.Publish(ctx, o.Key, o.Upload, o.ETags, o.Token)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("the object %s (%d rows) was committed at %s, and is gone since: somebody deleted it, or a lifecycle rule aborted its upload; "+
					"to bring the file again, delete %s and what is left of its objects: %w", o.Key, o.Rows, c.Time.Format(time.RFC3339), r.commitKey(c.SHA256, c.Number), err)
			}
			return err
		})
	}
	result.Records = result.Rows + result.Rejects + result.Filtered
	return result, group.Wait()
}

// abandon aborts uploads that no commit names. What is left of them costs storage until the bucket's rule for incomplete
// uploads ends it, but is never visible: so errors are passed over.
func (r *run) abandon(ctx context.Context, objects []object) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for _, o := range objects {
		_ = r.Store.Abort(ctx, o.Key, o.Upload)
	}
}
