// Package once makes objects that are made once: of all who would make the same, at the same time or later, one does, and
// the others learn what it made. It is how several processes agree where there is no table. It never replaces an object.
package once

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Store keeps objects. Its methods are safe for concurrent use, and each retries for a while on its own.
type Store interface {
	// Upload stores body under key without making it visible, as an upload which outlives the process and whose object
	// will carry the token. The body is not kept.
	Upload(ctx context.Context, key, token, contentType string, body []byte) (uploadID string, etags []string, err error)

	// Publish makes an upload visible. Anyone may call it again, also after it succeeded: when the upload is gone, it
	// succeeds if the object at key carries the token. It never replaces an object. An error that is fs.ErrNotExist
	// tells that neither the upload nor such an object exists.
	Publish(ctx context.Context, key, uploadID string, etags []string, token string) error

	// Get reads an object whole. The error is fs.ErrNotExist where there is none.
	Get(ctx context.Context, key string) ([]byte, error)

	// Abort gives an upload up; a missing one is no error.
	Abort(ctx context.Context, key, uploadID string) error
}

// ErrUnknown is that of Create where the object may be there, or come to be.
var ErrUnknown = errors.New("it is not known whether the object was made")

// Create makes an object of JSON unless one is there, and gives what is there then: body, or what another made before. The
// token differs from that of every other call. With an error that is not ErrUnknown nothing was made. It is safe for
// concurrent use.
func Create(ctx context.Context, store Store, key, token string, body []byte) (there []byte, err error) {
	upload, etags, err := store.Upload(ctx, key, token, "application/json", body)
	if err != nil {
		return nil, err
	}
	failure := store.Publish(ctx, key, upload, etags, token)
	if failure == nil {
		return body, nil
	}
	if there, err = store.Get(ctx, key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, errors.Join(failure, err))
	}
	if !bytes.Equal(there, body) {
		// Another was the first. What is left of a failed abort is never visible, and the bucket's rule for incomplete uploads ends it.
		_ = store.Abort(ctx, key, upload)
	}
	return there, nil // of an equal body the answer was lost
}
