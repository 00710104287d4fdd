package ops

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"
)

// NewProfiles listens at the address, which is of the loopback, and serves the runtime's profiles from now on, as
// net/http/pprof does. What a profile costs and shows is for whoever has an account on the machine, or in the pod.
//
// net/http/pprof registers all of it at http.DefaultServeMux, too, which nothing of the service serves. The command line is left
// out: its flags may hold secrets.
func NewProfiles(addr string, log *slog.Logger) (*Server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	s, err := serve(addr, maxProfilers, &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // beside the seconds that a profile is asked for
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}, "profiles", log)
	if err != nil {
		return nil, fmt.Errorf("serve profiles: %w; set SLUICE_PPROF_ADDR to a loopback address and a port that is free, or to off", err)
	}
	return s, nil
}

// maxProfilers bounds the connections at a time: a person's, and a tool's.
const maxProfilers = 16
