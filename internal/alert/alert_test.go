package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted are the metrics.
type counted struct {
	mu sync.Mutex
	counts
}

type counts struct {
	sent, failed, muted int
	queue               int
	dropped             map[string]int
}

func (c *counted) now() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.counts
	all.dropped = maps.Clone(c.dropped)
	return all
}

func (c *counted) AlertSent(string)           { c.mu.Lock(); c.sent++; c.mu.Unlock() }
func (c *counted) AlertFailed(string)         { c.mu.Lock(); c.failed++; c.mu.Unlock() }
func (c *counted) AlertMuted()                { c.mu.Lock(); c.muted++; c.mu.Unlock() }
func (c *counted) AlertQueue(_ string, n int) { c.mu.Lock(); c.queue += n; c.mu.Unlock() }
func (c *counted) AlertDropped(_, cause string) {
	c.mu.Lock()
	c.dropped[cause]++
	c.mu.Unlock()
}

// receiver does as it is told.
type receiver struct {
	mu   sync.Mutex
	got  []Alert
	send func(ctx context.Context, try int) error
	try  int
}

func (*receiver) Name() string { return "fake" }

func (r *receiver) Send(ctx context.Context, a *Alert) error {
	r.try++
	if err := r.send(ctx, r.try); err != nil {
		return err
	}
	r.mu.Lock()
	r.got = append(r.got, *a)
	r.mu.Unlock()
	return nil
}

// all is what has arrived.
func (r *receiver) all() []Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func opening(n int) Alert {
	return Alert{ID: fmt.Sprint("episode", n), Phase: Opens, Detector: "source", Key: fmt.Sprint("ip ", n), Reason: "it came often"}
}

// run is a running announcer, in a bubble of its own time.
func run(t *testing.T, most int, send func(ctx context.Context, try int) error) (a *Announcer, r *receiver, m *counted, stop func()) {
	r, m = &receiver{send: send}, &counted{counts: counts{dropped: map[string]int{}}}
	a = New(Config{App: "sluice", Stream: "s", Most: most, Receivers: []Receiver{r}, Metrics: m, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { a.Run(ctx, time.Second); close(ended) }()
	return a, r, m, func() { cancel(); <-ended }
}

// An alert is tried until it arrives, and is done only then.
func TestTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r, m, stop := run(t, 20, func(_ context.Context, try int) error {
			if try < 4 {
				return errors.New("away")
			}
			return nil
		})
		defer stop()
		var done atomic.Bool
		a.Announce(opening(1), func() { done.Store(true) })
		synctest.Wait()
		if done.Load() || m.now().queue != 1 {
			t.Error("it is done before it arrived")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		got, n := r.all(), m.now()
		if !done.Load() || len(got) != 1 || n.failed != 3 || n.sent != 1 || n.queue != 0 || got[0].App != "sluice" {
			t.Errorf("%+v %+v", n, got)
		}
	})
}

// A receiver that hangs holds nobody who announces: what the queue cannot take is dropped. Each attempt ends, and in the end the alert is given up.
func TestNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, m, stop := run(t, 1000, func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() })
		begun := time.Now()
		for n := range queueLength + 11 {
			a.Announce(opening(n), func() {})
			if n == 0 {
				synctest.Wait() // it is being sent
			}
		}
		if n := m.now(); time.Since(begun) > 0 || n.dropped[causeFull] != 10 {
			t.Errorf("after %v %v", time.Since(begun), n.dropped)
		}
		time.Sleep(GiveUp + 2*time.Minute)
		synctest.Wait()
		if n := m.now(); n.dropped[causeGaveUp] != 1 || n.failed < 10 {
			t.Errorf("%+v", n)
		}
		begun = time.Now()
		if stop(); time.Since(begun) > attemptTime {
			t.Errorf("it stopped after %v", time.Since(begun))
		}
	})
}

// A stop tries what is queued; what was not delivered is not done, and so will be announced again.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reachable := true
		a, r, _, stop := run(t, 20, func(context.Context, int) error {
			if reachable {
				return nil
			}
			return errors.New("away")
		})
		a.Announce(opening(1), func() {})
		synctest.Wait()
		reachable = false
		a.Announce(opening(2), func() { t.Error("it is done") })
		stop()
		if got := r.all(); len(got) != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// Many episodes at once are so many alerts as allowed and a summary; the peaks and ends of the others are not told, and in the next minute all is as before.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r, m, stop := run(t, 5, func(context.Context, int) error { return nil })
		defer stop()
		var done atomic.Int32
		count := func() { done.Add(1) }
		for n := range 100 {
			a.Announce(opening(n), count)
		}
		end := opening(50)
		end.Phase = Closes
		a.Announce(end, count)
		synctest.Wait()
		if got := r.all(); len(got) != 5 || done.Load() != 6 {
			t.Fatalf("%d alerts, %d done; want 5, and 6 with the end of one that is not told", len(got), done.Load())
		}
		time.Sleep(interval)
		synctest.Wait()
		got := r.all()
		if len(got) != 6 || got[5].Phase != Summary || got[5].Episodes != 95 || got[5].ByName["source"] != 95 || m.now().muted != 95 || done.Load() != 101 {
			t.Errorf("%d done: %+v", done.Load(), got)
		}
		a.Announce(opening(200), count)
		synctest.Wait()
		if got := r.all(); len(got) != 7 {
			t.Errorf("%d alerts in the next minute; want one more", len(got))
		}
	})
}

// What an answer of a webhook means.
func TestWebhook(t *testing.T) {
	secret := []byte("0123456789abcdef")
	tests := map[string]struct {
		answer  http.HandlerFunc
		arrives bool
		refused bool
		after   time.Duration
	}{
		"taken":         {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, arrives: true},
		"fails":         {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		"refuses":       {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }, refused: true},
		"leads away":    {answer: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, refused: true},
		"breaks off":    {answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		"hangs":         {answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"asks to pause": {answer: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) }, after: 7 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			received := make(chan Alert, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				var told Alert
				if err != nil || json.Unmarshal(body, &told) != nil {
					t.Errorf("the body %q, %v", body, err)
				}
				received <- told
				seconds, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get(Header), "t="), ",")
				var unix int64
				if _, err := fmt.Sscan(seconds, &unix); err != nil || Sign(secret, time.Unix(unix, 0), body) != r.Header.Get(Header) {
					t.Errorf("the signature %q", r.Header.Get(Header))
				}
				tt.answer(w, r)
			}))
			defer server.Close()
			a := opening(1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := NewWebhook(server.URL+"/token", secret).Send(ctx, &a)
			got := <-received
			var refused Refused
			var later Later
			if (err == nil) != tt.arrives || errors.As(err, &refused) != tt.refused || errors.As(err, &later) != (tt.after > 0) || later.After != tt.after || got.ID != a.ID {
				t.Errorf("%v; the receiver has %+v", err, got)
			}
			if err != nil && strings.Contains(err.Error(), "token") {
				t.Errorf("the error shows the address: %v", err)
			}
		})
	}
}

// The lines of docs/alerts.md take a signature that is right, and no other.
func TestSignatureInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	body := []byte(`{"id":"1"}`)
	check := pythonOfPage(t)
	for _, tt := range []struct {
		name, body string
		at         time.Time
		want       string
	}{
		{"right", string(body), time.Now(), "True"},
		{"another body", `{"id":"2"}`, time.Now(), "False"},
		{"old", string(body), time.Now().Add(-time.Hour), "False"},
	} {
		header := Sign([]byte("0123456789abcdef"), tt.at, body)
		script := fmt.Sprintf("header, secret, body = %q, b'0123456789abcdef', b'%s'\n%s\nprint(valid)\n", header, tt.body, check)
		out, err := exec.Command(python, "-c", script).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.name, out, err, tt.want)
		}
	}
}

// Subjects are as SNS takes them, whatever a key holds.
func TestSubject(t *testing.T) {
	a := Alert{App: "sluice", Phase: Opens, Detector: "source", Key: "ip \n\u00e4" + strings.Repeat("x", 300), Reason: "r"}
	if s := a.Subject(); len(s) != 100 || !strings.HasPrefix(s, "[sluice sluice] abnormal: source: ip ??x") {
		t.Errorf("%d characters: %q", len(s), s)
	}
}
