// Package plainbody keeps clients of the AWS SDK from doubling records on loopback connections.
package plainbody

import (
	"io"
	"net/http"
)

// Of gives a request like r, with a body that hides that it has a WriteTo; Read, of the same body, keeps to its contract.
//
// The SDK closes a body when the head of an answer is there. If net/http has not yet looked whether the body goes on after its
// announced length, the SDK's WriteTo answers that look with io.EOF, which it must not, and the connection is closed while
// the answer is read: a call fails, and is made again, that was applied. Only a service on the same machine answers so fast.
func Of(r *http.Request) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	r = r.WithContext(r.Context()) // the caller's request must not change
	r.Body = struct{ io.ReadCloser }{r.Body}
	return r
}

// Transport makes every request that it passes on plain.
type Transport struct{ http.RoundTripper }

// RoundTrip is that of the transport within.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.RoundTripper.RoundTrip(Of(r))
}
