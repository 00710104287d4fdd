// Package kcltest serves the parts of Kinesis and DynamoDB that a Kinesis consumer needs on a loopback address, as net/http/httptest serves
// HTTP: to tests, which can make any call fail, and to whoever wants to see a consumer work on one machine. Point the AWS SDK's BaseEndpoint
// at Server.URL; any credentials do.
//
// State is kept in a file. It outlives the process, however that ends, and is not made to outlive the machine: nothing waits for the disk.
//
// What is left out: signatures are not checked; streams and tables are active at once; of Kinesis there is no enhanced fan-out, encryption,
// tagging or change of the retention of 24 hours; of DynamoDB no queries, indexes, batches or transactions. Operations left out answer UnknownOperationException.
package kcltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// Options say how a Server behaves. The zero value is a server on a free port, with its state in a temporary folder, that limits nothing.
type Options struct {
	// Dir is the folder of the state, made if missing. One server at a time can use it. Empty is a temporary one, removed by Close.
	Dir string
	// Addr is the address to listen on; empty is 127.0.0.1:0. Only loopback addresses are accepted: nobody's rights are checked.
	Addr string
	// ReadCallLimit holds each shard to 5 GetRecords a second, and ReadByteLimit to 2 MiB a second, as AWS does.
	ReadCallLimit, ReadByteLimit bool
	// NoRecordLimit and NoByteLimit lift the limits of one answer of GetRecords, 10,000 records and 10 MiB.
	NoRecordLimit, NoByteLimit bool
	// WriteLimits holds each shard to 1,000 records and 1 MiB a second. The limits of one request, 500 records and 10 MiB, always hold.
	WriteLimits bool
	// Now is the clock of arrival times, iterators and limits; nil is time.Now. It is called by many goroutines.
	Now func() time.Time
}

// Server is a running server. It is safe for concurrent use.
type Server struct {
	// URL is the endpoint of both services.
	URL string

	http      *http.Server
	served    chan error // what Serve ended with
	transport *http.Transport
	db        *bbolt.DB
	temporary string // the folder that Close removes
	kinesis   *kinesis
	dynamoDB  *dynamoDB

	mu     sync.Mutex
	faults []*injected
	calls  map[string]int
	closed bool
}

// stateFile is the file in Options.Dir.
const stateFile = "kcltest.db"

// maxRequest bounds a request: the ten megabytes of the largest PutRecords as base64, with room for its names.
const maxRequest = 16 << 20

// Start serves until Close.
func Start(options Options) (*Server, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Addr == "" {
		options.Addr = "127.0.0.1:0"
	}
	s := &Server{calls: map[string]int{}, served: make(chan error, 1), transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	if err := s.open(options); err != nil {
		return nil, errors.Join(fmt.Errorf("kcltest: %w", err), s.discard())
	}
	return s, nil
}

func (s *Server) open(options Options) (err error) {
	if options.Dir == "" {
		if options.Dir, err = os.MkdirTemp("", "kcltest-"); err != nil {
			return err
		}
		s.temporary = options.Dir
	}
	if err := os.MkdirAll(options.Dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(options.Dir, stateFile)
	s.db, err = bbolt.Open(path, 0o644, &bbolt.Options{
		// What write hands to the kernel outlives the process; only a crash of the machine would need more.
		NoSync: true, NoGrowSync: true,
		// The list of free pages can be found again, and need not be written with each change.
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		// Growing the map stops all readers; address space costs nothing.
		InitialMmapSize: 1 << 30,
		Timeout:         time.Second,
	})
	if err != nil {
		return fmt.Errorf("open %s (does another process use it?): %w", path, err)
	}
	if s.kinesis, err = newKinesis(s.db, options); err != nil {
		return fmt.Errorf("read the streams in %s: %w", path, err)
	}
	if s.dynamoDB, err = newDynamoDB(s.db, options); err != nil {
		return fmt.Errorf("read the tables in %s: %w", path, err)
	}
	listener, err := net.Listen("tcp", options.Addr)
	if err != nil {
		return err
	}
	if !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return errors.Join(fmt.Errorf("%s is no loopback address, and nobody's rights are checked here: listen on 127.0.0.1", options.Addr), listener.Close())
	}
	s.URL = "http://" + listener.Addr().String()
	s.http = &http.Server{Handler: s}
	go func() { s.served <- s.http.Serve(listener) }()
	return nil
}

// Close ends the server: open connections are closed, and calls that were being applied are over when it returns. A second Close does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.transport.CloseIdleConnections()
	err := s.http.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return errors.Join(err, s.discard())
}

// discard lets go of the state. bbolt's Close waits for running transactions; later ones fail.
func (s *Server) discard() (err error) {
	if s.db != nil {
		err = s.db.Close()
	}
	if s.temporary != "" {
		err = errors.Join(err, os.RemoveAll(s.temporary))
	}
	return err
}

// Trim drops the records of a shard before a sequence number, as if they had become older than the retention; an empty one drops all.
func (s *Server) Trim(stream, shard, beforeSequenceNumber string) error {
	if err := s.kinesis.trim(stream, shard, beforeSequenceNumber); err != nil {
		return fmt.Errorf("kcltest: trim: %w", err)
	}
	return nil
}

// The services, as requests name them.
const (
	kinesisTarget  = "Kinesis_20131202"
	dynamoDBTarget = "DynamoDB_20120810"
)

// buffers are used for requests and answers of Kinesis, which are large and many.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxKept bounds the buffers kept for later: the largest are rare.
const maxKept = 4 << 20

func keep(buffer *[]byte) {
	if cap(*buffer) <= maxKept {
		*buffer = (*buffer)[:0]
		buffers.Put(buffer)
	}
}

// ServeHTTP answers a request of the protocol awsJson: a POST whose header names service and operation, JSON both ways.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	service, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if r.Method != http.MethodPost || operation == "" || service != kinesisTarget && service != dynamoDBTarget {
		answer(w, r, nil, &apiError{Status: 400, Code: "UnknownOperationException", Message: "kcltest serves Kinesis and DynamoDB in the protocol awsJson"})
		return
	}
	request, response := buffers.Get().(*[]byte), buffers.Get().(*[]byte)
	defer keep(request)
	defer keep(response)
	body, err := readBody(w, r, (*request)[:0])
	*request = body
	if err != nil {
		answer(w, r, nil, &apiError{Status: 413, Code: "SerializationException", Message: err.Error()})
		return
	}

	fault := s.count(operation, body)
	if fault.Delay > 0 {
		wait(r, fault.Delay)
	}
	if fault.BeforeApply != nil {
		fault.BeforeApply()
	}
	failure := fault.refusal()
	if failure == nil {
		*response, failure = s.apply(service, operation, body, (*response)[:0], &fault)
	}
	if fault.DropAnswer {
		panic(http.ErrAbortHandler) // net/http's way to close a connection without an answer
	}
	answer(w, r, *response, failure)
}

// apply runs an operation and appends its answer to dst.
func (s *Server) apply(service, operation string, body, dst []byte, fault *Fault) ([]byte, *apiError) {
	if service == dynamoDBTarget {
		// Unlike Kinesis's, its results may keep parts of the body.
		result, failure := s.dynamoDB.call(operation, append([]byte(nil), body...))
		if failure != nil {
			return dst, failure
		}
		text, err := json.Marshal(result)
		if err != nil {
			return dst, internal("encode the answer", err)
		}
		return append(dst, text...), nil
	}
	text, failure := s.kinesis.call(operation, body, dst, fault.FailRecords)
	if failure == nil && operation == "GetRecords" && fault.AlterRecords != nil {
		text, failure = fault.altered(text)
	}
	return text, failure
}

// readBody appends a request's body to dst.
func readBody(w http.ResponseWriter, r *http.Request, dst []byte) ([]byte, error) {
	if size := int(min(r.ContentLength, maxRequest)); cap(dst) < size {
		dst = make([]byte, 0, size+1) // one more, so that the end is seen without growing
	}
	body := http.MaxBytesReader(w, r.Body, maxRequest)
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := body.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, fmt.Errorf("read the request: %w", err)
		}
	}
}

// wait waits, or until the client goes away.
func wait(r *http.Request, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

func answer(w http.ResponseWriter, r *http.Request, text []byte, failure *apiError) {
	status := http.StatusOK
	if failure != nil {
		status, text = failure.Status, failure.body()
		if failure.Code != "" {
			w.Header().Set("X-Amzn-ErrorType", failure.Code)
		}
	}
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), dynamoDBTarget) {
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(text)), 10)) // the SDK checks it
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	w.Write(text) // a client that went away is no concern of ours
}
