package intake

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-etl/sluice/internal/bounded"
)

// pipes is a listener whose connections are in memory, so that the clock of a synctest runs for them, too.
type pipes struct {
	queue  chan net.Conn // as the kernel's, of those that are not accepted yet
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.queue:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// dial opens a connection, which the test closes at its end.
func (p *pipes) dial(t *testing.T) net.Conn {
	client, server := net.Pipe()
	p.queue <- server
	t.Cleanup(func() { client.Close() })
	return client
}

// serveInMemory is serve with such connections.
func serveInMemory(t *testing.T) (*endpoint, *pipes) {
	p := &pipes{queue: make(chan net.Conn, 16), closed: make(chan struct{})}
	e := serve(t, func(s *Server) {
		if err := s.listener.Close(); err != nil {
			t.Fatal(err)
		}
		s.listener = bounded.New(p, maxConnections, s.server)
	})
	return e, p
}

// ask sends a request over a connection, its body in pieces with a pause before each, and gives what is answered.
func ask(t *testing.T, c net.Conn, r *http.Request, body string, piece int, pause time.Duration) (status int, answer string) {
	t.Helper()
	written := make(chan struct{})
	defer func() { <-written }()
	go func() { // the server may answer, and close, before all is written
		defer close(written)
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.Host, r.ContentLength)
		_ = r.Header.Write(c)
		fmt.Fprint(c, "\r\n")
		for len(body) > 0 {
			time.Sleep(pause)
			n := min(piece, len(body))
			if _, err := io.WriteString(c, body[:n]); err != nil {
				return
			}
			body = body[n:]
		}
	}()
	got, err := http.ReadResponse(bufio.NewReader(c), r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, string(text)
}

// A body has ten seconds, and one more for each 64 KiB of it that have come: whoever keeps that pace may take minutes, and
// whoever does not is told so and cut off, and has put nothing.
func TestASlowBody(t *testing.T) {
	large := batch("clicks", pieces(maxBatchBytes)...) // 5.6 MB
	for name, tt := range map[string]struct {
		body     string
		sent     int // bytes of the body that ever come
		piece    int
		pause    time.Duration
		status   int
		from, to time.Duration // of the answer
	}{
		"nothing comes":       {single("x"), 0, 1, 0, 408, patience, patience},
		"the end never comes": {single("x"), len(single("x")) - 1, 1 << 10, time.Second, 408, patience, patience + time.Second},
		"it drips":            {large, len(large), 1 << 10, time.Second, 408, patience, patience + time.Second},
		"a little too slow":   {large, len(large), 256 << 10, 4700 * time.Millisecond, 408, patience + 8*4*time.Second, patience + 8*4*time.Second + time.Second}, // the ninth piece comes 0.3 s later,
		"just not too slow":   {large, len(large), 64 << 10, time.Second, 200, 80 * time.Second, 90 * time.Second},
		"late, but in time":   {single("x"), len(single("x")), 1 << 10, patience - time.Millisecond, 200, patience - time.Millisecond, patience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, p := serveInMemory(t)
				operation := "PutRecord"
				if tt.body == large {
					operation = "PutRecordBatch"
				}
				begun := time.Now()
				e.signed = begun // five minutes are enough
				status, answer := ask(t, p.dial(t), e.request(t, operation, tt.body), tt.body[:tt.sent], tt.piece, tt.pause)
				took := time.Since(begun)
				if status != tt.status || (status == 408) != strings.Contains(answer, `"__type":"RequestTimeoutException"`) {
					t.Errorf("%d %.200s; want %d", status, answer, tt.status)
				}
				if took < tt.from || took > tt.to {
					t.Errorf("it was answered after %v; want %v to %v", took, tt.from, tt.to)
				}
				synctest.Wait()
				if (len(e.records) > 0) != (tt.status == 200) || e.inFlight != 0 {
					t.Errorf("%d records are in the stream, %d requests in flight", len(e.records), e.inFlight)
				}
			})
		})
	}
}

// As many connections as there may be are open. While on each of them a request is under way the next one waits, and is
// served when one of them goes; those that say nothing keep nobody waiting.
func TestTheBoundOnConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, p := serveInMemory(t)
		var busy []net.Conn
		for range maxConnections {
			c := p.dial(t)
			fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
			busy = append(busy, c)
		}
		next := p.dial(t)
		last := p.dial(t)
		synctest.Wait()
		if n := len(p.queue); n != 1 {
			t.Fatalf("%d connections wait to be accepted; want the last one of %d, and the one before to wait for room", n, maxConnections+2)
		}
		for i, c := range []net.Conn{next, last} {
			if err := busy[i].Close(); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if status, answer := ask(t, c, e.request(t, "ListDeliveryStreams", "{}"), "{}", 2, 0); status != 200 {
				t.Errorf("%d %s", status, answer)
			}
			if took := time.Since(begun); took > time.Second {
				t.Errorf("it took %v, though another connection was closed", took)
			}
		}
		time.Sleep(2 * patience) // and the requests whose bodies do not come are cut off
		for range maxConnections {
			p.dial(t)
		}
		for range 2 * cap(p.queue) {
			begun := time.Now()
			if status, answer := ask(t, p.dial(t), e.request(t, "ListDeliveryStreams", "{}"), "{}", 2, 0); status != 200 || time.Since(begun) > 2*time.Second {
				t.Errorf("%d %s after %v", status, answer, time.Since(begun))
			}
		}
	})
}
