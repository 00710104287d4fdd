package intake

import (
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxBody is more than the largest request that Firehose takes, 4 MiB of data in base64 and the JSON around them, so
	// that one which is a little too large gets Firehose's own answer.
	maxBody = 8 << 20
	// maxDrained is what is read of a larger one, to be thrown away: whoever is still writing when the connection is closed
	// may never see the answer, and would try again.
	maxDrained = 32 << 20
	// firstBuffer is what a body gets before anything of it has come.
	firstBuffer = 16 << 10

	// slowestRate is how many bytes a second a client must bring on average, once patience is over.
	slowestRate = 64 << 10
	patience    = 10 * time.Second
)

// body is that of a request. It holds its share of the budget until it is released.
type body struct {
	data   []byte
	budget *semaphore.Weighted // in bytes
	held   int64
}

// readBody reads a request's body. What it takes of the budget follows what has come, and not what is announced, so that
// nobody holds memory of others by promising much.
func readBody(w http.ResponseWriter, r *http.Request, budget *semaphore.Weighted) (*body, *fault) {
	b := &body{budget: budget}
	most := int64(maxBody + 1)
	if r.ContentLength >= 0 {
		most = min(most, r.ContentLength+1) // the end is found by reading on
	}
	control, start := http.NewResponseController(w), time.Now()
	for {
		if len(b.data) == cap(b.data) && !b.grow(most) {
			return b, slowDown
		}
		// A recorder of a test has no deadline.
		_ = control.SetReadDeadline(start.Add(patience + time.Duration(len(b.data))*time.Second/slowestRate))
		n, err := r.Body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case len(b.data) > maxBody:
			b.release()
			_, _ = io.CopyN(io.Discard, r.Body, maxDrained) // until the deadline, whatever comes of it
			return b, badRequest(codeArgument, "Records size exceeds 4 MB limit")
		case errors.Is(err, io.EOF):
			// The server goes on reading, to see whether the client goes away.
			_ = control.SetReadDeadline(time.Time{})
			return b, nil
		case err != nil:
			return b, &fault{http.StatusRequestTimeout, codeTimeout, "The body of the request did not come in time."}
		}
	}
}

// grow makes room for as much again as has come, up to a body of the most bytes.
func (b *body) grow(most int64) bool {
	size := min(max(2*int64(len(b.data)), firstBuffer), most)
	if !b.budget.TryAcquire(size - b.held) {
		return false
	}
	b.held = size
	b.data = append(make([]byte, 0, size), b.data...)
	return true
}

// release gives the budget back.
func (b *body) release() {
	b.budget.Release(b.held)
	b.data, b.held = nil, 0
}
