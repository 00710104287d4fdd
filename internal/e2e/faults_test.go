package e2e

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// Whatever a service refuses for want of rights, or because something is gone: the process goes on, says what it waits for,
// does not hammer, and drops nothing.
func TestWhatIsRefused(t *testing.T) {
	kinesisCalls := operations("GetRecords", "GetShardIterator", "ListShards")
	for name, test := range map[string]struct {
		at     func(*yard) *front
		status int
		code   string
		match  func(*http.Request) bool
	}{
		"S3 denies":                         {s3At, 403, "AccessDenied", every},
		"the credentials expired, says S3":  {s3At, 400, "ExpiredToken", every},
		"the key of the bucket is disabled": {s3At, 400, "KMS.DisabledException", below("data/")},
		"the bucket is gone":                {s3At, 404, "NoSuchBucket", every},
		"the error prefix is not writable":  {s3At, 403, "AccessDenied", below("errors/")},
		"Kinesis denies":                    {kinesisAt, 400, "AccessDeniedException", kinesisCalls},
		"the credentials expired":           {kinesisAt, 400, "ExpiredTokenException", kinesisCalls},
		"the key of the stream is denied":   {kinesisAt, 400, "KMSAccessDeniedException", operations("GetRecords")},
		"DynamoDB denies":                   {dynamoAt, 400, "AccessDeniedException", every},
		"the table is gone":                 {dynamoAt, 400, "ResourceNotFoundException", every},
		"the stream is gone":                {kinesisAt, 400, "ResourceNotFoundException", kinesisCalls},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 2)
			y.put(t, 500)
			s := y.run(t, "one")
			y.all(t, s)

			front := test.at(y)
			front.answers(refuses(test.status, test.code, test.match))
			before := y.count(t)
			y.put(t, 500)
			eventually(t, time.Minute, "it tells that it is not ready, and why", []*process.Process{s.Process}, func() bool {
				return strings.Contains(s.notReady(t.Context()), test.code)
			})
			const calm = 4 * time.Second
			called := front.called()
			time.Sleep(calm)
			// 2 shards, a heartbeat and a look at the table, each with pauses of 200 ms at first.
			if n := front.called() - called; n > 80 {
				t.Errorf("%d calls in %v to a service that refuses them", n, calm)
			}
			if n := y.count(t); n != before {
				t.Errorf("%d rows and rejects are visible, %d were before", n, before)
			}
			front.answers(nil)
			y.all(t, s)
			s.ready(t)
			y.finish(t, s)
		})
	}
}

func s3At(y *yard) *front      { return y.s3 }
func dynamoAt(y *yard) *front  { return y.dynamo }
func kinesisAt(y *yard) *front { return y.kinesis }

// commits is what the update expression of a commit has, and no other write.
var commits = []byte("#commitId = :commitId")

// Whoever sends a second signal does not want to wait. What was under way is finished by the next process.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 1)
			hung := make(chan struct{}, 100)
			y.dynamo.answers(func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
				if !bytes.Contains(body, commits) {
					return false
				}
				hung <- struct{}{}
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			})
			y.put(t, 500)
			s := y.run(t, "one", "SLUICE_SHUTDOWN_TIMEOUT=10m")
			<-hung
			for range 2 {
				if err := s.Signal(signal); err != nil {
					t.Fatal(err)
				}
				// The signals are one to the kernel until the first is taken.
				eventually(t, time.Minute, "the signal is taken", nil, func() bool {
					return s.Ended() || strings.Contains(s.notReady(t.Context()), "stopping")
				})
			}
			select {
			case <-s.Done():
			case <-time.After(5 * time.Second):
				t.Fatal("it runs 5 s after the second signal")
			}
			if s.Status() != 1 {
				t.Errorf("it ended with %v; want status 1", s.Err())
			}
			y.dynamo.answers(nil)
			again := y.run(t, "two")
			y.all(t, again)
			y.stop(t, again)
		})
	}
}

// While the table fails, or says nothing, reading stops when the batches are full, and memory with it. When it is back,
// all goes on without anybody's help.
func TestTheTableIsAway(t *testing.T) {
	for name, away := range map[string]answer{
		"answers with failures": refuses(500, "InternalServerError", every),
		"does not answer":       func(_ http.ResponseWriter, r *http.Request, _ []byte) bool { <-r.Context().Done(); return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 4)
			y.put(t, 500)
			s := y.run(t, "one", "SLUICE_MEMORY_LIMIT=64MiB", "SLUICE_COMPRESSION=none")
			y.all(t, s)
			y.dynamo.answers(away)
			const waiting = 60 << 20
			y.putLarge(t, waiting)
			// It reads until its batches are full. Then what it holds stays the same.
			var held float64
			steady := time.Now()
			eventually(t, 2*time.Minute, "it reads no more", []*process.Process{s.Process}, func() bool {
				if now := s.metric(t, "sluice_bytes_received_total"); now != held {
					held, steady = now, time.Now()
				}
				return time.Since(steady) > 5*time.Second
			})
			if held > waiting/2 {
				t.Errorf("%.0f MB of the %d MB were read while nothing could be committed", held/1e6, waiting/1_000_000)
			}
			rss := s.metric(t, "process_resident_memory_bytes")
			t.Logf("%.0f MB were read; the process has %.0f MB", held/1e6, rss/1e6)
			if rss > 150e6 {
				t.Errorf("the process has %.0f MB of memory", rss/1e6)
			}
			if s.notReady(t.Context()) == "" {
				t.Error("it says that it is ready")
			}
			y.dynamo.answers(nil)
			y.all(t, s)
			y.finish(t, s)
		})
	}
}

// Kinesis and DynamoDB close connections, also in the middle of an answer to what they have done.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	for _, f := range []*front{y.kinesis, y.dynamo} {
		var n atomic.Int32
		f.answers(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
			if n.Add(1)%3 != 0 {
				return false
			}
			whole := httptest.NewRecorder()
			f.pass.ServeHTTP(whole, r)
			maps.Copy(w.Header(), whole.Header())
			w.WriteHeader(whole.Code)
			half := whole.Body.Len() / 2
			_, _ = w.Write(whole.Body.Bytes()[:half]) // the client may be gone
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
	}
	s := y.run(t, "one")
	for range 4 {
		y.put(t, 200)
		y.kinesis.CloseClientConnections()
		y.dynamo.CloseClientConnections()
		y.all(t, s)
	}
	y.finish(t, s)
}

// The services' clocks are ten minutes ahead of the process's. Kinesis and DynamoDB refuse what was signed more than five
// minutes ago; the SDK learns the difference from the refusal.
func TestTheClockIsTenMinutesOff(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	const off, allowed = 10 * time.Minute, 5 * time.Minute
	var refused, passed atomic.Int32
	for _, f := range []*front{y.kinesis, y.dynamo} {
		f.answers(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
			now := time.Now().Add(off)
			w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
			signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
			if err == nil && now.Sub(signed).Abs() <= allowed {
				passed.Add(1)
				whole := httptest.NewRecorder()
				f.pass.ServeHTTP(whole, r)
				whole.Header().Set("Date", w.Header().Get("Date"))
				maps.Copy(w.Header(), whole.Header())
				w.WriteHeader(whole.Code)
				_, _ = w.Write(whole.Body.Bytes()) // the client may be gone
				return true
			}
			refused.Add(1)
			return refuses(400, "InvalidSignatureException", every)(w, r, nil)
		})
	}
	y.put(t, 500)
	s := y.run(t, "one")
	y.all(t, s)
	y.finish(t, s)
	t.Logf("%d requests were refused for their time, %d passed", refused.Load(), passed.Load())
	if refused.Load() == 0 || refused.Load() > passed.Load() {
		t.Errorf("%d requests were refused for their time, %d passed", refused.Load(), passed.Load())
	}
}

// A process of another version, which compresses and detects otherwise, takes over in the middle of a batch: after a crash,
// and beside one that is asked to stop. Each record is in the batch of either.
func TestARollingDeploy(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	rate := func(window string) []string {
		return []string{"SLUICE_ANOMALY_DETECTORS=keys", "SLUICE_ANOMALY_KEYS_KIND=rate", "SLUICE_ANOMALY_KEYS_KEY=key", "SLUICE_ANOMALY_KEYS_WINDOW=" + window}
	}
	received := func(s *runner, n int) {
		t.Helper()
		eventually(t, time.Minute, "the records are in a batch", []*process.Process{s.Process}, func() bool {
			return int(s.metric(t, "sluice_records_received_total")) >= n
		})
	}
	old := y.run(t, "old", append(rate("5m"), "SLUICE_COMPRESSION=gzip", "SLUICE_FLUSH_INTERVAL=3s")...)
	y.put(t, 1000)
	y.all(t, old) // a first commit, with a snapshot
	old.Kill()
	old = y.run(t, "again", append(rate("5m"), "SLUICE_COMPRESSION=gzip", "SLUICE_FLUSH_INTERVAL=10m")...)
	y.put(t, 1000)
	received(old, 1000)
	old.Kill()

	next := y.run(t, "next", append(rate("1m"), "SLUICE_COMPRESSION=snappy", "SLUICE_FLUSH_INTERVAL=10m")...)
	y.put(t, 1000)
	received(next, 2000)
	newest := y.run(t, "newest", "SLUICE_COMPRESSION=zstd", "SLUICE_FLUSH_INTERVAL=1s")
	y.put(t, 1000)
	terminate(t, next.Process)
	y.put(t, 1000)
	y.all(t, newest)
	y.stop(t, newest)
}

// Text of every kind comes to columns that two foreign readers agree on.
func TestEncodings(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	var records []world.Record
	for _, payload := range []string{
		`{"text":"plain"}`, "\xef\xbb\xbf" + `{"text":"after a byte order mark"}`, "{\"text\":\"lines\"}\r\n", `{"text":"\u0000 and \u001f"}`,
		`{"text":"\ud800"}`, `{"text":"\udc00\ud800"}`, `{"text":"\ud83d\ude00"}`, `{"text":"ä漢😀"}`, `{"text":"\u2028\u2029\ufeff\uffff"}`,
		"{\"text\":\"\u202e right to left\"}", `{"t\u0000ext":"a key"}`, `{"Ä漢":"a key"}`, `{"text":""}`, `{"text":"\\\"\/\b\f\n\r\t"}`,
		"{\"text\":\"\xff\"}", "{\"text\":\"\xc0\x80\"}", "{\"text\":\"\xed\xa0\x80\"}", "{\"text\":\"\x00\"}", "\xff\xfe{\x00}\x00", "\x1f\x8b\x08\x00\x00\x00\x00\x00",
	} {
		records = append(records, recordOf("k", payload))
	}
	put(t, y.producer, records)
	s := y.run(t, "one")
	y.all(t, s)
	if report := y.finish(t, s); report.Rejects != 6 {
		t.Errorf("%+v; want 6 rejects: those that are not UTF-8, or have bytes that JSON does not allow", report)
	}
}
