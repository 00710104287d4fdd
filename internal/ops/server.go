package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sluice-etl/sluice/internal/bounded"
)

// Server serves metrics, health, and a page beside them; or profiles.
type Server struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{} // closed when nothing is accepted any more
	page     Page          // nil: there is none
}

// maxConnections bounds the connections at a time, of which an idle one costs some 16 KB. A browser keeps one for the events of
// the page, of which there are at most half as many (see package status), and some on which it asks for nothing, which make room
// for others (see package bounded): health checks and scrapes get through whatever browsers do.
const maxConnections = 2048

// Page serves what is at no path of this package's. Close ends the answers that would not end by themselves, at once.
type Page interface {
	http.Handler
	Close()
}

// NewServer listens at the address, which is host:port, and serves from now on. The page, which may be nil, is closed
// with the server, also where that cannot listen.
func NewServer(addr string, m *Metrics, h *Health, page Page, log *slog.Logger) (*Server, error) {
	server := &http.Server{
		Handler: newHandler(m, h, page, log),
		// All answers are small; a peer that is slower than this is none of ours.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	s, err := serve(addr, maxConnections, server, "metrics and health", log)
	if err != nil {
		if page != nil {
			page.Close()
		}
		return nil, fmt.Errorf("serve metrics and health: %w; set SLUICE_HTTP_ADDR to a host:port of this machine that is free, or to off", err)
	}
	s.page = page
	return s, nil
}

// serve listens at an address and serves from now on; what says, in the plural, what is served.
func serve(addr string, most int, server *http.Server, what string, log *slog.Logger) (*Server, error) {
	listener, err := bounded.Listen(addr, most, server)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: listener, server: server, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error(what+" are served no more", "address", listener.Addr().String(), "error", err)
		}
	}()
	return s, nil
}

// Addr is the address that is listened at, with the port that was given where port 0 was asked for.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends the server. Requests that are being answered have a second to end; what is open after that is cut, which
// is no error: a browser keeps connections at hand on which it has asked for nothing yet, and Shutdown waits for those too.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.page != nil {
		s.page.Close()
	}
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	<-s.done
	return err
}

func newHandler(m *Metrics, h *Health, page Page, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler(log))
	mux.HandleFunc("GET /healthz", h.serveLive)
	mux.HandleFunc("GET /readyz", h.serveReady)
	if page != nil {
		mux.Handle("GET /", page)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}
