// Package gluetest serves the parts of the AWS Glue Data Catalog that a writer of tables needs on a loopback address, as
// net/http/httptest serves HTTP: databases, tables with their versions, and partitions. Point the AWS SDK's BaseEndpoint at
// Server.URL; any credentials do.
//
// It keeps to what the API reference says: names are folded to lower case, lengths are bounded, a batch has 100 partitions at
// most and tells of each that failed, a stale VersionId is refused, and an update archives the version before unless it is
// told not to. State is in memory. What is left out: rights, crawlers, Lake Formation, Iceberg, all other operations, which
// answer UnknownOperationException.
//
// https://docs.aws.amazon.com/glue/latest/webapi/API_BatchCreatePartition.html and the pages beside it
package gluetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
)

// Error is an error as Glue answers it.
type Error struct {
	Status  int // of HTTP
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Server is a running server. It is safe for concurrent use.
type Server struct {
	URL string // the endpoint

	http   *http.Server
	served chan error

	mu        sync.Mutex
	intercept func(operation string) *Error
	refuse    func(values []string) *Error
	calls     map[string]int
	databases map[string]map[string]*table // by their names in lower case
}

// Start serves until Close, on a free port. There are no databases.
func Start() (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("gluetest: %w", err)
	}
	s := &Server{URL: "http://" + listener.Addr().String(), served: make(chan error, 1),
		calls: map[string]int{}, databases: map[string]map[string]*table{}}
	s.http = &http.Server{Handler: s}
	go func() { s.served <- s.http.Serve(listener) }()
	return s, nil
}

// Close ends the server.
func (s *Server) Close() error {
	err := s.http.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Intercept has f called before every operation is applied. Where it gives an error, that is the answer, and nothing is
// applied. It may call the server. A nil f ends that.
func (s *Server) Intercept(f func(operation string) *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// RefusePartitions has f asked about every partition that is to be made. Where it gives an error, that partition is not made,
// and the answer tells of it beside the others. A nil f ends that.
func (s *Server) RefusePartitions(f func(values []string) *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

// Calls counts the calls of an operation, also those that failed.
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// maxRequest bounds a request, in bytes.
const maxRequest = 16 << 20

// ServeHTTP answers a request of the protocol awsJson 1.1: a POST whose header names the operation, JSON both ways.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation, glue := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AWSGlue.")
	var in request
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	decoder.UseNumber()
	if err := decoder.Decode(&in); err != nil || !glue || r.Method != http.MethodPost {
		answer(w, nil, &Error{http.StatusBadRequest, "SerializationException", "gluetest serves Glue in the protocol awsJson 1.1"})
		return
	}
	s.mu.Lock()
	s.calls[operation]++
	intercept := s.intercept
	s.mu.Unlock()
	if intercept != nil {
		if failure := intercept(operation); failure != nil {
			answer(w, nil, failure)
			return
		}
	}
	s.mu.Lock()
	out, failure := s.apply(operation, &in)
	text, err := json.Marshal(out) // while nobody changes what it is made of
	s.mu.Unlock()
	if err != nil && failure == nil {
		failure = &Error{http.StatusInternalServerError, "InternalServiceException", err.Error()}
	}
	answer(w, text, failure)
}

func answer(w http.ResponseWriter, text []byte, failure *Error) {
	status := http.StatusOK
	if failure != nil {
		status = failure.Status
		text, _ = json.Marshal(map[string]string{"__type": failure.Code, "Message": failure.Message}) // two texts
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that went away is no concern of ours
}
