package e2e

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluice-etl/sluice/internal/e2e/process"
)

// collector is a stand-in for one of OpenTelemetry, that decodes by the messages that OpenTelemetry generates.
type collector struct {
	*httptest.Server

	mu     sync.Mutex
	asked  int
	spans  []*tracepb.Span
	faults []string // requests that are not as OTLP has them
}

// newCollector makes one that says to its first request that it is busy.
func newCollector(t *testing.T, header string) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.asked++; c.asked == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err == nil {
			err = c.take(r, body, header)
		}
		if err != nil {
			c.faults = append(c.faults, err.Error())
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf") // of an empty response
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(r *http.Request, body []byte, header string) error {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Api-Key") != header {
		return fmt.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
	}
	var data tracepb.TracesData // the request has the same fields, and is in a package that depends on gRPC
	if err := proto.Unmarshal(body, &data); err != nil {
		return err
	}
	if err := known(data.ProtoReflect()); err != nil {
		return err
	}
	for _, of := range data.ResourceSpans {
		about := attributes(of.Resource.GetAttributes())
		if about["service.name"] != "orders" || about["team"] != "data, and more" || about["service.instance.id"] != "one" || len(of.ScopeSpans) != 1 {
			return fmt.Errorf("spans of %v", about)
		}
		c.spans = append(c.spans, of.ScopeSpans[0].Spans...)
	}
	return nil
}

// known fails for a message with a field that it does not have, at any depth.
func known(m protoreflect.Message) (err error) {
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%s has unknown fields: %x", m.Descriptor().FullName(), m.GetUnknown())
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := 0; i < value.List().Len() && err == nil; i++ {
				err = known(value.List().Get(i).Message())
			}
		default:
			err = known(value.Message())
		}
		return err == nil
	})
	return err
}

// attributes are those of a span or a resource: texts, int64 and float64.
func attributes(list []*commonpb.KeyValue) map[string]any {
	all := map[string]any{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.Key] = v.IntValue
		case *commonpb.AnyValue_DoubleValue:
			all[a.Key] = v.DoubleValue
		}
	}
	return all
}

// committed is what is kept of a commit.
type committed struct {
	ID, Shard, After, Checkpoint, Trigger string
	Files                                 []struct{ Size, Rows int64 }
}

func commitsIn(t *testing.T, bucket string) map[string]committed {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(bucket, "_sluice", "*", "commits", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]committed{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c committed
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[c.ID] = c
	}
	return all
}

// TestSpans holds what a collector is told against the records of the commits: a trace for each, with its figures and its steps, of
// which those that failed are marked. The collector's secret is shown nowhere.
func TestSpans(t *testing.T) {
	t.Parallel()
	const secret = "hush-hush, it is one"
	c := newCollector(t, secret)
	y := newYard(t, 2)
	s := y.run(t, "one", "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_EXPORTER_OTLP_HEADERS=api-key=hush-hush%2C%20it%20is%20one",
		"OTEL_SERVICE_NAME=orders", "OTEL_RESOURCE_ATTRIBUTES=team=data%2C and more,service.name=other")
	y.put(t, 2000)
	y.all(t, s)
	var refused atomic.Int32
	y.s3.answers(refuses(http.StatusForbidden, "AccessDenied", func(r *http.Request) bool { // which the SDK does not try again
		return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && refused.Add(1) <= 2 // what makes an upload visible
	}))
	y.put(t, 1000)
	y.all(t, s)
	sent := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.spans)
	}
	eventually(t, time.Minute, "spans are sent", []*process.Process{s.Process}, func() bool {
		n := sent()
		return n > 0 && s.metric(t, "sluice_spans_sent_total") == float64(n)
	})
	values, err := process.Metric(t.Context(), s.http, "sluice_spans_dropped_total")
	if err != nil || len(values) != 3 || values[0]+values[1]+values[2] != 0 {
		t.Errorf("spans are dropped: %v, %v", values, err)
	}
	page, err := http.Get("http://" + s.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(page.Body)
	page.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	y.finish(t, s)

	for name, text := range map[string]string{"log": s.Stderr.String(), "output": s.Stdout.String(), "metrics": string(metrics)} {
		if strings.Contains(text, "hush") {
			t.Errorf("the %s shows the secret", name)
		}
	}
	for _, fault := range c.faults {
		t.Error(fault)
	}
	c.compare(t, commitsIn(t, y.Bucket), int64(y.ledger.Len()))
}

// compare holds spans against commits, of which there must be some that failed at first.
func (c *collector) compare(t *testing.T, commits map[string]committed, payloads int64) {
	t.Helper()
	steps := map[string]map[string]int{} // of each span of a batch, by its parts' names
	roots := map[string]*tracepb.Span{}  // by their IDs
	seen := map[string]bool{}
	for _, span := range c.spans {
		id := hex.EncodeToString(span.SpanId)
		if len(span.SpanId) != 8 || len(span.TraceId) != 16 || seen[id] || span.EndTimeUnixNano < span.StartTimeUnixNano {
			t.Errorf("not a span: %v", span)
		}
		seen[id] = true
		if len(span.ParentSpanId) == 0 {
			roots[id], steps[id] = span, map[string]int{}
		}
	}
	failed := 0
	for _, span := range c.spans {
		if len(span.ParentSpanId) == 0 {
			continue
		}
		parent := hex.EncodeToString(span.ParentSpanId)
		root := roots[parent]
		if root == nil {
			t.Errorf("%s has no parent", span.Name)
			continue
		}
		steps[parent][span.Name]++
		if string(root.TraceId) != string(span.TraceId) || span.StartTimeUnixNano < root.StartTimeUnixNano || span.EndTimeUnixNano > root.EndTimeUnixNano {
			t.Errorf("%s is not within its batch", span.Name)
		}
		if span.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			if failed++; span.Name != "publish" || !strings.Contains(span.Status.Message, "AccessDenied") {
				t.Errorf("%s failed: %s", span.Name, span.Status.Message)
			}
		}
	}
	if failed == 0 {
		t.Error("no step has failed")
	}
	if len(roots) != len(commits) || len(commits) < 4 {
		t.Errorf("%d batches are told, and %d commits are kept", len(roots), len(commits))
	}
	var lines int64
	for id, root := range roots {
		a := attributes(root.Attributes)
		commit, ok := commits[fmt.Sprint(a["sluice.commit"])]
		if !ok || root.Name != "batch" || root.Status != nil {
			t.Errorf("a batch without a commit: %v", root)
			continue
		}
		var rows, size int64
		for _, f := range commit.Files {
			rows += f.Rows
			size += f.Size
		}
		lines += rows + a["sluice.rejects"].(int64)
		want := map[string]any{"sluice.shard": commit.Shard, "sluice.trigger": commit.Trigger, "sluice.sequence.last": commit.Checkpoint,
			"sluice.rows": rows, "sluice.bytes": size, "sluice.files": int64(len(commit.Files))}
		for key, value := range want {
			if a[key] != value {
				t.Errorf("%s: %s is %v, want %v", commit.ID, key, a[key], value)
			}
		}
		if first := fmt.Sprint(a["sluice.sequence.first"]); number(first).Cmp(number(commit.After)) <= 0 || number(first).Cmp(number(commit.Checkpoint)) > 0 {
			t.Errorf("%s begins at %s, and is after %s and up to %s", commit.ID, first, commit.After, commit.Checkpoint)
		}
		if n := a["sluice.records"].(int64); n <= 0 || n > rows+a["sluice.rejects"].(int64) {
			t.Errorf("%s has %d records", commit.ID, n)
		}
		for _, step := range []string{"parse", "encode", "upload", "commit", "publish", "record", "clear"} {
			if n := steps[id][step]; n == 0 || n > 1 && step != "publish" {
				t.Errorf("%s has %d times the step %s", commit.ID, n, step)
			}
		}
	}
	if lines != payloads {
		t.Errorf("the batches have %d rows and rejects, and %d were put", lines, payloads)
	}
}

// number is a sequence number; that of nothing is below all.
func number(sequence string) *big.Int {
	n, ok := new(big.Int).SetString(sequence, 10)
	if !ok {
		return big.NewInt(-1)
	}
	return n
}

// TestSpansHoldUpNothing has collectors that do not take spans: records become visible, each once, and the end comes in time.
func TestSpansHoldUpNothing(t *testing.T) {
	t.Parallel()
	serve := func(answer http.HandlerFunc) string {
		s := httptest.NewServer(answer)
		t.Cleanup(s.Close)
		return s.URL
	}
	for name, endpoint := range map[string]string{
		"absent": "http://" + address(t),
		"hangs":  serve(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }),
		"busy": serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
		}),
		"refuses": serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 2)
			s := y.run(t, "one", "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=60000")
			y.put(t, 500)
			y.all(t, s)
			if name == "busy" || name == "refuses" { // without delay: it is known that they will not take it
				eventually(t, time.Minute, "spans are dropped", []*process.Process{s.Process}, func() bool {
					values, err := process.Metric(t.Context(), s.http, "sluice_spans_dropped_total")
					return err == nil && len(values) == 3 && values[0]+values[1]+values[2] > 0
				})
			}
			y.put(t, 500)
			y.all(t, s)
			y.finish(t, s)
		})
	}
}
