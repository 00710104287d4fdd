package intake

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-etl/sluice/internal/intake/sigv4"
)

func TestKeyFiles(t *testing.T) {
	const secret = "a-secret-of-sixteen"
	for name, tt := range map[string]struct {
		text string
		ids  string // or the error
	}{
		"two keys":        {"# of the shop\nFIRST " + secret + "\n\n\tSECOND  " + secret + "\r\n", "FIRST SECOND"},
		"no last newline": {"FIRST " + secret, "FIRST"},
		"no keys":         {"# none\n", "there are 0 access keys"},
		"no secret":       {"FIRST\n", "line 1"},
		"a short secret":  {"\nFIRST short\n", "line 2"},
		"a third word":    {"FIRST " + secret + " x\n", "line 1"},
		"no such id":      {"FIR/ST " + secret, "line 1"},
		"an id twice":     {"FIRST " + secret + "\nFIRST " + secret + "x", "line 2: the id FIRST"},
		"too many":        {manyKeys(maxKeys + 1), "there are 101"},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := parseKeys([]byte(tt.text))
			if err != nil {
				if !strings.Contains(err.Error(), tt.ids) || strings.Contains(err.Error(), secret) {
					t.Errorf("%v; want %q", err, tt.ids)
				}
				return
			}
			var ids []string
			for _, k := range keys {
				if k.secret != secret {
					t.Errorf("%s has the secret %q", k.id, k.secret)
				}
				ids = append(ids, k.id)
			}
			if got := strings.Join(ids, " "); got != tt.ids {
				t.Errorf("%s; want %s", got, tt.ids)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "KEY%03d a-secret-of-sixteen\n", i)
	}
	return b.String()
}

// A file that changes is taken while the process runs; one that is wrong, or gone, changes nothing.
func TestKeysChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("FIRST a-secret-of-sixteen\n")
	keys, err := OpenKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go keys.Watch(ctx, slog.New(slog.DiscardHandler))
		known := func(want string) {
			t.Helper()
			time.Sleep(lookEvery + time.Second)
			synctest.Wait()
			var ids []string
			for _, id := range []string{"FIRST", "SECOND"} {
				if _, ok := keys.Secret(id); ok {
					ids = append(ids, id)
				}
			}
			if got := strings.Join(ids, " "); got != want {
				t.Errorf("%q is known, want %q", got, want)
			}
		}
		known("FIRST")
		write("FIRST a-secret-of-sixteen\nSECOND another-secret-of-it\n")
		known("FIRST SECOND")
		write("SECOND\n")
		known("FIRST SECOND")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		known("FIRST SECOND")
		write("SECOND another-secret-of-it\n")
		known("SECOND")
	})
}

// What is remembered is bounded, and forgotten when it is valid no more.
func TestSeen(t *testing.T) {
	s := newSeen(3)
	now := time.Unix(1_700_000_000, 0)
	signed := func(second int, value byte) sigv4.Signature {
		return sigv4.Signature{At: now.Add(time.Duration(second) * time.Second), Value: [32]byte{value}}
	}
	for i, step := range []struct {
		signature sigv4.Signature
		at        time.Duration
		want      verdict
	}{
		{signed(0, 1), 0, isNew},
		{signed(0, 1), 0, isReplay},
		{signed(0, 2), 0, isNew},
		{signed(1, 1), sigv4.Window, isNew}, // the first ones are still valid
		{signed(0, 1), sigv4.Window, isReplay},
		{signed(1, 3), sigv4.Window, isFull},
		{signed(1, 1), sigv4.Window, isReplay},
		{signed(300, 3), sigv4.Window + lateness + time.Second, isNew}, // two are forgotten
		{signed(300, 4), sigv4.Window + lateness + time.Second, isNew},
		{signed(300, 5), sigv4.Window + lateness + time.Second, isFull},
	} {
		if got := s.add(step.signature, now.Add(step.at)); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
}

// Whatever a known producer sends, it is answered as the API says, and only whole records come to the stream.
func FuzzPut(f *testing.F) {
	f.Add([]byte(batch("clicks", "a", "b")), true)
	f.Add([]byte(single("one")), false)
	f.Add([]byte(`{"DeliveryStreamName":"clicks","Records":[null,{"Data":null}]}`), true)
	f.Add([]byte(`{"DeliveryStreamName":"clicks","Record":{"Data":"eA="}}`), false)
	f.Fuzz(func(t *testing.T, body []byte, many bool) {
		s := &stream{requests: map[string]int{}}
		h := &handler{config: Config{Stream: "clicks", Putter: s, Observe: s, Log: slog.New(slog.DiscardHandler)}, seen: newSeen(1), now: time.Now}
		operation := (*handler).putRecord
		if many {
			operation = (*handler).putRecordBatch
		}
		answer, fault := operation(h, &request{Context: t.Context(), body: body})
		switch {
		case (answer == nil) == (fault == nil):
			t.Errorf("answer %v, fault %v", answer, fault)
		case fault != nil && (fault.status != 400 || len(s.records) > 0):
			t.Errorf("%v; %d records are in the stream", fault, len(s.records))
		case fault == nil && (len(s.records) == 0 || s.taken != len(s.records)):
			t.Errorf("%v; %d records are in the stream", answer, len(s.records))
		}
	})
}
