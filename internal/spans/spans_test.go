package spans

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// counted is what became of spans.
type counted struct {
	mu      sync.Mutex
	sent    int
	dropped map[string]int
}

func (c *counted) SpansSent(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent += n
}

func (c *counted) SpansDropped(cause string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped == nil {
		c.dropped = map[string]int{}
	}
	c.dropped[cause] += n
}

func (c *counted) is(t *testing.T, sent int, dropped map[string]int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent != sent {
		t.Errorf("%d spans are sent, want %d", c.sent, sent)
	}
	for _, cause := range Causes() {
		if c.dropped[cause] != dropped[cause] {
			t.Errorf("%d spans are dropped for %s, want %d", c.dropped[cause], cause, dropped[cause])
		}
	}
}

// collector answers with a function of its own.
type collector func(ctx context.Context, body []byte) (int, error)

func (c collector) Send(ctx context.Context, body []byte) (int, error) { return c(ctx, body) }

func tracer(c *counted, send collector) *Tracer {
	return New(Config{Scope: "test", Ratio: 1, Sender: send, Metrics: c, Log: slog.New(slog.DiscardHandler)})
}

// count is the number of spans in a request.
func count(body []byte) (n int) {
	each(body, func(field protowire.Number, resource []byte, _ uint64) {
		each(resource, func(field protowire.Number, scope []byte, _ uint64) {
			if field == fieldScopeSpans {
				each(scope, func(field protowire.Number, _ []byte, _ uint64) {
					if field == fieldSpans {
						n++
					}
				})
			}
		})
	})
	return n
}

func batches(t *Tracer, n int) {
	for range n {
		t.Batch("batch", time.Now()).End(nil)
	}
}

// Without a collector nothing is allocated for spans: neither where there is no tracer nor where a batch is not told.
func TestOffCostsNothing(t *testing.T) {
	ctx, now, failed := t.Context(), time.Now(), errors.New("failed")
	for name, tracer := range map[string]*Tracer{"no tracer": nil, "none are told": New(Config{Ratio: 0})} {
		if n := testing.AllocsPerRun(1000, func() {
			span := tracer.Batch("batch", now)
			span.Text("shard", "shardId-000000000000")
			span.Int("rows", 1000)
			span.Float("busy", 1)
			span.First("parse").End(nil)
			ctx := With(ctx, span)
			child := Of(ctx).Child("upload")
			child.End(failed)
			span.End(nil)
		}); n != 0 {
			t.Errorf("%s: a batch allocates %v times", name, n)
		}
	}
}

// Of a ratio of the batches all spans are told, and of the others none.
func TestRatio(t *testing.T) {
	told := 0
	tracer := New(Config{Ratio: 0.25})
	for range 10_000 {
		if tracer.Batch("batch", time.Now()) != nil {
			told++
		}
	}
	if told < 2200 || told > 2800 { // seven standard deviations
		t.Errorf("%d of 10000 are told", told)
	}
}

// Spans that end together go in one request, and more than fit into one in several.
func TestFewRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counted
		var sizes []int
		tr := tracer(&c, func(_ context.Context, body []byte) (int, error) { sizes = append(sizes, count(body)); return 0, nil })
		ctx, stop := context.WithCancel(t.Context())
		go tr.Run(ctx, time.Second)
		batches(tr, 3)
		time.Sleep(mostWait + time.Millisecond)
		synctest.Wait()
		batches(tr, mostSpans+1)
		stop()
		synctest.Wait()
		c.is(t, 3+mostSpans+1, nil)
		if len(sizes) != 3 || sizes[0] != 3 || sizes[1] != mostSpans || sizes[2] != 1 {
			t.Errorf("the requests have %v spans", sizes)
		}
	})
}

// A collector that asks to come again gets the same spans again, not before the time that it names, and within a minute.
func TestACollectorThatIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counted
		var at []time.Time
		tr := tracer(&c, func(context.Context, []byte) (int, error) {
			if at = append(at, time.Now()); len(at) < 3 {
				return 0, Later{20 * time.Second, errors.New("busy")}
			}
			return 0, nil
		})
		batches(tr, 2)
		ctx, stop := context.WithCancel(t.Context())
		go tr.Run(ctx, time.Second)
		time.Sleep(2 * time.Minute)
		stop()
		synctest.Wait()
		c.is(t, 2, nil)
		if len(at) != 3 || at[1].Sub(at[0]) < 20*time.Second || at[2].Sub(at[1]) < 20*time.Second {
			t.Errorf("the attempts are at %v", at)
		}
	})
}

// A collector that never takes anything costs spans, which are counted, and no more time at the end than it is given. Nobody who ends a
// span waits for it.
func TestACollectorThatIsGone(t *testing.T) {
	for name, send := range map[string]collector{
		"hangs":   func(ctx context.Context, _ []byte) (int, error) { <-ctx.Done(); return 0, Later{0, ctx.Err()} },
		"refuses": func(context.Context, []byte) (int, error) { return 0, Later{0, errors.New("connection refused")} },
	} {
		synctest.Test(t, func(t *testing.T) {
			var c counted
			tr := tracer(&c, send)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { tr.Run(ctx, time.Second); close(ended) }()
			batches(tr, 1)
			time.Sleep(mostWait + time.Millisecond) // that one is on its way
			synctest.Wait()
			begun := time.Now()
			batches(tr, queueLength+7)
			if took := time.Since(begun); took != 0 {
				t.Errorf("%s: who ended spans waited for %v", name, took)
			}
			c.is(t, 0, map[string]int{causeFull: 7})
			begun = time.Now()
			stop()
			<-ended
			if took := time.Since(begun); took > time.Second {
				t.Errorf("%s: the end takes %v", name, took)
			}
			c.is(t, 0, map[string]int{causeFull: 7, causeGaveUp: 1 + queueLength})
		})
	}
}

// What is given up after a minute makes room for what comes then.
func TestAnOutageEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counted
		begun := time.Now()
		tr := tracer(&c, func(context.Context, []byte) (int, error) {
			if time.Since(begun) < 90*time.Second {
				return 0, Later{0, errors.New("connection refused")}
			}
			return 0, nil
		})
		ctx, stop := context.WithCancel(t.Context())
		go tr.Run(ctx, time.Second)
		batches(tr, 5)
		time.Sleep(100 * time.Second)
		batches(tr, 3)
		time.Sleep(2 * time.Minute)
		stop()
		synctest.Wait()
		c.is(t, 3, map[string]int{causeGaveUp: 5})
	})
}

// A collector may take a part, or nothing for good.
func TestWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counted
		answers := []func() (int, error){
			func() (int, error) { return 2, nil },
			func() (int, error) { return 0, errors.New("400 Bad Request") },
		}
		tr := tracer(&c, func(context.Context, []byte) (int, error) { a := answers[0]; answers = answers[1:]; return a() })
		ctx, stop := context.WithCancel(t.Context())
		go tr.Run(ctx, time.Second)
		batches(tr, 5)
		time.Sleep(2 * mostWait)
		batches(tr, 4)
		stop()
		synctest.Wait()
		c.is(t, 3, map[string]int{causeRefused: 2 + 4})
	})
}

// Answers are understood as OTLP has them, and the header goes to the collector alone and into no error.
func TestCollector(t *testing.T) {
	partial := appendBytes(nil, 1, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 3)) // ExportTraceServiceResponse
	for name, c := range map[string]struct {
		answer  func(w http.ResponseWriter)
		refused int
		again   bool
		after   time.Duration
		fails   bool
	}{
		"all":            {answer: func(http.ResponseWriter) {}},
		"a part":         {answer: func(w http.ResponseWriter) { _, _ = w.Write(partial) }, refused: 3},
		"half an answer": {answer: func(w http.ResponseWriter) { _, _ = w.Write(partial[:2]) }},
		"unavailable":    {answer: func(w http.ResponseWriter) { w.Header().Set("Retry-After", "7"); w.WriteHeader(503) }, again: true, after: 7 * time.Second, fails: true},
		"too many":       {answer: func(w http.ResponseWriter) { w.WriteHeader(429) }, again: true, fails: true},
		"a bad gateway":  {answer: func(w http.ResponseWriter) { w.WriteHeader(502) }, again: true, fails: true},
		"unauthorized":   {answer: func(w http.ResponseWriter) { w.WriteHeader(401) }, fails: true},
		"an error":       {answer: func(w http.ResponseWriter) { w.WriteHeader(500) }, fails: true},
		"elsewhere":      {answer: func(w http.ResponseWriter) { w.Header().Set("Location", "/v1/traces"); w.WriteHeader(307) }, fails: true},
		"hangs up":       {answer: func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, again: true, fails: true},
	} {
		var asked []*http.Request
		var bodies []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			unpacked, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			body, err := io.ReadAll(unpacked)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			asked, bodies = append(asked, r), append(bodies, string(body))
			c.answer(w)
		}))
		sender := NewCollector(server.URL+"/v1/traces?hush-hush", http.Header{"Api-Key": {"hush-hush"}}, true, 10*time.Second)
		refused, err := sender.Send(t.Context(), []byte("spans"))
		server.Close()
		var later Later
		again := errors.As(err, &later)
		if refused != c.refused || (err != nil) != c.fails || again != c.again || later.After != c.after {
			t.Errorf("%s: %d are refused, %v, again %v after %v", name, refused, err, again, later.After)
		}
		if err != nil && strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
		if len(asked) != 1 || bodies[0] != "spans" || asked[0].Method != "POST" || asked[0].Header.Get("Api-Key") != "hush-hush" ||
			asked[0].Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s: the collector got %v", name, bodies)
		}
	}
	// Nobody is there, or nobody answers.
	mute := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer mute.Close()
	for _, endpoint := range []string{"http://127.0.0.1:1/hush-hush", mute.URL + "/hush-hush"} {
		_, err := NewCollector(endpoint, nil, false, 50*time.Millisecond).Send(t.Context(), nil)
		var later Later
		if !errors.As(err, &later) || strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, "-5": 0, "soon": 0, "99999999": time.Hour,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

// What a collector answers is read within bounds, whatever it is.
func FuzzRejected(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{10, 2, 8, 3})
	f.Fuzz(func(t *testing.T, response []byte) {
		if n := rejected(response); n < 0 || n > mostSpans {
			t.Errorf("%d are rejected", n)
		}
	})
}

// BenchmarkBatch is what the spans of a batch cost that has nine steps, with a collector, and without.
func BenchmarkBatch(b *testing.B) {
	for name, tracer := range map[string]*Tracer{"off": nil, "on": New(Config{Ratio: 1, Metrics: &counted{}})} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				span := tracer.Batch("batch", time.Now())
				ctx := With(b.Context(), span)
				span.Text("sluice.shard", "shardId-000000000000")
				span.Int("sluice.rows", 1000)
				for range 9 {
					Of(ctx).Child("step").End(nil)
				}
				span.End(nil)
			}
		})
	}
}
