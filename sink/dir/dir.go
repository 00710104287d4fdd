// Package dir is a store of objects in a folder of the local disk: the object a/b is the file Dir/a/b.
//
// It keeps the promises of an S3 bucket. An upload is invisible, outlives the process and the power, and becomes a file
// by a hard link, which never replaces one. What the store has to remember for that lies in a folder of its own, in files
// without an extension, so that a pattern such as Dir/**/*.parquet only ever finds whole published objects. Several
// processes may use one folder.
//
// It is no file server and no cache: it keeps neither content types nor ETags, does not notice files that others change,
// and leaves empty folders behind. An object and a folder cannot share a name: beside a there is no a/b.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say where a store keeps what.
type Options struct {
	Dir     string // where the objects are; made if it is missing
	Uploads string // what is not an object, on the same file system; made if it is missing; empty: Dir/.uploads
}

// Store is a folder of objects. Its methods are safe for concurrent use.
type Store struct {
	dir    string // absolute, as are the others
	state  string // Options.Uploads
	open   string // in state: for each unfinished upload its record and its body
	tokens string // in state: the token of each object that was published, by the hash of its key

	making sync.Mutex // while folders are made, so that nobody builds on one that may not outlive a power cut
}

// New opens the store, and makes its folders.
func New(o Options) (*Store, error) {
	s, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("open the folder of objects %s: %w", o.Dir, err)
	}
	return s, nil
}

func open(o Options) (*Store, error) {
	if o.Dir == "" {
		return nil, errors.New("no folder is given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, ".uploads")
	if o.Uploads != "" {
		if state, err = filepath.Abs(o.Uploads); err != nil {
			return nil, err
		}
	}
	if dir == state || within(dir, state) {
		return nil, fmt.Errorf("the objects would lie in %s, among the unfinished uploads; use another folder for these", state)
	}
	s := &Store{dir: dir, state: state, open: filepath.Join(state, "open"), tokens: filepath.Join(state, "tokens")}
	for _, folder := range []string{s.dir, s.open, s.tokens} {
		if err := s.makeDir(folder); err != nil {
			return nil, err
		}
	}
	if err := s.probe(); err != nil {
		return nil, err
	}
	return s, s.sweep(time.Now().Add(-24 * time.Hour))
}

// probe finds out whether objects can be published at all: later, their place in the stream would be committed already.
func (s *Store) probe() error {
	id := newID()
	from, to := filepath.Join(s.state, id), filepath.Join(s.dir, "."+id)
	err := writeNew(from, nil)
	if err == nil {
		if err = os.Link(from, to); err != nil {
			err = fmt.Errorf("%w; %s and %s must lie on one file system that has hard links", err, s.state, s.dir)
		}
	}
	return errors.Join(err, remove(to), remove(from))
}

// sweep removes temporary files that a crash has left before a time.
func (s *Store) sweep(before time.Time) error {
	names, err := os.ReadDir(s.state)
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := name.Info()
		if missing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if validID(name.Name()) && info.Mode().IsRegular() && info.ModTime().Before(before) {
			if err := remove(filepath.Join(s.state, name.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// within tells whether a path lies in the folder. Both are clean.
func within(path, folder string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && strings.HasPrefix(rest, string(filepath.Separator))
}

// path is the file of a key. It refuses keys that name no file below the folder, or one of the store's own.
func (s *Store) path(key string) (string, error) {
	local := filepath.FromSlash(key)
	// A key that is not clean, such as a//b, would share its file with another one.
	if key == "." || !filepath.IsLocal(local) || filepath.Clean(local) != local || strings.ContainsRune(key, 0) {
		return "", fmt.Errorf("%q cannot be the name of a file below %s: %w", key, s.dir, fs.ErrInvalid)
	}
	path := filepath.Join(s.dir, local)
	if path == s.state || within(path, s.state) {
		return "", fmt.Errorf("%q would lie among the unfinished uploads: %w", key, fs.ErrInvalid)
	}
	return path, nil
}

// Put stores an object, visible at once; it replaces what has the key.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if err := s.put(ctx, key, body); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, key string, body []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := s.path(key)
	if err != nil {
		return err
	}
	if err := s.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	// First the token: with the new content it would tell that this had been published.
	if err := remove(s.tokenPath(key)); err != nil {
		return err
	}
	if err := s.write(path, body); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Get reads an object whole. The error is fs.ErrNotExist where there is none.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	body, err := s.get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return body, nil
}

func (s *Store) get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := s.path(key)
	if err != nil {
		return nil, err
	}
	body, err := os.ReadFile(path)
	// A folder is no object, and neither is anything below an object.
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return body, err
}

// Delete removes an object; a missing one is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.delete(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := s.path(key)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(path); err != nil || info.IsDir() {
		if err == nil || missing(err) {
			return nil
		}
		return err
	}
	if err := remove(path); err != nil {
		return err
	}
	// A crash here leaves a token without an object, which tells nothing.
	if err := remove(s.tokenPath(key)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// missing tells that a path names nothing.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// remove removes a file that may be missing.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !missing(err) {
		return err
	}
	return nil
}
