package ops

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"time"
)

//go:embed status.html
var statusPage string

// Server serves metrics, health and the status page.
type Server struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{} // closed when nothing is accepted any more
}

// NewServer listens at the address, which is host:port, and serves from now on.
func NewServer(addr string, m *Metrics, h *Health, log *slog.Logger) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve metrics and health: %w; set SLUICE_HTTP_ADDR to a host:port of this machine that is free, or to off", err)
	}
	s := &Server{listener: listener, done: make(chan struct{}), server: &http.Server{
		Handler: newHandler(m, h, log, time.Now),
		// All answers are small; a peer that is slower than this is none of ours.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
	go func() {
		defer close(s.done)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics and health are served no more", "address", listener.Addr().String(), "error", err)
		}
	}()
	return s, nil
}

// Addr is the address that is listened at, with the port that was given where port 0 was asked for.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends the server. Requests that are being answered have a second to end.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	<-s.done
	return err
}

func newHandler(m *Metrics, h *Health, log *slog.Logger, now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler(log))
	mux.HandleFunc("GET /healthz", h.serveLive)
	mux.HandleFunc("GET /readyz", h.serveReady)
	mux.Handle("GET /{$}", newStatus(m, h, now))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

func newStatus(m *Metrics, h *Health, now func() time.Time) http.Handler {
	since := now()
	ago := func(t time.Time) time.Duration { return now().Sub(t).Round(time.Second) }
	page := template.Must(template.New("status").Funcs(template.FuncMap{
		"ago":   ago,
		"short": func(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) },
	}).Parse(statusPage))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer
		err := page.Execute(&body, map[string]any{
			"Build": m.build, "Up": ago(since), "Waiting": h.Waiting(), "Status": m.Status(),
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_, _ = w.Write(body.Bytes()) // the peer may be gone
	})
}
