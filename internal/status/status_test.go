package status

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/pipeline"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newMetrics() (*ops.Metrics, *ops.Health) {
	h := ops.NewHealth()
	return ops.NewMetrics(ops.Build{Version: "v1.2.3", Commit: "0a1b", Go: "go1.26.0"}, h), h
}

func testConfig() Config {
	threshold := Setting{"SLUICE_ANOMALY_SOURCE_RATE_THRESHOLD", "0.999", "env"}
	least := Setting{"SLUICE_ANOMALY_SOURCE_RATE_MIN_COUNT", "5", "default"}
	return Config{
		Build: ops.Build{Version: "v1.2.3", Commit: "0a1b", Go: "go1.26.0"}, Worker: "worker-a", Stream: "transactions", KeysShown: true,
		Detectors: []Detector{{Name: "source_rate", Kind: "rate", Key: "sourceip", Threshold: threshold, MinCount: least}},
		Settings:  []Setting{{"SLUICE_STREAM", "transactions", "env"}, threshold, least},
	}
}

// events reads a stream of events: each one's name, and its data into v.
func events(t *testing.T, answer *http.Response) func(v any) (name string) {
	t.Helper()
	scanner := bufio.NewScanner(answer.Body)
	scanner.Buffer(nil, 4<<20)
	return func(v any) (name string) {
		t.Helper()
		for scanner.Scan() {
			if text, ok := strings.CutPrefix(scanner.Text(), "event: "); ok {
				name = text
			} else if text, ok := strings.CutPrefix(scanner.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(text), v); err != nil {
					t.Fatalf("%v in %s", err, text)
				}
			} else if name != "" {
				return name
			}
		}
		t.Fatalf("the stream ended: %v", scanner.Err())
		return ""
	}
}

func listen(t *testing.T, server *httptest.Server) *http.Response {
	t.Helper()
	answer, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

type snapshot struct {
	Detectors []Detector
	Settings  []Setting
	Points    []point
	Abnormal  []ops.Abnormal
	State     state
}

func TestEvents(t *testing.T) {
	m, h := newMetrics()
	fresh, _ := newMetrics()
	m.ShowKeys()
	at := time.Unix(1_700_000_000, 0)
	p := newPage(testConfig(), m, h, at)
	m.Owners(map[string]string{"shard-0": "worker-a", "shard-1": "worker-b", "shard-2": ""})
	m.Lag("shard-0", 2*time.Second)
	for i := range 1000 { // more than is kept
		m.Received(50, 5000)
		if i%10 == 0 {
			m.Committed("shard-0", consumer.Batch{Trigger: "interval", Files: []consumer.File{{Rows: 500}}}, time.Second)
			m.Anomalies("source_rate", 5, nil)
		}
		at = at.Add(time.Second)
		p.look(at)
	}
	server := httptest.NewServer(p)
	defer server.Close()
	defer close(p.quit)
	next := events(t, listen(t, server))
	var all snapshot
	if name := next(&all); name != "all" {
		t.Fatalf("the first event is %q", name)
	}
	last := all.Points[len(all.Points)-1]
	if len(all.Points) != kept || last.At != at.Unix() || *last.Rate != 50 || *last.Share != 0.01 || *last.Commits != 0 || *last.Lag < 2 {
		t.Errorf("%d points, the last %+v", len(all.Points), last)
	}
	s := all.State
	if s.Received != 50_000 || s.Rows != 50_000 || s.Commits != 100 || s.Flags != 500 || s.Flagged["source_rate"] != 450 || s.Up != 1000 {
		t.Errorf("the state is %+v", s)
	}
	if all, _, _ := newPage(testConfig(), fresh, h, at).join(); !strings.Contains(string(all), `"shards":[]`) {
		t.Errorf("without shards the page gets %s", all)
	}
	var got []string
	for _, sh := range s.Shards {
		got = append(got, fmt.Sprint(sh.Shard, " ", sh.Owner, " ", sh.Here, " ", sh.Lag != nil, " ", sh.Committed > 0))
	}
	if want := "shard-0 worker-a true true true,shard-1 worker-b false false false,shard-2  false false false"; strings.Join(got, ",") != want {
		t.Errorf("shards %q, want %q", got, want)
	}

	m.Abnormal([]pipeline.Abnormal{{Shard: "shard-0", Detectors: "source_rate", Keys: [][]byte{[]byte("sourceip 1.2.3.4")}, Reason: []byte("sourceip 1.2.3.4 came 60 times"), Score: 1, Band: true, Upper: 3}})
	for range 2 {
		p.look(at)
	}
	var tick state
	if name := next(&tick); name != "tick" || len(tick.Abnormal) != 1 || tick.Abnormal[0].Key != "sourceip 1.2.3.4" || *tick.Abnormal[0].Upper != 3 {
		t.Errorf("%s %+v", name, tick.Abnormal)
	}
	tick = state{}
	if name := next(&tick); name != "tick" || len(tick.Abnormal) != 0 {
		t.Errorf("the same row is told of twice: %+v", tick.Abnormal)
	}

	changed := testConfig()
	changed.Detectors[0].Threshold.Value = "0.5"
	p.Configure(changed)
	all.Detectors = nil
	if name := next(&all); name != "all" || len(all.Detectors) != 1 || all.Detectors[0].Threshold.Value != "0.5" || len(all.Points) != kept {
		t.Errorf("after a change of the configuration comes %s, %+v", name, all.Detectors)
	}
}

// Keys that are not to be shown are nowhere in what is sent.
func TestKeysAreHidden(t *testing.T) {
	m, h := newMetrics()
	m.Abnormal([]pipeline.Abnormal{{Detectors: "rate,many", Keys: [][]byte{[]byte("ip 9.8.7.6"), []byte("ip 9.8.7.6, user ann")},
		Reason: []byte("ip 9.8.7.6 came 60 times; ip 9.8.7.6, user ann came with 12 values")}})
	all, _, ok := newPage(testConfig(), m, h, time.Now()).join()
	if !ok || !strings.Contains(string(all), "came 60 times") || strings.Contains(string(all), "9.8.7.6") || strings.Contains(string(all), "ann came") {
		t.Errorf("sent: %s", all)
	}
}

func TestTooManyClients(t *testing.T) {
	m, h := newMetrics()
	p := newPage(testConfig(), m, h, time.Now())
	for range maxClients {
		if _, _, ok := p.join(); !ok {
			t.Fatal("there is no room below the bound")
		}
	}
	answer := httptest.NewRecorder()
	p.ServeHTTP(answer, httptest.NewRequest("GET", "/events", nil))
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
		t.Errorf("one too many is answered with %d", answer.Code)
	}
	p.leave()
	if _, _, ok := p.join(); !ok {
		t.Error("one who leaves makes no room")
	}
}

// Browsers hold all the connections that there may be: as many as get the events, and the others on which they ask for nothing.
// Health checks and Prometheus get through, in a second or two.
func TestBrowsersKeepNobodyOut(t *testing.T) {
	m, h := newMetrics()
	server, err := ops.NewServer("127.0.0.1:0", m, h, New(testConfig(), m, h), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for i := range maxClients {
		c := dial()
		fmt.Fprint(c, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || answer.StatusCode != 200 {
			t.Fatal(i, answer, err)
		}
	}
	var idle []net.Conn
	for range maxClients + 64 { // more than there is room for: the last wait
		idle = append(idle, dial())
	}
	for range 2 {
		for _, path := range []string{"/healthz", "/metrics"} {
			began := time.Now()
			client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
			answer, err := client.Get("http://" + server.Addr() + path)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if took := time.Since(began); answer.StatusCode != 200 || took > 4*time.Second { // as probes have it
				t.Errorf("%s: %s after %v", path, answer.Status, took)
			}
		}
		for i := range idle { // those that were cut come again
			idle[i].Close()
			idle[i] = dial()
		}
	}
}

func TestFiles(t *testing.T) {
	m, h := newMetrics()
	p := newPage(testConfig(), m, h, time.Now())
	for path := range files() {
		answer := httptest.NewRecorder()
		p.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		body := answer.Body.String()
		if answer.Code != 200 || body == "" || answer.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%s: %d, %v", path, answer.Code, answer.Header())
		}
	}
	answer := httptest.NewRecorder()
	p.ServeHTTP(answer, httptest.NewRequest("GET", "/assets/none", nil))
	if answer.Code != 404 {
		t.Errorf("what there is not: %d", answer.Code)
	}
}

// The server's own limit of an answer does not end the events, and its end does so at once.
func TestServerEndsEvents(t *testing.T) {
	m, h := newMetrics()
	server, err := ops.NewServer("127.0.0.1:0", m, h, New(testConfig(), m, h), quiet())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://" + server.Addr() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var all snapshot
	events(t, answer)(&all)
	if err := server.Close(); err != nil {
		t.Errorf("a stream of events held up the end: %v", err)
	}
}
