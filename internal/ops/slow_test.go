package ops

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// hanging is a collector whose scrapes wait until they are let go.
type hanging struct {
	desc       *prometheus.Desc
	begun, end chan struct{}
}

func (h hanging) Describe(c chan<- *prometheus.Desc) { c <- h.desc }

func (h hanging) Collect(c chan<- prometheus.Metric) {
	h.begun <- struct{}{}
	<-h.end
	c <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, 1)
}

// Scrapes that hang hold up neither what is counted nor health; and there are never more than a few.
func TestScrapesThatHangHoldUpNobody(t *testing.T) {
	m, h, _ := newTestMetrics()
	url := serveAll(t, m, h)
	slow := hanging{prometheus.NewDesc("slow", "A slow one.", nil, nil), make(chan struct{}, maxScrapes+1), make(chan struct{})}
	m.Gatherer.(*prometheus.Registry).MustRegister(slow)

	answers := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() {
			answer, err := http.Get(url + "/metrics")
			if err != nil {
				t.Error(err)
				answers <- 0
				return
			}
			answer.Body.Close()
			answers <- answer.StatusCode
		}()
	}
	for range maxScrapes {
		<-slow.begun
	}
	use(m, "shard-0") // what the data path does
	m.Ready("worker")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 503} {
		if status, _, body := do(t, "GET", url+path); status != want {
			t.Errorf("%s: %d %s; want %d", path, status, body, want)
		}
	}
	if n := len(slow.begun); n != 0 {
		t.Errorf("%d more scrapes have begun", n)
	}
	close(slow.end)
	for range maxScrapes {
		if status := <-answers; status != 200 {
			t.Errorf("a scrape that was let go is answered with %d", status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// Peers that ask for everything, again and again, and read nothing.
func TestPeersThatDoNotReadHoldUpNobody(t *testing.T) {
	m, h, _ := newTestMetrics()
	url := serveAll(t, m, h)
	ask := strings.Repeat("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 10)
	for i := range 200 {
		peer, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		if err := peer.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(peer, ask); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			use(m, fmt.Sprint("shard-", i))
		}
	}
	m.Ready("worker")
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, _, body := do(t, "GET", url+path); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
