// Package bounded bounds the connections of a listener, so that no peer can use up the memory and the file descriptors of
// the process, nor keep others out by connections on which it asks for nothing.
package bounded

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// grace is how long a connection may be without a request before another can take its place.
const grace = time.Second

// Listen listens at a TCP address, host:port, for a server that has no ConnState yet and serves at this listener alone. At
// most so many connections are open at a time. One more takes the place of that which has been without a request for longest:
// it has said nothing yet, or not all of a header, or is kept by its peer for a next request. Each has a second for that, so
// that peers which all mean to ask do not cut each other off; until then, and while all others are being answered, the new one
// waits, and those after it in the kernel's queue.
func Listen(addr string, most int, server *http.Server) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return New(l, most, server), nil
}

// New is Listen for a listener that there is.
func New(l net.Listener, most int, server *http.Server) net.Listener {
	b := &listener{Listener: l, most: most}
	b.room.L = &b.mu
	server.ConnState = b.note
	return b
}

type listener struct {
	net.Listener
	most int

	mu     sync.Mutex
	room   sync.Cond // when Accept, which one goroutine calls, is to look again
	open   int
	idle   list.List // of *conn: those without a request, that which has been so for longest first
	closed bool
}

// conn is a connection. What it has of its own is guarded by the listener's mu.
type conn struct {
	net.Conn
	of     *listener
	idle   *list.Element // nil while a request is answered
	since  time.Time     // of being idle
	closed bool
}

// Accept gives the next connection, once there is room for it.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open >= l.most && !l.closed {
		longest := l.idle.Front()
		if longest == nil {
			l.room.Wait()
			continue
		}
		one := longest.Value.(*conn)
		left := grace - time.Since(one.since)
		if left <= 0 {
			_ = l.end(one) // nothing is lost: it had nothing to say
			continue
		}
		again := time.AfterFunc(left, l.wake)
		l.room.Wait()
		again.Stop()
	}
	if l.closed {
		_ = c.Close() // nothing was said on it
		return nil, net.ErrClosed
	}
	l.open++
	return &conn{Conn: c, of: l}, nil
}

// wake lets Accept look again.
func (l *listener) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room.Signal()
}

// Close ends Accept, also where that waits for room. Connections stay open.
func (l *listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.room.Signal()
	l.mu.Unlock()
	return l.Listener.Close()
}

// note is told by the server in which state a connection is.
func (l *listener) note(c net.Conn, state http.ConnState) {
	one, ours := c.(*conn)
	if !ours {
		return // of a server that serves elsewhere, too
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one.answering()
	if (state == http.StateNew || state == http.StateIdle) && !one.closed {
		one.idle, one.since = l.idle.PushBack(one), time.Now()
		l.room.Signal()
	}
}

// answering takes a connection off those without a request. mu is held.
func (c *conn) answering() {
	if c.idle != nil {
		c.of.idle.Remove(c.idle)
		c.idle = nil
	}
}

// end closes a connection and makes its room free, once. mu is held: closing does not block, but where a linger is set.
func (l *listener) end(c *conn) error {
	if !c.closed {
		c.closed = true
		c.answering()
		l.open--
		l.room.Signal()
	}
	return c.Conn.Close()
}

func (c *conn) Close() error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	return c.of.end(c)
}

// CloseWrite is what the server looks for to let a peer that is still sending read the answer before the connection is reset.
func (c *conn) CloseWrite() error {
	if half, can := c.Conn.(interface{ CloseWrite() error }); can {
		return half.CloseWrite()
	}
	return nil
}
