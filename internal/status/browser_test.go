package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/pipeline"
)

// browserEnv names the folder in which the packages of browser/package.json are installed, by `npm ci` in a copy of it.
const browserEnv = "STATUS_BROWSER"

// shotsEnv names a folder for pictures of the page, such as docs/images.
const shotsEnv = "SLUICE_STATUS_SHOTS"

// service is what the page shows: counters that go up, a server that comes and goes.
type service struct {
	t      *testing.T
	m      *ops.Metrics
	h      *ops.Health
	page   *Page
	server *ops.Server
	addr   string
}

// work is what a service counts in a second, n seconds after its start.
func (s *service) work(n int) {
	records := 100 + 30*(n/60%4) + n%7
	s.m.Received(records, 340*records)
	s.m.Lag("shardId-000000000000", time.Duration(200+50*(n%13))*time.Millisecond)
	if n%10 != 0 {
		return
	}
	s.m.Committed("shardId-000000000000", consumer.Batch{Trigger: "interval", Files: []consumer.File{{Rows: 10 * records}}}, time.Second)
	if n > 300 {
		s.flag("221.233.116.256", 10+n/100)
	}
}

func (s *service) flag(key string, n int) {
	key = "sourceip " + key
	s.m.Anomalies("source_rate", n, []byte(key))
	s.m.Abnormal([]pipeline.Abnormal{{
		Shard: "shardId-000000000000", Arrival: time.Now().UnixMilli(), Detectors: "source_rate", Keys: [][]byte{[]byte(key)}, Score: 0.99998, Band: true,
		Expected: 1, Lower: 0, Upper: 4, Samples: 5120, Reason: fmt.Appendf(nil, "%s came %d times in 5m0s; 99%% of the other 5119 values of sourceip came at most 2 times", key, n),
	}})
}

func (s *service) up(page *Page) error {
	s.page = page
	go page.run()
	server, err := ops.NewServer(s.addr, s.m, s.h, page, quiet())
	if err == nil {
		s.server, s.addr = server, server.Addr()
	}
	return err
}

// control is what the walk over the page orders.
func (s *service) control(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.URL.Path {
	case "/down":
		err = s.server.Close()
	case "/up":
		err = s.up(newPage(testConfig(), s.m, s.h, time.Now()))
	case "/flood":
		before := s.m.Status().Anomalies
		for i := range 10_000 - int(before) {
			s.flag(fmt.Sprintf("10.0.%d.%d", i/256, i%256), 1)
		}
	case "/hostile":
		for _, key := range []string{
			`<img src=x onerror="window.stolen=1">`, `</script><script>window.stolen=1</script>`, "\u202e\u2066gnitirw\u2067", `"><svg onload=window.stolen=1>`,
			"\xff\xfe\x00", strings.Repeat("long", 1000), `{{constructor.constructor("window.stolen=1")()}}`, "javascript:window.stolen=1",
		} {
			s.flag(key, 1)
		}
	default:
		err = fmt.Errorf("nothing is known of %s", r.URL.Path)
	}
	if err != nil {
		s.t.Error(err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// The walk over the page is browser/walk.js.
func TestInABrowser(t *testing.T) {
	dir := os.Getenv(browserEnv)
	if dir == "" {
		t.Skipf("%s names no folder with playwright-core (npm ci in a copy of internal/status/browser)", browserEnv)
	}
	browser, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Skipf("there is no browser: install Debian's chromium-headless-shell: %v", err)
	}
	if testing.Short() {
		t.Skip("a browser takes more than a minute under the race detector")
	}
	m, h := newMetrics()
	s := &service{t: t, m: m, h: h, addr: "127.0.0.1:0"}
	m.ShowKeys()
	m.Ready("worker")
	m.Owners(map[string]string{"shardId-000000000000": "worker-a", "shardId-000000000001": "worker-b"})
	m.Detector("source_rate", "shardId-000000000000", 5120, 0)
	const past = 14 * 60 // seconds of history
	began := time.Now().Add(-past * time.Second)
	page := newPage(testConfig(), m, h, began)
	for n := range past {
		s.work(n)
		page.look(began.Add(time.Duration(n+1) * time.Second))
	}
	if err := s.up(page); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.server.Close() }()
	quit, done := make(chan struct{}), make(chan struct{})
	defer func() { close(quit); <-done }()
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for n := past; ; n++ {
			select {
			case <-quit:
				return
			case <-ticker.C:
				s.work(n)
			}
		}
	}()
	control := httptest.NewServer(http.HandlerFunc(s.control))
	defer control.Close()

	shots := os.Getenv(shotsEnv)
	if shots != "" {
		if shots, err = filepath.Abs(shots); err != nil {
			t.Fatal(err)
		}
	}
	walk, err := os.ReadFile("browser/walk.js")
	if err != nil {
		t.Fatal(err)
	}
	argument, err := json.Marshal(map[string]string{"page": "http://" + s.addr, "control": control.URL, "browser": browser, "shots": shots})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", "-e", string(walk), "walk", string(argument))
	node.Dir = dir
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
