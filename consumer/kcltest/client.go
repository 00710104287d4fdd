package kcltest

import (
	"net/http"

	"github.com/sluice-etl/sluice/internal/plainbody"
)

// Client returns an HTTP client for the SDK's HTTPClient; every SDK client that talks to a server this near should have one
// with such a transport. Its idle connections are closed by Close.
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: plainbody.Transport{RoundTripper: s.transport}}
}
