package dir

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// record is what is known of an unfinished upload. It is there from before the first byte of the body until after the
// last trace of the upload, so that Uploads finds whatever a crash leaves.
type record struct {
	Key     string    `json:"key"`
	Token   string    `json:"token"`
	Started time.Time `json:"started"`
}

const recordSuffix = "-record"

// newID makes the name of an upload.
func newID() string {
	var id [16]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

// validID guards paths against ids that this store did not make.
func validID(id string) bool {
	_, err := hex.DecodeString(id)
	return err == nil && len(id) == 32
}

func (s *Store) bodyPath(id string) string   { return filepath.Join(s.open, id) }
func (s *Store) recordPath(id string) string { return filepath.Join(s.open, id+recordSuffix) }

// tokenPath is where the token of a published object is kept. Keys may be too long for the name of one file.
func (s *Store) tokenPath(key string) string {
	hash := sha256.Sum256([]byte(key))
	return filepath.Join(s.tokens, hex.EncodeToString(hash[:]))
}

// Upload stores body without making it visible. When it returns, the upload outlives the process and the power. There
// are no ETags; the content type is not kept.
func (s *Store) Upload(ctx context.Context, key, token, _ string, body []byte) (uploadID string, etags []string, err error) {
	id, err := s.upload(ctx, key, token, body)
	if err != nil {
		return "", nil, fmt.Errorf("upload %s: %w", key, err)
	}
	return id, nil, nil
}

func (s *Store) upload(ctx context.Context, key, token string, body []byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	path, err := s.path(key)
	if err != nil {
		return "", err
	}
	// Whatever is wrong with the place is wrong now, and not only when the upload cannot be taken back any more.
	if err := s.makeDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	if _, err := os.Lstat(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	text, err := json.Marshal(record{Key: key, Token: token, Started: time.Now()})
	if err != nil {
		return "", err
	}
	id := newID()
	err = s.write(s.recordPath(id), text)
	if err == nil {
		err = writeNew(s.bodyPath(id), body)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = syncDir(s.open)
	}
	if err != nil {
		return "", errors.Join(err, s.discard(id)) // nobody knows the id
	}
	return id, nil
}

// Publish makes an upload visible. It may be called again, by anyone, also after it succeeded: when the upload is gone,
// it succeeds if the object at key carries the token, and is fs.ErrNotExist otherwise. An object that the upload did not
// become is never touched. ETags are not looked at.
func (s *Store) Publish(ctx context.Context, key, uploadID string, _ []string, token string) error {
	if err := s.publish(ctx, key, uploadID, token); err != nil {
		return fmt.Errorf("publish %s: %w", key, err)
	}
	return nil
}

func (s *Store) publish(ctx context.Context, key, id, token string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := s.path(key)
	if err != nil {
		return err
	}
	r, err := s.read(id)
	if errors.Is(err, fs.ErrNotExist) {
		return s.published(key, token)
	}
	if err != nil {
		return err
	}
	if r.Key != key || r.Token != token {
		return fmt.Errorf("the upload %s is for %s with the token %s, not %s", id, r.Key, r.Token, token)
	}
	if err := s.makeDir(filepath.Dir(path)); err != nil {
		return err
	}

	// A crash after this leaves an object that is the same file as the body: publishing again finds that, and goes on.
	err = os.Link(s.bodyPath(id), path)
	switch {
	case errors.Is(err, fs.ErrExist):
		if same, err := sameFile(s.bodyPath(id), path); err != nil {
			return err
		} else if !same {
			// Somebody else has published this upload a moment ago, or an object is in the way.
			if s.published(key, token) == nil {
				return s.discard(id)
			}
			return fmt.Errorf("another object has this key: %w", fs.ErrExist)
		}
	case errors.Is(err, fs.ErrNotExist):
		// Somebody else has published it, up to here, or a crash has come before the upload was whole.
		return s.published(key, token)
	case err != nil:
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	// From here on the token tells that it was published. A crash leaves an upload that is published again, or aborted.
	if err := s.write(s.tokenPath(key), []byte(token)); err != nil {
		return err
	}
	if err := syncDir(s.tokens); err != nil {
		return err
	}
	return s.discard(id)
}

// published is no error if the object at key carries the token, and fs.ErrNotExist if it does not.
func (s *Store) published(key, token string) error {
	path, err := s.path(key)
	if err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if missing(err) || err == nil && info.IsDir() {
		return fmt.Errorf("neither the upload nor an object: %w", fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	carried, err := os.ReadFile(s.tokenPath(key))
	if err != nil && !missing(err) {
		return err
	}
	if err != nil || string(carried) != token {
		return fmt.Errorf("no upload, and an object that does not carry the token %s: %w", token, fs.ErrNotExist)
	}
	return nil
}

// sameFile tells whether two paths name the same file; a missing one is not the same as anything.
func sameFile(a, b string) (bool, error) {
	first, err := os.Lstat(a)
	if err == nil {
		var second fs.FileInfo
		if second, err = os.Lstat(b); err == nil {
			return os.SameFile(first, second), nil
		}
	}
	if missing(err) {
		err = nil
	}
	return false, err
}

// discard removes what is left of an upload; the record last, since it leads to the body.
func (s *Store) discard(id string) error {
	if err := remove(s.bodyPath(id)); err != nil {
		return err
	}
	return remove(s.recordPath(id))
}

// read reads an upload's record.
func (s *Store) read(id string) (record, error) {
	var r record
	if !validID(id) {
		return r, fmt.Errorf("%q is no upload: %w", id, fs.ErrNotExist)
	}
	text, err := os.ReadFile(s.recordPath(id))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", s.recordPath(id), err)
	}
	return r, nil
}

// Uploads calls each for every upload under the prefix that is neither published nor aborted, ordered by key and start.
// Uploads that come or go meanwhile may be missed.
func (s *Store) Uploads(ctx context.Context, prefix string, each func(key, uploadID string, started time.Time) error) error {
	type upload struct {
		record
		id string
	}
	names, err := os.ReadDir(s.open)
	if err != nil {
		return fmt.Errorf("list the uploads under %q: %w", prefix, err)
	}
	var uploads []upload
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list the uploads under %q: %w", prefix, err)
		}
		id, ok := strings.CutSuffix(name.Name(), recordSuffix)
		if !ok {
			continue
		}
		r, err := s.read(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list the uploads under %q: %w", prefix, err)
		}
		if strings.HasPrefix(r.Key, prefix) {
			uploads = append(uploads, upload{r, id})
		}
	}
	slices.SortFunc(uploads, func(a, b upload) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), a.Started.Compare(b.Started))
	})
	for _, u := range uploads {
		if err := each(u.Key, u.id, u.Started); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Abort gives an upload up; a missing one is no error.
func (s *Store) Abort(ctx context.Context, key, uploadID string) error {
	err := ctx.Err()
	if err == nil && validID(uploadID) {
		err = s.discard(uploadID)
	}
	if err != nil {
		return fmt.Errorf("abort the upload of %s: %w", key, err)
	}
	return nil
}
