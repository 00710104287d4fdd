package bounded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// most is the bound in these tests.
const most = 4

// start serves over TCP, at most so many connections: at / at once, and at /long what ends when it is let go. An answer comes before its connection
// is taken for one that waits: kept tells of that.
func start(t *testing.T) (addr string, begun, end, kept chan struct{}, server *http.Server) {
	t.Helper()
	begun, end, kept = make(chan struct{}, most), make(chan struct{}), make(chan struct{}, 2*most)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/long", func(http.ResponseWriter, *http.Request) { begun <- struct{}{}; <-end })
	server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	l, err := Listen("127.0.0.1:0", most, server)
	if err != nil {
		t.Fatal(err)
	}
	note := server.ConnState
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if note(c, state); state == http.StateIdle {
			kept <- struct{}{}
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String(), begun, end, kept, server
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func write(t *testing.T, c net.Conn, path string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

// answered tells whether an answer comes within a minute, and after how long.
func answered(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if err := c.SetReadDeadline(began.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != 200 {
		t.Fatal(answer.Status, err)
	}
	return time.Since(began)
}

// cut tells whether the server has closed a connection on which no answer is due, or does within a second.
func cut(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	if err == nil {
		t.Fatal("something is said")
	}
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// What waits for nothing makes room, that which has waited for longest first; what is being answered stays.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	addr, begun, end, waits, _ := start(t)
	long := dial(t, addr)
	write(t, long, "/long")
	<-begun
	silent := dial(t, addr)
	kept := dial(t, addr)
	write(t, kept, "/")
	answered(t, kept)
	<-waits
	again := dial(t, addr) // asks again when silent and kept are older without a request
	write(t, again, "/")
	answered(t, again)
	<-waits

	for i, older := range []net.Conn{silent, kept} {
		next := dial(t, addr)
		write(t, next, "/long")
		<-begun
		if !cut(t, older) {
			t.Errorf("connection %d, the oldest, is open", i)
		}
	}
	write(t, again, "/")
	if took := answered(t, again); took > 10*time.Second {
		t.Errorf("the newest connection that was kept is answered after %v", took)
	}
	close(end)
	answered(t, long)
}

// While all are being answered the next one waits, and one that ends, or begins to wait for a request, makes room.
func TestBusyConnectionsAreWaitedFor(t *testing.T) {
	addr, begun, end, _, _ := start(t)
	var busy []net.Conn
	for range most {
		c := dial(t, addr)
		write(t, c, "/long")
		<-begun
		busy = append(busy, c)
	}
	next := dial(t, addr)
	write(t, next, "/")
	if err := next.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := next.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, %v; want it to wait while all others are being answered", n, err)
	}
	end <- struct{}{}
	answered(t, next)
	close(end)
	for _, c := range busy {
		answered(t, c)
	}
}

// A server ends while a connection waits for room.
func TestCloseWhileOneWaits(t *testing.T) {
	addr, begun, end, _, server := start(t)
	defer close(end)
	for range most {
		write(t, dial(t, addr), "/long")
		<-begun
	}
	next := dial(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v; want it to wait for what is being answered", err)
	}
	if !cut(t, next) {
		t.Error("the one that waited for room is open")
	}
}

// counting counts the connections that are open.
type counting struct {
	net.Listener
	open, highest atomic.Int64
}

func (c *counting) Accept() (net.Conn, error) {
	one, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for n := c.open.Add(1); ; {
		if h := c.highest.Load(); n <= h || c.highest.CompareAndSwap(h, n) {
			break
		}
	}
	return &counted{Conn: one, gone: sync.OnceFunc(func() { c.open.Add(-1) })}, nil
}

type counted struct {
	net.Conn
	gone func()
}

func (c *counted) Close() error {
	c.gone()
	return c.Conn.Close()
}

// Many at once, some that keep their connections and some that do not: there are never more than the bound and the one that
// waits for room, all but those that were cut are answered, and in the end nothing is left open.
func TestTheBound(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{Listener: inner}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	l := New(c, most, server)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	var all sync.WaitGroup
	var answers atomic.Int64
	for i := range 16 * most {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
			defer client.CloseIdleConnections()
			for range 10 {
				// The client asks again on another connection where the one that it kept was cut.
				answer, err := client.Get("http://" + inner.Addr().String())
				if err != nil {
					continue
				}
				answer.Body.Close()
				answers.Add(1)
			}
		})
	}
	all.Wait()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-ended
	if h := c.highest.Load(); h < most || h > most+1 {
		t.Errorf("%d connections were open at a time; the bound is %d, and one may wait for room", h, most)
	}
	if n, asked := answers.Load(), int64(16*most*10); n < asked/2 {
		t.Errorf("%d of %d requests are answered", n, asked)
	}
	for began := time.Now(); c.open.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%d connections stay open", c.open.Load())
		}
	}
}
