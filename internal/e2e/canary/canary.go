// Package canary plants secrets in what the tests start, and looks for them in all that leaves it: what a process writes, what
// it serves over HTTP, and the files of the bucket, the lease table and the stream.
//
// A secret is found as it stands, and as it would stand in what prints bytes: in base64 at each of its three places, in hex, and
// as a list of numbers. The planted values have letters and digits alone, which look the same in JSON, in an address and in quotes.
package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
)

// The planted secrets. That of the AWS access key is s3gw's.
const (
	SessionToken  = "canary0session0token0Xc91TzLm4"
	HashKey       = "canary0hash0key0Rw5Bq8Yt2Nd7Jf3Kp6Gs" // long enough for one
	WebhookToken  = "canary0webhook0token0Hh4Pv9Sx1"       // a part of the address
	WebhookSecret = "canary0webhook0secret0Zk8Dn3Wc"
	IntakeSecret  = "canary0intake0secret0Qm6Uj2Fb5"
	OtherSecret   = "canary0other0intake0Ty7Lg4Ae9" // of a second key of Direct PUT
)

// CollectorKey is a header's for a collector of spans.
const CollectorKey = "canary0collector0key0Ns5Cv8Mb3"

// accessKey names the id of the AWS access key, which is no secret to AWS: every request shows it, and so may what S3 keeps.
const accessKey = "the id of the access key"

// planted are the secrets by what they are.
var planted = map[string]string{
	accessKey:                      s3gw.AccessKey,
	"the secret access key":        s3gw.SecretKey,
	"the session token":            SessionToken,
	"the key of hash":              HashKey,
	"the token of the webhook":     WebhookToken,
	"the secret of the webhook":    WebhookSecret,
	"the secret of Direct PUT":     IntakeSecret,
	"the key of the collector":     CollectorKey,
	"another secret of Direct PUT": OtherSecret,
}

// forms are the texts by which each secret is found; longest is the length of the longest of them.
var forms, longest = func() (forms map[string][][]byte, longest int) {
	forms = map[string][][]byte{}
	for name, secret := range planted {
		forms[name] = formsOf(secret)
		for _, form := range forms[name] {
			longest = max(longest, len(form))
		}
	}
	return forms, longest
}()

func formsOf(secret string) [][]byte {
	all := [][]byte{[]byte(secret), []byte(hex.EncodeToString([]byte(secret))), []byte(strings.ToUpper(hex.EncodeToString([]byte(secret))))}
	// What is before the secret in the same three bytes changes its first character, and what is after it its last: neither
	// counts, nor does padding.
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := encoding.EncodeToString([]byte(strings.Repeat("x", before) + secret))
			all = append(all, []byte(text[[]int{0, 2, 3}[before]:len(text)-1]))
		}
	}
	for _, separator := range []string{" ", ",", ", "} {
		var numbers []string
		for _, b := range []byte(secret) {
			numbers = append(numbers, fmt.Sprint(b))
		}
		all = append(all, []byte(strings.Join(numbers, separator)))
	}
	return all
}

// Find names the secrets that a text shows.
func Find(text []byte) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		if slices.ContainsFunc(forms[name], func(form []byte) bool { return bytes.Contains(text, form) }) {
			names = append(names, name)
		}
	}
	return names
}

// Stream looks for secrets in all that is written to it, also where one is written in parts. It is safe for concurrent use.
type Stream struct {
	mu    sync.Mutex
	end   []byte // of what was written, in which a secret may have begun
	found map[string]bool
}

func (s *Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = append(s.end, p...)
	for _, name := range Find(s.end) {
		if s.found == nil {
			s.found = map[string]bool{}
		}
		s.found[name] = true
	}
	if drop := len(s.end) - longest; drop > 0 {
		s.end = append(s.end[:0], s.end[drop:]...)
	}
	return len(p), nil
}

// Found names the secrets that were written so far.
func (s *Stream) Found() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.found))
}

// Plant writes the secrets that the service reads from files into a folder, and gives the settings that name them. Those of AWS
// are in world.Environment.
func Plant(folder string) (settings []string, err error) {
	for _, f := range []struct{ setting, text string }{
		{"SLUICE_HASH_KEY_FILE", HashKey + "\n"},
		{"SLUICE_INTAKE_KEYS_FILE", fmt.Sprintf("CANARY %s\nOTHERCANARY %s\n", IntakeSecret, OtherSecret)},
	} {
		file := filepath.Join(folder, strings.ToLower(f.setting))
		if err := os.WriteFile(file, []byte(f.text), 0o600); err != nil {
			return nil, err
		}
		settings = append(settings, f.setting+"="+file)
	}
	return settings, nil
}

// PlantAlerts is Plant for what there is of a service with detectors: the webhook's address, which is given without its last
// part, and the key of its signatures.
func PlantAlerts(folder, webhook string) (settings []string, err error) {
	for _, f := range []struct{ setting, text string }{
		{"SLUICE_ALERT_WEBHOOK_FILE", webhook + "/" + WebhookToken},
		{"SLUICE_ALERT_WEBHOOK_SECRET_FILE", WebhookSecret},
	} {
		file := filepath.Join(folder, strings.ToLower(f.setting))
		if err := os.WriteFile(file, []byte(f.text), 0o600); err != nil {
			return nil, err
		}
		settings = append(settings, f.setting+"="+file)
	}
	return settings, nil
}
