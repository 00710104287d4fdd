package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// maxKeys bounds the keys of a file: all of them are looked at for every request.
const maxKeys = 100

// The shape of keys: an id that can stand in a signature's scope, and a secret that cannot be guessed if it is random. AWS's
// own have 20 and 40 characters.
var (
	keyID     = regexp.MustCompile(`^\w{4,128}$`)
	keySecret = regexp.MustCompile(`^[!-~]{16,128}$`)
)

// key is an access key.
type key struct{ id, secret string }

// Keys are the access keys of a file, any number of which are valid at a time: a new one is added, producers change to it,
// and the old one is taken out. It is safe for concurrent use.
type Keys struct {
	file    string
	current atomic.Pointer[[]key]
	hash    [sha256.Size]byte // of the file as it was last looked at, good or bad; Watch's
}

// OpenKeys reads a file of access keys: a line for each, with its id and its secret separated by spaces. Empty lines and
// those that begin with # are passed over.
func OpenKeys(file string) (*Keys, error) {
	k := &Keys{file: file}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return k, k.set(text)
}

func (k *Keys) set(text []byte) error {
	k.hash = sha256.Sum256(text)
	keys, err := parseKeys(text)
	if err != nil {
		return fmt.Errorf("%s: %w", k.file, err)
	}
	k.current.Store(&keys)
	return nil
}

// parseKeys reads what OpenKeys describes. Its errors show no secret.
func parseKeys(text []byte) (keys []key, err error) {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 || !keyID.MatchString(fields[0]) || !keySecret.MatchString(fields[1]) {
			return nil, fmt.Errorf("line %d: want an access key's id (4 to 128 letters, digits and _), spaces, and its secret (16 to 128 visible ASCII characters)", number)
		}
		for _, other := range keys {
			if other.id == fields[0] {
				return nil, fmt.Errorf("line %d: the id %s stands here twice", number, fields[0])
			}
		}
		keys = append(keys, key{fields[0], fields[1]})
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("there are %d access keys; want 1 to %d lines, each with an id and its secret", len(keys), maxKeys)
	}
	return keys, nil
}

// Secret gives the secret of an access key, in a time that does not depend on whether the key is known.
func (k *Keys) Secret(id string) (secret string, known bool) {
	for _, key := range *k.current.Load() {
		if subtle.ConstantTimeCompare([]byte(key.id), []byte(id)) == 1 {
			secret, known = key.secret, true
		}
	}
	return secret, known
}

// lookEvery is how often Watch looks at the file.
const lookEvery = 5 * time.Second

// Watch takes what the file says from now on, until the context ends. While the file is missing or wrong, which is logged,
// the keys before stay valid. It is called once.
func (k *Keys) Watch(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	missing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// The whole of it, since a time stamp may stay the same, and does where a link is turned to another file.
		text, err := os.ReadFile(k.file)
		if err != nil {
			if !missing {
				log.Error("the access keys cannot be read; those before stay valid", "error", err)
			}
			missing = true
			continue
		}
		missing = false
		if sha256.Sum256(text) == k.hash {
			continue
		}
		if err := k.set(text); err != nil {
			log.Error("the access keys are not changed; those before stay valid", "error", err)
			continue
		}
		log.Info("the access keys have changed", "file", k.file, "keys", len(*k.current.Load()))
	}
}
