package sink

import (
	"context"
	"io"
)

// ObjectAt reads an object of a store, at offsets and as long as the context lasts. ReadAt fills p with the object's bytes, or has an
// error.
func ObjectAt(ctx context.Context, store interface {
	ReadAt(ctx context.Context, key string, p []byte, offset int64) error
}, key string) io.ReaderAt {
	return readerAt(func(p []byte, offset int64) error { return store.ReadAt(ctx, key, p, offset) })
}

type readerAt func(p []byte, offset int64) error

func (read readerAt) ReadAt(p []byte, offset int64) (int, error) {
	if err := read(p, offset); err != nil {
		return 0, err
	}
	return len(p), nil
}
