package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	testID     = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testRegion = "eu-west-1"
)

// stream is a Putter that keeps what it is given, and counts what it is told as an Observer.
type stream struct {
	mu      sync.Mutex
	records []string
	refuse  func(record []byte) bool // nil: none
	hang    chan struct{}            // if set, a put waits until it is closed

	requests                       map[string]int // by operation and code
	taken, failed, bytes, inFlight int
}

func (s *stream) Put(ctx context.Context, records [][]byte) (ids []string, err error) {
	if s.hang != nil {
		<-s.hang
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids = make([]string, len(records))
	for i, r := range records {
		if s.refuse != nil && s.refuse(r) {
			err = errors.New("refused by a test")
			continue
		}
		s.records = append(s.records, string(r))
		ids[i] = fmt.Sprintf("shard:%d", len(s.records))
	}
	return ids, err
}

func (s *stream) IntakeRequest(operation, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[operation+" "+code]++
}

func (s *stream) IntakeRecords(taken, failed, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken, s.failed, s.bytes = s.taken+taken, s.failed+failed, s.bytes+bytes
}

func (s *stream) IntakeInFlight(delta int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight += delta
}

// endpoint is a server under test.
type endpoint struct {
	*stream
	url    string
	stop   context.CancelFunc
	ended  chan error
	signed time.Time // the time of the last request; each is signed in another second, unless a test says otherwise
}

// serve runs a server on a port of this machine, unless it is changed to listen elsewhere.
func serve(t testing.TB, change ...func(*Server)) *endpoint {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(testID+" "+testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := OpenKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{stream: &stream{requests: map[string]int{}}, ended: make(chan error, 1), signed: time.Now().Add(-4 * time.Minute)}
	server, err := NewServer("127.0.0.1:0", Config{Stream: "clicks", Region: testRegion, Keys: keys, Putter: e.stream, Observe: e.stream,
		Memory: 32 << 20, Bucket: "lake", Prefix: "data/", ErrorPrefix: "errors/", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(server)
	}
	e.url = "http://" + server.Addr() + "/"
	ctx, cancel := context.WithCancel(context.Background())
	e.stop = cancel
	go func() { e.ended <- server.Run(ctx, 5*time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-e.ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

// request makes a signed one.
func (e *endpoint) request(t testing.TB, operation, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, e.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Firehose_20150804."+operation)
	e.signed = e.signed.Add(time.Second)
	hash := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testID, SecretAccessKey: testSecret}, r,
		hex.EncodeToString(hash[:]), "firehose", testRegion, e.signed); err != nil {
		t.Fatal(err)
	}
	return r
}

// send gives the answer's status and body.
func send(t testing.TB, r *http.Request) (int, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Header.Get("X-Amzn-Requestid") == "" || answer.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", answer.Header)
	}
	return answer.StatusCode, string(text)
}

func batch(stream string, records ...string) string {
	type one struct{ Data []byte }
	input := struct {
		DeliveryStreamName string
		Records            []one
	}{DeliveryStreamName: stream, Records: []one{}}
	for _, r := range records {
		input.Records = append(input.Records, one{[]byte(r)})
	}
	text, err := json.Marshal(input)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func single(data string) string {
	return `{"DeliveryStreamName":"clicks","Record":{"Data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"}}`
}

// Each operation, at its limits and beyond.
func TestOperations(t *testing.T) {
	e := serve(t)
	e.refuse = func(record []byte) bool { return bytes.HasPrefix(record, []byte("full")) }
	for _, tt := range []struct {
		name, operation, body string
		status                int
		want                  string // in the answer
		put                   int    // records that come to the stream
	}{
		{"a record", "PutRecord", single("one"), 200, `"RecordId":"shard:1"`, 1},
		{"an empty record", "PutRecord", single(""), 200, `"RecordId"`, 1},
		{"the largest record", "PutRecord", single(strings.Repeat("x", maxRecordBytes)), 200, `"RecordId"`, 1},
		{"a larger record", "PutRecord", single(strings.Repeat("x", maxRecordBytes+1)), 400, `"__type":"ValidationException"`, 0},
		{"no record", "PutRecord", `{"DeliveryStreamName":"clicks"}`, 400, "'record'", 0},
		{"no data", "PutRecord", `{"DeliveryStreamName":"clicks","Record":{}}`, 400, "'record.data'", 0},
		{"no base64", "PutRecord", `{"DeliveryStreamName":"clicks","Record":{"Data":"?"}}`, 400, `"__type":"SerializationException"`, 0},
		{"no JSON", "PutRecord", `{`, 400, `"__type":"SerializationException"`, 0},
		{"another stream", "PutRecord", strings.Replace(single("x"), "clicks", "other", 1), 400, `"__type":"ResourceNotFoundException"`, 0},
		{"a full shard", "PutRecord", single("full"), 503, `"__type":"ServiceUnavailableException"`, 0},
		{"a batch", "PutRecordBatch", batch("clicks", "a", "b"), 200, `"FailedPutCount":0`, 2},
		{"a batch, in part", "PutRecordBatch", batch("clicks", "full", "b"), 200, `"FailedPutCount":1,"RequestResponses":[{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."},{"RecordId":`, 1},
		{"a batch, for nothing", "PutRecordBatch", batch("clicks", "full", "full"), 503, "ServiceUnavailableException", 0},
		{"no records", "PutRecordBatch", batch("clicks"), 400, "ValidationException", 0},
		{"500 records", "PutRecordBatch", batch("clicks", make([]string, 500)...), 200, `"FailedPutCount":0`, 500},
		{"501 records", "PutRecordBatch", batch("clicks", make([]string, 501)...), 400, "ValidationException", 0},
		{"a large record among others", "PutRecordBatch", batch("clicks", "a", strings.Repeat("x", maxRecordBytes+1)), 400, "records.2.member.data", 0},
		{"4 MiB", "PutRecordBatch", batch("clicks", pieces(maxBatchBytes)...), 200, `"FailedPutCount":0`, 5},
		{"more than 4 MiB", "PutRecordBatch", batch("clicks", pieces(maxBatchBytes+1)...), 400, "InvalidArgumentException", 0},
		{"far more than 4 MiB", "PutRecordBatch", batch("clicks", pieces(4*maxBatchBytes)...), 400, "InvalidArgumentException", 0},
		{"describe", "DescribeDeliveryStream", `{"DeliveryStreamName":"clicks"}`, 200, `"DeliveryStreamStatus":"ACTIVE"`, 0},
		{"describe another", "DescribeDeliveryStream", `{"DeliveryStreamName":"other"}`, 400, "ResourceNotFoundException", 0},
		{"list", "ListDeliveryStreams", `{}`, 200, `{"DeliveryStreamNames":["clicks"],"HasMoreDeliveryStreams":false}`, 0},
		{"list the next", "ListDeliveryStreams", `{"ExclusiveStartDeliveryStreamName":"clicks"}`, 200, `"DeliveryStreamNames":[]`, 0},
		{"list others", "ListDeliveryStreams", `{"DeliveryStreamType":"KinesisStreamAsSource"}`, 200, `"DeliveryStreamNames":[]`, 0},
		{"another operation", "DeleteDeliveryStream", `{}`, 400, "UnknownOperationException", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(e.records)
			status, answer := send(t, e.request(t, tt.operation, tt.body))
			if status != tt.status || !strings.Contains(answer, tt.want) {
				t.Errorf("%d %.300s; want %d with %s", status, answer, tt.status, tt.want)
			}
			if put := len(e.records) - before; put != tt.put {
				t.Errorf("%d records come to the stream, want %d", put, tt.put)
			}
		})
	}
	if e.requests["PutRecord OK"] != 3 || e.requests["other UnknownOperationException"] != 1 || e.failed != 4 || e.taken != len(e.records) || e.bytes == 0 || e.inFlight != 0 {
		t.Errorf("counted: %v, %d taken, %d failed, %d bytes, %d in flight", e.requests, e.taken, e.failed, e.bytes, e.inFlight)
	}
}

// pieces are records of so many bytes together.
func pieces(size int) (records []string) {
	for size > 0 {
		n := min(size, maxRecordBytes)
		records, size = append(records, strings.Repeat("x", n)), size-n
	}
	return records
}

// The records come as they were sent, whatever bytes they are.
func TestDataStayTheSame(t *testing.T) {
	e := serve(t)
	want := []string{"", "\x00\xff\n", "ä\u2028", `{"a":"\u0000"}`}
	if status, answer := send(t, e.request(t, "PutRecordBatch", batch("clicks", want...))); status != 200 {
		t.Fatal(status, answer)
	}
	if got := fmt.Sprintf("%q", e.records); got != fmt.Sprintf("%q", want) {
		t.Errorf("%s; want %q", got, want)
	}
}

// Whoever is not known gets the same answer whatever the reason, and a put is carried out once.
func TestIdentity(t *testing.T) {
	e := serve(t)
	var first string
	for name, change := range map[string]func(*http.Request){
		"no signature": func(r *http.Request) { r.Header.Del("Authorization") },
		"unknown key": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), testID, "AKIDOTHER", 1))
		},
		"another operation": func(r *http.Request) { r.Header.Set("X-Amz-Target", "Firehose_20150804.PutRecordBatch") },
		"unknown operation": func(r *http.Request) { r.Header.Set("X-Amz-Target", "Firehose_20150804.X") },
		"another body": func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(single("two")))
			r.ContentLength = int64(len(single("two")))
		},
		"a session token":    func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") },
		"GET":                func(r *http.Request) { r.Method = http.MethodGet },
		"signed long before": func(r *http.Request) { r.Header.Set("X-Amz-Date", "20200101T000000Z") },
	} {
		r := e.request(t, "PutRecord", single("one"))
		change(r)
		status, answer := send(t, r)
		if first == "" {
			first = answer
		}
		if status != 403 || answer != first || !strings.Contains(answer, `"__type":"InvalidSignatureException"`) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	again := func(operation, body string) (int, string) {
		r := e.request(t, operation, body)
		send(t, r)
		r.Body = io.NopCloser(strings.NewReader(body))
		return send(t, r)
	}
	if status, answer := again("PutRecord", single("one")); status != 503 || !strings.Contains(answer, "ServiceUnavailableException") || len(e.records) != 1 {
		t.Errorf("a replay: %d %s; %d records", status, answer, len(e.records))
	}
	if status, _ := again("ListDeliveryStreams", "{}"); status != 200 {
		t.Errorf("what changes nothing may come again: %d", status)
	}
}

// Two equal puts within a second have one signature. The second of them is told so when its client's next attempt has another one.
func TestEqualPutsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{requests: map[string]int{}}
		keys := &Keys{}
		keys.current.Store(&[]key{{testID, testSecret}})
		h := newHandler(Config{Stream: "clicks", Region: testRegion, Keys: keys, Putter: s, Observe: s, Log: slog.New(slog.DiscardHandler)}, time.Now)
		put := func() (status int, took time.Duration) {
			began, answer := time.Now(), httptest.NewRecorder()
			e := &endpoint{url: "http://intake.example/", signed: began.Add(-time.Second)}
			r := e.request(t, "PutRecord", single("one"))
			r.Header.Set("Content-Length", fmt.Sprint(r.ContentLength)) // as a server gets it
			h.ServeHTTP(answer, r)
			return answer.Code, time.Since(began)
		}
		time.Sleep(999 * time.Millisecond) // here the second ends in 1 ms; by a client's clock it may just have begun
		for i, want := range []struct {
			status int
			took   time.Duration
		}{{200, 0}, {503, time.Second}, {200, 0}} {
			if status, took := put(); status != want.status || took != want.took {
				t.Errorf("put %d: status %d after %v; want %+v", i, status, took, want)
			}
		}
		if len(s.records) != 2 {
			t.Errorf("%d records are in the stream; want 2", len(s.records))
		}
	})
}

// A page in a browser may ask: KDG's, with the SDK for JavaScript 2, announces what that sends.
func TestPreflight(t *testing.T) {
	e := serve(t)
	r, err := http.NewRequest(http.MethodOptions, e.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://awslabs.github.io")
	r.Header.Set("Access-Control-Request-Method", "POST")
	announced := "authorization,content-type,x-amz-content-sha256,x-amz-date,x-amz-security-token,x-amz-target,x-amz-user-agent"
	r.Header.Set("Access-Control-Request-Headers", announced)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	allowed := strings.Split(strings.ToLower(answer.Header.Get("Access-Control-Allow-Headers")), ", ")
	for name := range strings.SplitSeq(announced, ",") {
		if !strings.Contains(","+strings.Join(allowed, ",")+",", ","+name+",") {
			t.Errorf("%s is not allowed by %q", name, allowed)
		}
	}
	if answer.StatusCode != 204 || answer.Header.Get("Access-Control-Allow-Origin") != "*" || answer.Header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
}

// When the bodies of others fill the memory, the next ones are told to come later; whoever only promises a large body takes none.
func TestBackPressure(t *testing.T) {
	e := serve(t)
	e.hang = make(chan struct{})
	for range 40 { // 40 times 8 MiB are promised
		c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(e.url, "http://"), "/"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{", maxBody)
	}
	large := batch("clicks", pieces(maxBatchBytes)...) // 5.6 MB
	var waiting sync.WaitGroup
	statuses := make(chan int, 8)
	for range cap(statuses) {
		r := e.request(t, "PutRecordBatch", large)
		waiting.Go(func() {
			answer, err := http.DefaultClient.Do(r)
			if err != nil { // the server closed while the body was still being sent
				statuses <- http.StatusServiceUnavailable
				return
			}
			answer.Body.Close()
			statuses <- answer.StatusCode
		})
	}
	for range cap(statuses) - 5 { // 32 MiB hold five bodies
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Errorf("status %d while memory is full", status)
		}
	}
	close(e.hang)
	waiting.Wait()
	if len(e.records) == 0 || len(e.records) > 5*5 {
		t.Errorf("%d records are in the stream", len(e.records))
	}
	if status, answer := send(t, e.request(t, "PutRecord", single("after"))); status != 200 {
		t.Errorf("after that: %d %s", status, answer)
	}
}

// At its end the server takes in nothing new, and answers what is under way.
func TestStop(t *testing.T) {
	e := serve(t)
	e.hang = make(chan struct{})
	r := e.request(t, "PutRecord", single("one"))
	status := make(chan int, 1)
	go func() {
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			status <- 0
			return
		}
		answer.Body.Close()
		status <- answer.StatusCode
	}()
	for {
		e.mu.Lock()
		begun := e.inFlight == 1
		e.mu.Unlock()
		if begun {
			break
		}
		time.Sleep(time.Millisecond)
	}
	e.stop()
	for {
		c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(e.url, "http://"), "/"))
		if err != nil {
			break
		}
		c.Close()
	}
	close(e.hang)
	if got := <-status; got != 200 || len(e.records) != 1 {
		t.Errorf("status %d, %d records", got, len(e.records))
	}
}
