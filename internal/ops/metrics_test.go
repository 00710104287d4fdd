package ops

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/pipeline"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTestMetrics() (*Metrics, *Health, *clock) {
	c := &clock{time.Unix(1_700_000_000, 500e6)}
	h := newHealth(c.now)
	return newMetrics(Build{"v1.2.3", "0a1b", "go1.26.0"}, h, c.now), h, c
}

// scrape is what Prometheus gets.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	status, header, body := get(m.Handler(quiet()), "/metrics")
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("scraped: %d %s %s", status, header, body)
	}
	return body
}

// samples compares the types and samples of the named metrics, in the order of the exposition, which is that of names
// and labels.
func samples(t *testing.T, m *Metrics, want string, names ...string) {
	t.Helper()
	var got strings.Builder
	pattern := regexp.MustCompile(`^(# TYPE )?(` + strings.Join(names, "|") + `)(_bucket|_sum|_count)?[ {]`)
	for line := range strings.Lines(scrape(t, m)) {
		if pattern.MatchString(line) {
			got.WriteString(line)
		}
	}
	want = strings.TrimSpace(strings.ReplaceAll(want, "\t", "")) + "\n"
	if got.String() != want {
		t.Errorf("scraped:\n%swant:\n%s", got.String(), want)
	}
}

func use(m *Metrics, shard string) {
	m.Received(10, 1000)
	m.Rejected("not_json", 1)
	m.Rescued(2)
	m.Filtered(5)
	m.ExpressionFaults(6)
	m.Skewed(6)
	m.Duplicates(3)
	m.Anomalies("rate", 4, []byte("sourceip 10.0.0.1"))
	m.Unusable("rate", 6)
	m.Buffered(512)
	m.Buffered(-256)
	m.Detector("rate", shard, 7, 5)
	m.SnapshotLost()
	m.PeersLost()
	m.AWSError("kinesis", "GetRecords", "throttled")
	m.IntakeRequest("PutRecord", "OK")
	m.IntakeRecords(3, 1, 300)
	m.IntakeInFlight(2)
	m.Leases(1)
	m.Readable(2)
	m.MemoryLimit(1 << 30)
	m.Owners(map[string]string{shard: "me"})
	m.Abnormal([]pipeline.Abnormal{{Shard: shard, Detectors: "rate", Reason: []byte("too often")}})
	m.Lost(shard)
	m.GaveUp("a commit")
	m.Trimmed(shard, "1", "3")
	m.Lag(shard, 1500*time.Millisecond)
	m.PartitionsRegistered(3)
	m.CatalogError("table")
	m.CatalogCurrent()
	m.Committed(shard, consumer.Batch{Trigger: "interval", Files: []consumer.File{
		{Body: make([]byte, 2000), Rows: 8}, {Body: make([]byte, 300_000), Rows: 1}, {Body: make([]byte, 99)},
	}}, 200*time.Millisecond)
}

func TestScrape(t *testing.T) {
	m, _, _ := newTestMetrics()
	use(m, "shard-0")
	for _, tt := range []struct{ name, kind, samples string }{
		{"sluice_build_info", "gauge", `sluice_build_info{commit="0a1b",go_version="go1.26.0",version="v1.2.3"} 1`},
		{"sluice_records_received_total", "counter", `sluice_records_received_total 10`},
		{"sluice_bytes_received_total", "counter", `sluice_bytes_received_total 1000`},
		{"sluice_rows_committed_total", "counter", `sluice_rows_committed_total 9`},
		{"sluice_rows_rescued_total", "counter", `sluice_rows_rescued_total 2`},
		{"sluice_rows_filtered_total", "counter", `sluice_rows_filtered_total 5`},
		{"sluice_expression_faults_total", "counter", `sluice_expression_faults_total 6`},
		{"sluice_time_skewed_total", "counter", `sluice_time_skewed_total 6`},
		{"sluice_duplicate_keys_total", "counter", `sluice_duplicate_keys_total 3`},
		{"sluice_records_rejected_total", "counter", `sluice_records_rejected_total{reason="not_json"} 1`},
		{"sluice_anomalies_total", "counter", `sluice_anomalies_total{detector="rate"} 4`},
		{"sluice_lag_seconds", "gauge", `sluice_lag_seconds{shard="shard-0"} 1.5`},
		{"sluice_last_commit_timestamp_seconds", "gauge", `sluice_last_commit_timestamp_seconds{shard="shard-0"} 1.7000000005e+09`},
		{"sluice_commits_total", "counter", `sluice_commits_total{trigger="interval"} 1`},
		{"sluice_files_published_total", "counter", `sluice_files_published_total 3`},
		{"sluice_buffered_bytes", "gauge", `sluice_buffered_bytes 256`},
		{"sluice_leases_owned", "gauge", `sluice_leases_owned 1`},
		{"sluice_shards_readable", "gauge", `sluice_shards_readable 2`},
		{"sluice_memory_limit_bytes", "gauge", `sluice_memory_limit_bytes 1.073741824e+09`},
		{"sluice_failing_seconds", "gauge", `
			sluice_failing_seconds{shard="shard-0"} 0
			sluice_failing_seconds{shard="worker"} 0`},
		{"sluice_lease_lost_total", "counter", `sluice_lease_lost_total 1`},
		{"sluice_commits_given_up_total", "counter", `sluice_commits_given_up_total 1`},
		{"sluice_records_trimmed_total", "counter", `sluice_records_trimmed_total 1`},
		{"sluice_detector_keys", "gauge", `sluice_detector_keys{detector="rate"} 7`},
		{"sluice_detector_evictions_total", "counter", `sluice_detector_evictions_total{detector="rate"} 5`},
		{"sluice_detector_unusable_total", "counter", `sluice_detector_unusable_total{detector="rate"} 6`},
		{"sluice_detector_snapshots_lost_total", "counter", `sluice_detector_snapshots_lost_total 1`},
		{"sluice_detector_peers_lost_total", "counter", `sluice_detector_peers_lost_total 1`},
		{"sluice_aws_errors_total", "counter", `sluice_aws_errors_total{class="throttled",operation="GetRecords",service="kinesis"} 1`},
		{"sluice_partitions_registered_total", "counter", `sluice_partitions_registered_total 3`},
		{"sluice_catalog_errors_total", "counter", `sluice_catalog_errors_total{operation="table"} 1`},
		{"sluice_catalog_last_success_timestamp_seconds", "gauge", `sluice_catalog_last_success_timestamp_seconds 1.7000000005e+09`},
		{"sluice_intake_requests_total", "counter", `sluice_intake_requests_total{code="OK",operation="PutRecord"} 1`},
		{"sluice_intake_records_total", "counter", `
			sluice_intake_records_total{outcome="acknowledged"} 3
			sluice_intake_records_total{outcome="failed"} 1`},
		{"sluice_intake_bytes_total", "counter", `sluice_intake_bytes_total 300`},
		{"sluice_intake_in_flight", "gauge", `sluice_intake_in_flight 2`},
		{"sluice_commit_duration_seconds", "histogram", `
			sluice_commit_duration_seconds_bucket{le="0.05"} 0
			sluice_commit_duration_seconds_bucket{le="0.1"} 0
			sluice_commit_duration_seconds_bucket{le="0.25"} 1
			sluice_commit_duration_seconds_bucket{le="0.5"} 1
			sluice_commit_duration_seconds_bucket{le="1"} 1
			sluice_commit_duration_seconds_bucket{le="2.5"} 1
			sluice_commit_duration_seconds_bucket{le="5"} 1
			sluice_commit_duration_seconds_bucket{le="10"} 1
			sluice_commit_duration_seconds_bucket{le="30"} 1
			sluice_commit_duration_seconds_bucket{le="60"} 1
			sluice_commit_duration_seconds_bucket{le="300"} 1
			sluice_commit_duration_seconds_bucket{le="+Inf"} 1
			sluice_commit_duration_seconds_sum 0.2
			sluice_commit_duration_seconds_count 1`},
		{"sluice_file_size_bytes", "histogram", `
			sluice_file_size_bytes_bucket{le="1024"} 0
			sluice_file_size_bytes_bucket{le="4096"} 1
			sluice_file_size_bytes_bucket{le="16384"} 1
			sluice_file_size_bytes_bucket{le="65536"} 1
			sluice_file_size_bytes_bucket{le="262144"} 1
			sluice_file_size_bytes_bucket{le="1.048576e+06"} 2
			sluice_file_size_bytes_bucket{le="4.194304e+06"} 2
			sluice_file_size_bytes_bucket{le="1.6777216e+07"} 2
			sluice_file_size_bytes_bucket{le="6.7108864e+07"} 2
			sluice_file_size_bytes_bucket{le="2.68435456e+08"} 2
			sluice_file_size_bytes_bucket{le="+Inf"} 2
			sluice_file_size_bytes_sum 302000
			sluice_file_size_bytes_count 2`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			samples(t, m, "# TYPE "+tt.name+" "+tt.kind+"\n"+strings.TrimSpace(tt.samples), tt.name)
		})
	}
}

func TestLint(t *testing.T) {
	m, _, _ := newTestMetrics()
	use(m, "shard-0")
	problems, err := promlint.New(strings.NewReader(scrape(t, m))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if n, err := testutil.GatherAndCount(m, name); err != nil || n != 1 {
			t.Errorf("%s: %d series, %v", name, n, err)
		}
	}
}

func TestSeriesOfAShardEndWithIt(t *testing.T) {
	m, _, _ := newTestMetrics()
	use(m, "shard-0")
	use(m, "shard-1")
	m.Forget("shard-0")
	m.Forget("shard-0")
	m.Forget("never held")
	samples(t, m, `# TYPE sluice_detector_evictions_total counter
		sluice_detector_evictions_total{detector="rate"} 10
		# TYPE sluice_detector_keys gauge
		sluice_detector_keys{detector="rate"} 7
		# TYPE sluice_lag_seconds gauge
		sluice_lag_seconds{shard="shard-1"} 1.5
		# TYPE sluice_last_commit_timestamp_seconds gauge
		sluice_last_commit_timestamp_seconds{shard="shard-1"} 1.7000000005e+09
		`, "sluice_lag_seconds", "sluice_last_commit_timestamp_seconds", "sluice_detector_keys", "sluice_detector_evictions_total")
	m.Forget("shard-1")
	for name, want := range map[string]int{"sluice_lag_seconds": 0, "sluice_last_commit_timestamp_seconds": 0, "sluice_detector_keys": 1} {
		if n, err := testutil.GatherAndCount(m, name); err != nil || n != want {
			t.Errorf("%s: %d series, want %d; %v", name, n, want, err)
		}
	}
}

func TestEvictionsNeverFall(t *testing.T) {
	m, _, _ := newTestMetrics()
	for _, step := range []struct {
		shard           string
		evictions, want uint64
	}{
		{"a", 5, 5}, {"b", 2, 7}, {"a", 6, 8}, {"a", 6, 8},
		{"a", 1, 9}, // a new engine
		{"b", 4, 11},
	} {
		m.Detector("rate", step.shard, 1, step.evictions)
		samples(t, m, fmt.Sprintf("# TYPE sluice_detector_evictions_total counter\nsluice_detector_evictions_total{detector=%q} %d\n", "rate", step.want),
			"sluice_detector_evictions_total")
	}
}

func TestLagGrowsWithoutReads(t *testing.T) {
	m, _, clock := newTestMetrics()
	m.Lag("a", 3*time.Second)
	for _, step := range []struct{ pass, want time.Duration }{
		{0, 3 * time.Second}, {staleAfter, 3 * time.Second}, {time.Minute, 63 * time.Second},
	} {
		clock.at = clock.at.Add(step.pass)
		if got := m.Status().Lag(); got != step.want {
			t.Errorf("%s later the lag is %s, want %s", step.pass, got, step.want)
		}
	}
	m.Lag("a", 0)
	if got := m.Status().Lag(); got != 0 {
		t.Errorf("after a read at the end of the shard the lag is %s", got)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	m, _, _ := newTestMetrics()
	for i := range maxSeries + 50 {
		m.Rejected(fmt.Sprint("reason", i), 2)
		m.AWSError("s3", fmt.Sprint("operation", i), "server")
	}
	m.Rejected("reason0", 1) // known ones still count
	m.Rejected("", 1)
	m.Anomalies("no UTF-8: \xff", 1, nil)
	m.Anomalies("", 1, nil)
	for name, want := range map[string]int{"sluice_records_rejected_total": maxSeries + 1, "sluice_aws_errors_total": maxSeries + 1, "sluice_anomalies_total": 2} {
		if n, err := testutil.GatherAndCount(m, name); err != nil || n != want {
			t.Errorf("%s: %d series, want %d; %v", name, n, want, err)
		}
	}
	if got := testutil.ToFloat64(m.rejected.with("reason0")); got != 3 {
		t.Errorf("a known reason is counted %v times, want 3", got)
	}
	if got := testutil.ToFloat64(m.rejected.with("other")); got != 101 {
		t.Errorf("other reasons are counted %v times, want 101", got)
	}
}

func TestFailingLastsUntilAllSucceed(t *testing.T) {
	m, _, clock := newTestMetrics()
	m.Lag("a", 0)
	const nothing = `sluice_failing_seconds{shard="a"} 0
		sluice_failing_seconds{shard="worker"} 0`
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"nothing", func() {}, nothing},
		{"an operation fails", func() { m.NotReady("a: upload", "denied") }, nothing},
		{"another fails, too", func() { m.NotReady("a: read", "throttled") }, `sluice_failing_seconds{shard="a"} 10
			sluice_failing_seconds{shard="worker"} 0`},
		{"of the whole process", func() { m.NotReady("worker: heartbeat", "late") }, `sluice_failing_seconds{shard="a"} 20
			sluice_failing_seconds{shard="worker"} 0`},
		{"it fails again for another reason", func() { m.NotReady("a: upload", "not found") }, `sluice_failing_seconds{shard="a"} 30
			sluice_failing_seconds{shard="worker"} 10`},
		{"one succeeds", func() { m.Ready("a: upload"); m.Ready("worker: heartbeat") }, `sluice_failing_seconds{shard="a"} 30
			sluice_failing_seconds{shard="worker"} 0`},
		{"all succeed", func() { m.Ready("a: read") }, nothing},
		{"it fails when it is lost", func() { m.NotReady("a: commit", "late"); m.Forget("a") }, `sluice_failing_seconds{shard="worker"} 0`},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.do()
			samples(t, m, "# TYPE sluice_failing_seconds gauge\n"+step.want, "sluice_failing_seconds")
		})
		clock.at = clock.at.Add(10 * time.Second)
	}
}

// Whoever asks for protobuf gets native histograms, beside the buckets that the text shows.
func TestNativeHistograms(t *testing.T) {
	m, _, _ := newTestMetrics()
	use(m, "shard-0")
	families, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sluice_commit_duration_seconds", "sluice_file_size_bytes"} {
		at := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
		if at < 0 {
			t.Errorf("%s is not gathered", name)
			continue
		}
		h := families[at].Metric[0].Histogram
		if len(h.PositiveSpan) == 0 || len(h.Bucket) == 0 || math.Pow(2, math.Pow(2, -float64(h.GetSchema()))) > nativeFactor {
			t.Errorf("%s has %d native spans of schema %d, and %d buckets", name, len(h.PositiveSpan), h.GetSchema(), len(h.Bucket))
		}
	}
}

// A key is shown to whoever asks for OpenMetrics, as an exemplar, when it is to be; whatever it is, it fits.
func TestKeysAreExemplars(t *testing.T) {
	for _, tt := range []struct {
		name, key, want string
		hidden          bool
	}{
		{"a key", "sourceip 10.0.0.1", `{key="sourceip 10.0.0.1"}`, false},
		{"hidden", "sourceip 10.0.0.1", "", true},
		{"no key", "", "", false},
		{"no UTF-8", "user \xff\xfe", `{key="user ?"}`, false},
		{"quotes and lines", "user \"\n\\", `{key="user \"\n\\"}`, false},
		{"too long", strings.Repeat("é", 5000), `{key="` + strings.Repeat("é", 100) + `"}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _, _ := newTestMetrics()
			if !tt.hidden {
				m.ShowKeys()
			}
			m.Anomalies("rate", 2, []byte(tt.key))
			m.Anomalies("rate", 0, []byte("of an older batch"))
			request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
			answer := httptest.NewRecorder()
			m.Handler(quiet()).ServeHTTP(answer, request)
			_, line, _ := strings.Cut(answer.Body.String(), `sluice_anomalies_total{detector="rate"} 2.0`)
			line, _, _ = strings.Cut(line, "\n")
			got := ""
			if exemplar, found := strings.CutPrefix(line, " # "); found {
				got = exemplar[:strings.LastIndexByte(exemplar, '}')+1]
			}
			if got != tt.want || answer.Code != http.StatusOK {
				t.Errorf("%d, %q; want %q", answer.Code, got, tt.want)
			}
		})
	}
}

func TestExpectedSeriesStartAtZero(t *testing.T) {
	m, _, _ := newTestMetrics()
	m.Expect([]string{"not_json", "too_deep"}, []string{"rate"}, []string{"interval"})
	m.Rejected("too_deep", 1)
	m.Expect([]string{"too_deep"}, nil, nil) // once more does no harm
	samples(t, m, `# TYPE sluice_anomalies_total counter
		sluice_anomalies_total{detector="rate"} 0
		# TYPE sluice_commits_total counter
		sluice_commits_total{trigger="interval"} 0
		# TYPE sluice_detector_evictions_total counter
		sluice_detector_evictions_total{detector="rate"} 0
		# TYPE sluice_records_rejected_total counter
		sluice_records_rejected_total{reason="not_json"} 0
		sluice_records_rejected_total{reason="too_deep"} 1
		`, "sluice_records_rejected_total", "sluice_anomalies_total", "sluice_detector_evictions_total", "sluice_commits_total")
}

// Two services in one process share nothing.
func TestNoGlobals(t *testing.T) {
	a, _, _ := newTestMetrics()
	b, _, _ := newTestMetrics()
	a.Received(5, 50)
	if got := b.Status().Received; got != 0 {
		t.Errorf("records of one service are counted by another: %d", got)
	}
}

func TestConcurrency(t *testing.T) {
	h := NewHealth()
	m := NewMetrics(Build{}, h)
	const workers, rounds = 8, 100
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			shard := fmt.Sprint("shard-", w)
			for range rounds {
				m.NotReady(shard, "read: it broke")
				use(m, shard)
				m.Ready(shard)
				m.Status()
				h.Waiting()
			}
			m.Forget(shard)
		})
	}
	for range rounds / 10 {
		if _, err := m.Gather(); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
	const n = workers * rounds
	got := m.Status()
	want := Status{Received: 10 * n, ReceivedBytes: 1000 * n, Rows: 9 * n, Rejected: n, Anomalies: 4 * n, Buffered: 256 * n, Shards: []ShardStatus{},
		Commits: n, Flags: map[string]uint64{"rate": 4 * n}, Keys: map[string]int{}, Owners: got.Owners} // who was last to tell of owners is chance
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if waiting := h.Waiting(); len(waiting) > 0 {
		t.Errorf("still waiting for %v", waiting)
	}
}

func BenchmarkReceived(b *testing.B) {
	m := NewMetrics(Build{}, NewHealth())
	b.ReportAllocs()
	for b.Loop() {
		m.Received(1000, 1<<20)
	}
}

func BenchmarkLag(b *testing.B) {
	m := NewMetrics(Build{}, NewHealth())
	b.ReportAllocs()
	for b.Loop() {
		m.Lag("shardId-000000000000", time.Second)
	}
}
