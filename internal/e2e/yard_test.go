package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sluice-etl/sluice/internal/e2e/canary"
	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// yard is a world of our own stand-ins in which everything can be made to fail: before all three services stand fronts. The
// test's own clients go around them.
type yard struct {
	*world.World
	kinesis, dynamo, s3 *front

	producer *world.Producer
	ledger   *check.Ledger
	visible  world.Visible
}

func newYard(t *testing.T, shards int) *yard {
	t.Helper()
	dir := t.TempDir()
	w, err := world.Start(t.Context(), world.Options{Dir: dir, Binaries: binaries, Shards: shards})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		leaks, err := canary.Files(dir) // the bucket, and what keeps the stream and the table
		if err != nil {
			t.Error(err)
		}
		for _, leak := range leaks {
			t.Error(leak)
		}
	})
	y := &yard{World: w, kinesis: watched(t, w.KinesisURL), dynamo: watched(t, w.DynamoURL), s3: watched(t, w.S3URL), visible: world.Visible{}}
	y.producer, y.ledger = newProducer(t, w)
	return y
}

// runner is a `sluice run` that a test started.
type runner struct {
	*process.Process
	http string // the address of its metrics and health
}

// run starts `sluice run` before the fronts. Settings come after those that it has here, and win. It logs all that it can, holds
// secrets, and is looked at as long as it runs: what it shows of them fails the test.
func (y *yard) run(t *testing.T, name string, settings ...string) *runner {
	t.Helper()
	return y.runLimited(t, name, "", settings...)
}

// runLimited is run for a process that a shell's command limits before: "ulimit -n 20".
func (y *yard) runLimited(t *testing.T, name, limit string, settings ...string) *runner {
	t.Helper()
	r := &runner{http: address(t)}
	own, err := canary.Plant(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, "SLUICE_CONFIG=") }) {
		own = append(own, "SLUICE_LOG_LEVEL=debug") // a file could not change it
	}
	own = append(own, "SLUICE_STREAM="+world.Stream, "SLUICE_BUCKET="+world.Bucket, "SLUICE_WORKER_ID="+name, "SLUICE_HTTP_ADDR="+r.http,
		"SLUICE_FLUSH_INTERVAL=500ms", "SLUICE_FAILOVER_TIME=3s")
	r.Process = launch(t, process.Spec{Name: name, Path: "/bin/sh", Args: []string{"-ec", limit + "\n" + `exec "$0" run`, filepath.Join(binaries, "sluice")},
		Env: slices.Concat(world.Environment(y.kinesis.URL, y.dynamo.URL, y.s3.URL), own, settings)})
	haunting := make(chan struct{})
	go func() {
		defer close(haunting)
		canary.Haunt(r.Done(), r.http, func(leak string) { t.Error(leak) })
	}()
	t.Cleanup(func() { r.Kill(); <-haunting })
	return r
}

// put makes n records, every hundredth of which must be rejected, and puts them into the stream.
func (y *yard) put(t *testing.T, n int) {
	t.Helper()
	records := make([]world.Record, n)
	for i := range records {
		if i%100 == 50 {
			records[i] = y.producer.MakeBad(i / 100)
		} else {
			records[i] = y.producer.Make()
		}
	}
	for batch := range slices.Chunk(records, world.BatchSize) {
		put(t, y.producer, batch)
	}
}

// putLarge puts records of 10 KB, as many as make so many bytes.
func (y *yard) putLarge(t *testing.T, bytes int) {
	t.Helper()
	text := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 400)
	for n := 0; n < bytes; n += world.BatchSize * len(text) {
		records := make([]world.Record, world.BatchSize)
		for i := range records {
			records[i] = recordOf(fmt.Sprintf("key-%d-%d", n, i), fmt.Sprintf(`{"key":"key-%d","n":%d,"text":"%s"}`, i, n+i, text))
		}
		put(t, y.producer, records)
	}
}

// recordOf is a record of one payload.
func recordOf(key, payload string) world.Record {
	return world.Record{Key: key, Data: []byte(payload), Payloads: [][]byte{[]byte(payload)}}
}

// count is how much is visible.
func (y *yard) count(t *testing.T) int { return int(visibleRows(t, y.visible, y.World)) }

// all waits until all that was acknowledged is visible.
func (y *yard) all(t *testing.T, running *runner) {
	t.Helper()
	eventually(t, 2*time.Minute, "all that was acknowledged is visible", []*process.Process{running.Process}, func() bool { return y.count(t) >= y.ledger.Len() })
}

// stop stops a service, and checks that everything is there once.
func (y *yard) stop(t *testing.T, running *runner) check.Report {
	t.Helper()
	terminate(t, running.Process)
	return exact(t, output(y.World), y.ledger)
}

// finish is stop where no upload may be left: where no process was killed while it uploaded.
func (y *yard) finish(t *testing.T, running *runner) check.Report {
	t.Helper()
	report := y.stop(t, running)
	answer, err := y.S3.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(world.Bucket)})
	if err != nil {
		t.Fatal(err)
	}
	for _, upload := range answer.Uploads {
		t.Errorf("an upload is left: %s", *upload.Key)
	}
	return report
}

// notReady is what a service waits for; empty when it is ready, or does not answer.
func (r *runner) notReady(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.http+"/readyz", nil)
	if err != nil {
		return ""
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode == http.StatusOK {
		return ""
	}
	return string(text)
}

// ready waits until a service is.
func (r *runner) ready(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "it is ready", []*process.Process{r.Process}, func() bool { return r.notReady(t.Context()) == "" })
}

// metric is the one value of a metric; 0 before the service answers.
func (r *runner) metric(t *testing.T, name string) float64 {
	t.Helper()
	values, err := process.Metric(t.Context(), r.http, name)
	if err != nil || len(values) == 0 {
		return 0
	}
	return values[0]
}

// answer is what a front says to a request; it is false where the request goes on to the service.
type answer func(w http.ResponseWriter, r *http.Request, body []byte) (answered bool)

// front stands before a service, and passes on what it is not told to answer.
type front struct {
	*httptest.Server
	pass http.Handler

	mu     sync.Mutex
	calls  int
	answer answer
	seen   func(*http.Request) // if set, is told of each request
}

// watched is a front before an AWS endpoint that services alone are given: what they call counts among actions.
func watched(t *testing.T, target string) *front {
	t.Helper()
	f := newFront(t, target)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = actions.add
	return f
}

func newFront(t *testing.T, target string) *front {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{pass: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport:    &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Server.Close)
	return f
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.calls++
	answer, seen := f.answer, f.seen
	f.mu.Unlock()
	if seen != nil {
		seen(r)
	}
	body, err := io.ReadAll(r.Body) // all of it, so that nobody is answered who still asks
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if answer == nil || !answer(w, r, body) {
		f.pass.ServeHTTP(w, r)
	}
}

// answers makes the front answer requests; nil lets all pass.
func (f *front) answers(a answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = a
}

// called is how many requests have come.
func (f *front) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// refuses is an answer with an error, to the requests that the match accepts.
func refuses(status int, code string, match func(*http.Request) bool) answer {
	return func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if !match(r) {
			return false
		}
		if target := r.Header.Get("X-Amz-Target"); target != "" {
			w.Header().Set("X-Amzn-ErrorType", code)
			w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"__type":%q,"message":"refused by a test"}`, code)
			return true
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>refused by a test</Message></Error>", code)
		return true
	}
}

func every(*http.Request) bool { return true }

// operations matches requests to Kinesis and DynamoDB by their operation.
func operations(names ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		return slices.Contains(names, name)
	}
}

// below matches requests to S3 for the objects below a prefix.
func below(prefix string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/"+world.Bucket+"/"+prefix) }
}
