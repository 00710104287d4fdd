package kcltest

import (
	"io"
	"net/http"
)

// Client returns an HTTP client for the SDK's HTTPClient, and every SDK client that talks to a server this near should have one that does the
// same. The SDK closes a request's body as soon as the head of an answer is there; if net/http has not yet looked whether the body goes on
// after its announced length, the SDK's body answers that look with an error (smithy-go's safeWriteToReadCloser.WriteTo returns io.EOF, which
// a WriteTo must not), and net/http closes the connection while the answer is being read: a call fails that was applied. Over a network the
// look is long past when the answer comes; over loopback on a busy machine it is not.
//
// Its idle connections are closed by Close.
func (s *Server) Client() *http.Client { return &http.Client{Transport: plainBodies{s.transport}} }

// plainBodies hides that a request's body has a WriteTo. Read, of the same body, keeps to its contract.
type plainBodies struct{ http.RoundTripper }

func (t plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.WithContext(r.Context()) // a RoundTripper must not change the caller's request
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return t.RoundTripper.RoundTrip(r)
}
