package intake

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/sluice-etl/sluice/internal/intake/sigv4"
)

// handler answers requests.
type handler struct {
	config   Config
	verifier sigv4.Verifier
	budget   *semaphore.Weighted // bytes of bodies
	seen     *seen
	now      func() time.Time
	failures occasional
}

func newHandler(c Config, now func() time.Time) *handler {
	return &handler{
		config: c, now: now, seen: newSeen(maxSeen), failures: occasional{every: 10 * time.Second},
		budget:   semaphore.NewWeighted(max(c.Memory, maxBody+1)),
		verifier: sigv4.Verifier{Region: c.Region, Service: "firehose", Secret: c.Keys.Secret, Now: now},
	}
}

// version begins the name of an operation in the header X-Amz-Target.
const version = "Firehose_20150804."

// operations are those that there are.
var operations = map[string]func(*handler, *request) (any, *fault){
	"PutRecord":              (*handler).putRecord,
	"PutRecordBatch":         (*handler).putRecordBatch,
	"DescribeDeliveryStream": (*handler).describe,
	"ListDeliveryStreams":    (*handler).list,
}

// otherOperation is as what metrics count requests for what is no operation here.
const otherOperation = "other"

// request is one whose sender is known.
type request struct {
	context.Context // does not end when the client goes away: a put that has begun is brought to its end

	body      []byte
	signature sigv4.Signature
}

// into parses the body.
func (r *request) into(input any) *fault {
	if err := json.Unmarshal(r.body, input); err != nil {
		return badRequest(codeSerialization, "The body is not the JSON of this operation: "+err.Error())
	}
	return nil
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.config.Observe.IntakeInFlight(1)
	defer h.config.Observe.IntakeInFlight(-1)
	header := w.Header()
	header.Set("X-Amzn-RequestId", rand.Text())
	// Any page may ask: a request is known by its signature, and no browser adds that by itself.
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Expose-Headers", "Date, X-Amzn-RequestId")
	if r.Method == http.MethodOptions {
		// What the SDKs for browsers send, and therefore announce.
		header.Set("Access-Control-Allow-Methods", "POST")
		header.Set("Access-Control-Allow-Headers", "Amz-Sdk-Invocation-Id, Amz-Sdk-Request, Authorization, Content-Type, X-Amz-Content-Sha256, "+
			"X-Amz-Date, X-Amz-Security-Token, X-Amz-Target, X-Amz-User-Agent")
		header.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	name, ours := strings.CutPrefix(r.Header.Get("X-Amz-Target"), version)
	if !ours || operations[name] == nil {
		name = otherOperation
	}
	body, fault := readBody(w, r, h.budget)
	defer body.release()
	var answer any
	if fault == nil {
		answer, fault = h.answer(name, r, body.data)
	}
	code, status := codeOK, http.StatusOK
	if fault != nil {
		code, status = fault.code, fault.status
		answer = map[string]string{"__type": fault.code, "message": fault.message}
	}
	switch fault {
	case slowDown:
		header.Set("Retry-After", "1")
	case replayed:
		body.release() // which others have use for meanwhile
		select {
		case <-time.After(signatureStep):
		case <-r.Context().Done(): // the client is gone
		}
	}
	h.config.Observe.IntakeRequest(name, code)
	text, _ := json.Marshal(answer)                                              // of strings and numbers
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience)) // a test's recorder has none
	header.Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone
}

// answer carries an operation out for who may ask for it.
func (h *handler) answer(name string, r *http.Request, body []byte) (any, *fault) {
	signature, err := h.verifier.Verify(r, body)
	if err != nil {
		h.config.Log.Debug("a request is refused", "from", r.RemoteAddr, "reason", err)
		return nil, refused
	}
	run := operations[name]
	if run == nil {
		return nil, badRequest(codeUnknown, "The operation "+r.Header.Get("X-Amz-Target")+" is not one of this endpoint: it takes PutRecord, PutRecordBatch, DescribeDeliveryStream and ListDeliveryStreams.")
	}
	return run(h, &request{context.WithoutCancel(r.Context()), body, signature})
}
