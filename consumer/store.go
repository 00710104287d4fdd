package consumer

import (
	"context"
	"time"
)

// Store keeps objects. It moves bytes and holds no policy. Its methods are safe for concurrent use, and each retries
// for a while on its own; an error that they return may be tried again, unless it is documented otherwise.
type Store interface {
	// Upload stores body under key without making it visible, as an upload which outlives the process and whose
	// object will carry the token. The body is not kept.
	Upload(ctx context.Context, key, token, contentType string, body []byte) (uploadID string, etags []string, err error)

	// Publish makes an upload visible. Anyone may call it again, also after it succeeded: when the upload is gone,
	// it succeeds if the object at key carries the token. An error that is fs.ErrNotExist tells that neither the
	// upload nor such an object exists: the bytes are lost.
	Publish(ctx context.Context, key, uploadID string, etags []string, token string) error

	// Put stores a small object, visible at once.
	Put(ctx context.Context, key string, body []byte) error

	// Get reads an object whole. The error is fs.ErrNotExist where there is none.
	Get(ctx context.Context, key string) ([]byte, error)

	// ReadAt fills p with the bytes of an object from an offset on. The error is fs.ErrNotExist where there is no such object.
	ReadAt(ctx context.Context, key string, p []byte, offset int64) error

	// Delete removes an object; a missing one is no error.
	Delete(ctx context.Context, key string) error

	// Uploads calls each for every upload under the prefix that is neither published nor aborted.
	Uploads(ctx context.Context, prefix string, each func(key, uploadID string, started time.Time) error) error

	// Abort gives an upload up; a missing one is no error.
	Abort(ctx context.Context, key, uploadID string) error
}
