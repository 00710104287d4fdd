package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// List calls object for every object whose key begins with the prefix, with its size in bytes and the time of its last
// change. If folder is given, it is called for every longer prefix up to the next slash, also where no object is left
// below it, and what lies below these is left out. The calls come one after the other, in no promised order; the first
// error of theirs ends the list, and is returned. Objects that come or go meanwhile may be missed.
func (s *Store) List(ctx context.Context, prefix string, object func(key string, size int64, modified time.Time) error,
	folder func(prefix string) error) error {
	l := listing{s: s, prefix: prefix, object: object, folder: folder}
	base, path := prefix[:strings.LastIndexByte(prefix, '/')+1], s.dir
	if base != "" {
		var err error
		if path, err = s.path(strings.TrimSuffix(base, "/")); err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
	}
	return l.walk(ctx, path, base)
}

// listing is one call of List.
type listing struct {
	s      *Store
	prefix string
	object func(key string, size int64, modified time.Time) error
	folder func(prefix string) error // nil: folders are entered
}

// walk lists the folder at a path, whose objects have keys that begin with base.
func (l *listing) walk(ctx context.Context, path, base string) error {
	entries, err := os.ReadDir(path)
	if err != nil && !missing(err) {
		return fmt.Errorf("list %s: %w", l.prefix, err)
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list %s: %w", l.prefix, err)
		}
		if err := l.entry(ctx, filepath.Join(path, entry.Name()), base+entry.Name(), entry); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (l *listing) entry(ctx context.Context, path, key string, entry fs.DirEntry) error {
	switch {
	case !strings.HasPrefix(key, l.prefix), path == l.s.state:
		return nil
	case entry.IsDir() && l.folder != nil:
		return l.folder(key + "/")
	case entry.IsDir():
		return l.walk(ctx, path, key+"/")
	case !entry.Type().IsRegular():
		return nil
	}
	info, err := entry.Info()
	if missing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", l.prefix, err)
	}
	return l.object(key, info.Size(), info.ModTime())
}

// Head tells an object's size in bytes and the token that it carries; empty: none. The error is fs.ErrNotExist where there
// is no object.
func (s *Store) Head(ctx context.Context, key string) (size int64, token string, err error) {
	if size, token, err = s.head(ctx, key); err != nil {
		return 0, "", fmt.Errorf("look at %s: %w", key, err)
	}
	return size, token, nil
}

func (s *Store) head(ctx context.Context, key string) (size int64, token string, err error) {
	if err := ctx.Err(); err != nil {
		return 0, "", err
	}
	path, err := s.path(key)
	if err != nil {
		return 0, "", err
	}
	info, err := os.Lstat(path)
	if missing(err) || err == nil && info.IsDir() {
		return 0, "", fs.ErrNotExist
	}
	if err != nil {
		return 0, "", err
	}
	carried, err := os.ReadFile(s.tokenPath(key))
	if err != nil && !missing(err) {
		return 0, "", err
	}
	return info.Size(), string(carried), nil
}

// ReadAt fills p with the bytes of an object from an offset on. An object that ends before is an error; the error is
// fs.ErrNotExist where there is none.
func (s *Store) ReadAt(ctx context.Context, key string, p []byte, offset int64) error {
	if err := s.readAt(ctx, key, p, offset); err != nil {
		return fmt.Errorf("read %d bytes at %d of %s: %w", len(p), offset, key, err)
	}
	return nil
}

func (s *Store) readAt(ctx context.Context, key string, p []byte, offset int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := s.path(key)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if missing(err) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return err
	}
	_, err = file.ReadAt(p, offset)
	if errors.Is(err, syscall.EISDIR) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return errors.Join(err, file.Close())
}
