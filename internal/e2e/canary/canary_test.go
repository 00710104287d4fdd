package canary

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Each secret is found however it is printed, and named.
func TestFind(t *testing.T) {
	for name, secret := range planted {
		for how, print := range map[string]func(string) string{
			"as it is":      func(s string) string { return "a" + s + "b" },
			"quoted":        func(s string) string { return fmt.Sprintf("%q", s) },
			"in JSON":       func(s string) string { text, _ := json.Marshal(map[string]string{"k": s}); return string(text) },
			"in an address": func(s string) string { return "https://x/?q=" + url.QueryEscape(s) },
			"bytes":         func(s string) string { return fmt.Sprint([]byte(s)) },
			"Go's bytes":    func(s string) string { return fmt.Sprintf("%v", struct{ A any }{[]byte(s)}) },
			"hex":           func(s string) string { return hex.EncodeToString([]byte("z" + s + "z")) },
			"HEX":           func(s string) string { return fmt.Sprintf("%X", s) },
			"base64":        func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
			"base64, 1":     func(s string) string { return base64.StdEncoding.EncodeToString([]byte("~" + s + "~")) },
			"base64, 2":     func(s string) string { return base64.URLEncoding.EncodeToString([]byte("~~" + s + "~~")) },
			"base64, 3":     func(s string) string { return base64.URLEncoding.EncodeToString([]byte("user:" + s + "\n")) },
			"JSON's bytes":  func(s string) string { text, _ := json.Marshal([]byte("   " + s)); return string(text) },
		} {
			if found := Find([]byte("before " + print(secret) + " after")); !slices.Equal(found, []string{name}) {
				t.Errorf("%s, %s: found are %q in %s", name, how, found, print(secret))
			}
		}
		if found := Find([]byte(secret[:len(secret)-1])); found != nil {
			t.Errorf("a part of %s is taken for all of it", name)
		}
	}
}

// A secret is found wherever a process's writes cut it.
func TestStream(t *testing.T) {
	text := strings.Repeat("something else ", 1000) + HashKey + strings.Repeat(" more", 1000)
	for _, size := range []int{1, 7, 16, len(HashKey) - 1, 4096, len(text)} {
		var s Stream
		for part := range slices.Chunk([]byte(text), size) {
			if n, err := s.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if found := s.Found(); !slices.Equal(found, []string{"the key of hash"}) {
			t.Errorf("in parts of %d: %q", size, found)
		}
	}
	var s Stream
	fmt.Fprint(&s, HashKey[:10])
	fmt.Fprint(&s, " ", HashKey[10:])
	if found := s.Found(); found != nil {
		t.Errorf("found is what was not written: %q", found)
	}
}

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	fmt.Fprint(z, strings.Repeat("x", 300<<10), SessionToken)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"clean": "nothing", "a/plain.parquet": "PAR1" + WebhookSecret, "a/b/zipped.json.gz": zipped.String(), "cut.gz": zipped.String()[:20],
		"empty.gz": "", "acl": planted[accessKey], // which S3 keeps
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaks, err := Files(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(folder, "a/b/zipped.json.gz") + " holds the session token", filepath.Join(folder, "a/plain.parquet") + " holds the secret of the webhook"}
	if !slices.Equal(leaks, want) {
		t.Errorf("%q, want %q", leaks, want)
	}
}

// A page that shows a secret is told of, once; also a header, and an event of a stream that does not end.
func TestHaunt(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			fmt.Fprintf(w, "a{b=%q} 1\n", IntakeSecret)
		case "/readyz":
			w.Header().Set("X-Token", SessionToken)
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: all\ndata: %s\n\n", WebhookToken)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	defer service.Close()
	address := strings.TrimPrefix(service.URL, "http://")
	ended := make(chan struct{})
	var mu sync.Mutex
	var told []string
	var haunting sync.WaitGroup
	haunting.Go(func() {
		Haunt(ended, address, func(leak string) { mu.Lock(); told = append(told, leak); mu.Unlock() })
	})
	time.Sleep(2 * time.Second) // two visits
	close(ended)
	haunting.Wait()
	want := []string{"/metrics of " + address + " shows the secret of Direct PUT", "/readyz of " + address + " shows the session token", "/events of " + address + " shows the token of the webhook"}
	if !slices.Equal(told, want) {
		t.Errorf("%q, want %q", told, want)
	}
}
