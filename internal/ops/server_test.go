package ops

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func serveAll(t *testing.T, m *Metrics, h *Health) (url string) {
	t.Helper()
	s, err := NewServer("127.0.0.1:0", m, h, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr()
}

// do makes a request on a connection of its own, so that none is left for Close to wait for.
func do(t *testing.T, method, url string) (status int, header http.Header, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

func get(handler http.Handler, path string) (status int, header http.Header, body string) {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
	return answer.Code, answer.Header(), answer.Body.String()
}

func TestReadiness(t *testing.T) {
	m, h, clock := newTestMetrics()
	url := serveAll(t, m, h)
	start := clock.at.UTC()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for i, step := range []struct {
		name string
		do   func()
		want []Condition
	}{
		{"at first", func() {}, []Condition{{"start", "the service is starting", at(0)}}},
		{"a failure before the start", func() { m.NotReady("worker", "list the shards: no route") }, []Condition{{"start", "the service is starting", at(0)}, {"worker", "list the shards: no route", at(1)}}},
		{"started", func() { m.Ready("worker") }, []Condition{}},
		{"two shards fail", func() { m.NotReady("shard-1", "upload: denied"); m.NotReady("shard-0", "read: timeout") }, []Condition{{"shard-0", "read: timeout", at(3)}, {"shard-1", "upload: denied", at(3)}}},
		{"for another reason", func() { m.NotReady("shard-0", "read: throttled") }, []Condition{{"shard-0", "read: throttled", at(3)}, {"shard-1", "upload: denied", at(3)}}},
		{"another succeeds", func() { m.Ready("shard-2") }, []Condition{{"shard-0", "read: throttled", at(3)}, {"shard-1", "upload: denied", at(3)}}},
		{"one succeeds", func() { m.Ready("shard-0") }, []Condition{{"shard-1", "upload: denied", at(3)}}},
		{"the other is gone", func() { m.Forget("shard-1") }, []Condition{}},
		{"stopping", h.Stopping, []Condition{{"stop", "the service is stopping", at(8)}}},
		{"still stopping", func() { h.Stopping(); m.Ready("worker"); m.Ready("stop"); m.Forget("stop") }, []Condition{{"stop", "the service is stopping", at(8)}}},
	} {
		clock.at = at(i)
		step.do()
		status, header, body := do(t, "GET", url+"/readyz")
		var got struct {
			Ready    bool        `json:"ready"`
			NotReady []Condition `json:"not_ready"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%s: %v in %s", step.name, err, body)
		}
		ready := len(step.want) == 0
		if got.Ready != ready || !reflect.DeepEqual(got.NotReady, step.want) {
			t.Errorf("%s: %s, want %+v", step.name, body, step.want)
		}
		if want := map[bool]int{true: 200, false: 503}[ready]; status != want {
			t.Errorf("%s: status %d, want %d", step.name, status, want)
		}
		if header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: header %v", step.name, header)
		}
		if status, _, body := do(t, "GET", url+"/healthz"); status != 200 || body != "ok\n" {
			t.Errorf("%s: liveness is %d %q", step.name, status, body)
		}
	}
}

func TestLivenessEndsWhenToldDead(t *testing.T) {
	for reason, want := range map[string]string{"the event loop ended": "the event loop ended\n", "": "dead\n"} {
		m, h, _ := newTestMetrics()
		url := serveAll(t, m, h)
		h.Dead(reason)
		if status, _, body := do(t, "GET", url+"/healthz"); status != 503 || body != want {
			t.Errorf("liveness is %d %q, want 503 %q", status, body, want)
		}
	}
}

func TestRoutes(t *testing.T) {
	m, h, _ := newTestMetrics()
	url := serveAll(t, m, h)
	for request, want := range map[string]int{
		"GET /": 404, "GET /metrics": 200, "GET /healthz": 200, "GET /readyz": 503, "HEAD /healthz": 200, "HEAD /": 404,
		"GET /other": 404, "GET /metrics/": 404, "POST /metrics": 405, "DELETE /": 404,
	} {
		method, path, _ := strings.Cut(request, " ")
		if status, _, _ := do(t, method, url+path); status != want {
			t.Errorf("%s: %d, want %d", request, status, want)
		}
	}
	if _, _, body := do(t, "GET", url+"/metrics"); !strings.Contains(body, "\nsluice_records_received_total 0\n") {
		t.Errorf("/metrics is\n%s", body)
	}
}

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	m, h, _ := newTestMetrics()
	for _, addr := range []string{taken.Addr().String(), "127.0.0.1"} {
		_, err = NewServer(addr, m, h, nil, quiet())
		if err == nil {
			t.Fatalf("%s: it listens", addr)
		}
		for _, want := range []string{addr, "SLUICE_HTTP_ADDR", "off"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error is without %s: %v", addr, want, err)
			}
		}
	}
}

func TestCloseFreesTheAddress(t *testing.T) {
	m, h, _ := newTestMetrics()
	s, err := NewServer("127.0.0.1:0", m, h, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it does nothing
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// Not by dialling: somebody else may have the port by now.
	if _, err := s.listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

// A browser opens connections before it has anything to ask.
func TestCloseCutsConnectionsThatAskNothing(t *testing.T) {
	m, h, _ := newTestMetrics()
	s, err := NewServer("127.0.0.1:0", m, h, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// Connections are accepted in order: with this answer the one before has been accepted too.
	if _, err := http.Get("http://" + s.Addr() + "/healthz"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := silent.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := silent.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v; want the connection cut", n, err)
	}
}
