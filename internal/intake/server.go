package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-etl/sluice/internal/bounded"
)

// Putter puts records into a stream.
type Putter interface {
	// Put gives an id for each record that the stream has for good, and an empty one for each of the others; the error tells
	// why there are such. It puts no record twice; of one without an id it may not be known whether the stream has it. It is
	// called concurrently, with at most 500 records of 4 MiB together, and keeps none of them.
	Put(ctx context.Context, records [][]byte) (ids []string, err error)
}

// Observer is told what happens, concurrently. It must not block.
type Observer interface {
	IntakeRequest(operation, code string)          // that was answered
	IntakeRecords(acknowledged, failed, bytes int) // of a put; the bytes are those of the acknowledged ones
	IntakeInFlight(delta int)                      // requests
}

// Config says how records are taken in.
type Config struct {
	Stream string // the name by which producers call it
	Region string // that producers sign for
	Keys   *Keys
	Putter Putter
	Memory int64 // bytes of requests' bodies at a time; each costs about three times as much. At least one request is let in.

	Bucket, Prefix, ErrorPrefix string // that DescribeDeliveryStream tells

	Observe Observer
	Log     *slog.Logger
}

// maxConnections bounds the connections at a time (see package bounded). An idle one costs some 16 KB.
const maxConnections = 2048

// Server serves the endpoint. It speaks plain HTTP: where producers are not on the same machine or in a network that is
// trusted with the records, a load balancer before it ends TLS. Secrets do not cross the wire, and nobody can change a
// request without them.
type Server struct {
	listener net.Listener
	server   *http.Server
	keys     *Keys
	log      *slog.Logger
}

// NewServer listens at an address, host:port. Nothing is answered until Run.
func NewServer(addr string, c Config) (*Server, error) {
	server := &http.Server{
		Handler: newHandler(c, time.Now),
		// Bodies and answers have deadlines of their own, by their size.
		ReadHeaderTimeout: patience,
		IdleTimeout:       2 * time.Minute, // longer than a load balancer's, which must not find closed what it takes for open
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	listener, err := bounded.Listen(addr, maxConnections, server)
	if err != nil {
		return nil, fmt.Errorf("serve Direct PUT: %w; set SLUICE_INTAKE_ADDR to a host:port of this machine that is free, or to off", err)
	}
	return &Server{listener: listener, server: server, keys: c.Keys, log: c.Log}, nil
}

// Addr is the address that is listened at, with the port that was given where port 0 was asked for.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until the context ends. Then nothing new is taken in, and what is under way has the grace to be answered. It is
// called once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	var others sync.WaitGroup
	defer others.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	others.Go(func() { s.keys.Watch(ctx, s.log) })
	stopped := make(chan error, 1)
	others.Go(func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err := s.server.Shutdown(end)
		if err != nil {
			err = errors.Join(fmt.Errorf("stop Direct PUT: requests are not answered after %v: %w", grace, err), s.server.Close())
		}
		stopped <- err
	})
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(fmt.Errorf("serve Direct PUT at %s: %w", s.Addr(), err), s.server.Close())
	}
	return <-stopped
}
