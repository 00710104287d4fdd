package chaos

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// s3Answers is a reverse proxy before S3 that gives wrong answers to a share of calls.
type s3Answers struct {
	url   string
	serve *http.Server
	to    *httputil.ReverseProxy

	mu     sync.Mutex
	plan   wrongAnswers
	random *rand.Rand
	given  int // wrong answers since the plan was set
}

// wrongAnswers says what goes wrong, and how often. The zero value is nothing.
type wrongAnswers struct {
	kind  answerKind
	share float64 // of the calls that it concerns
}

// answerKind is a way to answer wrongly.
type answerKind string

// The kinds of wrong answers. All but the last leave the call unapplied.
const (
	internalError answerKind = "500 InternalError"
	slowDown      answerKind = "503 SlowDown"
	errorInBody   answerKind = "200 with an error in the body" // of CompleteMultipartUpload, the only call here that does
	lostComplete  answerKind = "a complete that is applied, and its answer lost"
)

// concerns tells whether a request is one that a kind of answer can be given to.
func (k answerKind) concerns(r *http.Request) bool {
	complete := r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
	return k == internalError || k == slowDown || complete && (k == errorInBody || k == lostComplete)
}

func startAnswers(s3URL string, seed uint64) (*s3Answers, error) {
	target, err := url.Parse(s3URL)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &s3Answers{url: "http://" + listener.Addr().String(), random: rand.New(rand.NewPCG(seed, streamOfAnswers))}
	a.to = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport:    &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // as without a proxy
	}
	a.serve = &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}
	go a.serve.Serve(listener)
	return a, nil
}

func (a *s3Answers) stop() { a.serve.Close() }

// set changes what goes wrong; the returned function sets it right again, and tells how many calls were answered so.
func (a *s3Answers) set(plan wrongAnswers) (restore func() int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.plan, a.given = plan, 0
	return func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.plan = wrongAnswers{}
		return a.given
	}
}

// draw tells how a request is to be answered wrongly, if it is.
func (a *s3Answers) draw(r *http.Request) (answerKind, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.plan.kind.concerns(r) || a.random.Float64() >= a.plan.share {
		return "", false
	}
	a.given++
	return a.plan.kind, true
}

func (a *s3Answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, wrong := a.draw(r)
	if !wrong {
		a.to.ServeHTTP(w, r)
		return
	}
	if kind == lostComplete {
		a.to.ServeHTTP(&unread{header: http.Header{}}, r)
		panic(http.ErrAbortHandler) // net/http's way to close a connection without an answer
	}
	io.Copy(io.Discard, r.Body) // S3 reads what it refuses, so that the connection can be used again
	status, code := http.StatusInternalServerError, "InternalError"
	switch kind {
	case slowDown:
		status, code = http.StatusServiceUnavailable, "SlowDown"
	case errorInBody:
		status = http.StatusOK
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>injected</Message><RequestId>0</RequestId></Error>`, code)
}

// unread is an answer that nobody gets.
type unread struct{ header http.Header }

func (u *unread) Header() http.Header         { return u.header }
func (u *unread) WriteHeader(int)             {}
func (u *unread) Write(p []byte) (int, error) { return len(p), nil }
