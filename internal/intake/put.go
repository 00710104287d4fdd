package intake

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// The limits of Firehose.
const (
	maxRecords     = 500
	maxRecordBytes = 1000 << 10
	maxBatchBytes  = 4 << 20
)

// putTimeout bounds what the stream takes to answer. The SDKs wait a minute by default.
const putTimeout = 20 * time.Second

// signatureStep is the resolution of the time in a signature: what is signed so much later is signed differently.
const signatureStep = time.Second

// record is one of a request's. Its data are nil where it has none.
type record struct{ Data []byte }

func (h *handler) putRecord(r *request) (any, *fault) {
	var input struct {
		DeliveryStreamName string
		Record             *record
	}
	if f := r.into(&input); f != nil {
		return nil, f
	}
	if f := h.isStream(input.DeliveryStreamName); f != nil {
		return nil, f
	}
	if input.Record == nil {
		return nil, invalid("record", "null", "Member must not be null")
	}
	if f := input.Record.check("record"); f != nil {
		return nil, f
	}
	ids, f := h.put(r, [][]byte{input.Record.Data})
	if f != nil {
		return nil, f
	}
	return map[string]any{"RecordId": ids[0], "Encrypted": false}, nil
}

// response is what becomes of one record of a batch.
type response struct {
	RecordID     string `json:"RecordId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

func (h *handler) putRecordBatch(r *request) (any, *fault) {
	var input struct {
		DeliveryStreamName string
		Records            []record
	}
	if f := r.into(&input); f != nil {
		return nil, f
	}
	if f := h.isStream(input.DeliveryStreamName); f != nil {
		return nil, f
	}
	if n := len(input.Records); n < 1 || n > maxRecords {
		return nil, invalid("records", fmt.Sprintf("[%d records]", n), "Member must have length between 1 and 500, inclusive")
	}
	records, size := make([][]byte, len(input.Records)), 0
	for i, record := range input.Records {
		if f := record.check(fmt.Sprintf("records.%d.member", i+1)); f != nil {
			return nil, f
		}
		records[i] = record.Data
		size += len(record.Data)
	}
	if size > maxBatchBytes {
		return nil, badRequest(codeArgument, "Records size exceeds 4 MB limit")
	}
	ids, f := h.put(r, records)
	if f != nil {
		return nil, f
	}
	failed, responses := 0, make([]response, len(ids))
	for i, id := range ids {
		if responses[i].RecordID = id; id == "" {
			failed++
			responses[i] = response{ErrorCode: slowDown.code, ErrorMessage: slowDown.message}
		}
	}
	return map[string]any{"FailedPutCount": failed, "Encrypted": false, "RequestResponses": responses}, nil
}

// isStream checks the name of the stream that is asked for.
func (h *handler) isStream(name string) *fault {
	if name != h.config.Stream {
		return badRequest(codeNotFound, fmt.Sprintf("Delivery stream %q is not here; it is called %s.", name, h.config.Stream))
	}
	return nil
}

// check holds a record against the limits. at is its place in the request, for messages.
func (r record) check(at string) *fault {
	switch {
	case r.Data == nil:
		return invalid(at+".data", "null", "Member must not be null")
	case len(r.Data) > maxRecordBytes:
		return invalid(at+".data", fmt.Sprintf("[%d bytes]", len(r.Data)), fmt.Sprintf("Member must have length less than or equal to %d", maxRecordBytes))
	}
	return nil
}

// invalid is an error in the words of all AWS services.
func invalid(at, value, constraint string) *fault {
	return badRequest(codeValidation, fmt.Sprintf("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, at, constraint))
}

// put puts records into the stream, once for each signature, and gives the ids of those that it has: an empty one for each
// of the others. If it has none of them, that is a fault, since many a client does not look at FailedPutCount.
//
// A signature that came before is told to come later. The SDKs then sign anew, and do so by themselves; that lets through
// what only looks like a replay: within one second, many of them sign equal records equally, and so they do their next
// attempts, of which some make all within that second. They are therefore told only when it is over by their clock, too. To
// answer such a put as the first one was would lose a record, and an error that is not tried again would, too.
func (h *handler) put(r *request, records [][]byte) ([]string, *fault) {
	switch h.seen.add(r.signature, h.now()) {
	case isReplay:
		return nil, replayed
	case isFull:
		return nil, slowDown
	}
	ctx, cancel := context.WithTimeout(r, putTimeout)
	defer cancel()
	ids, err := h.config.Putter.Put(ctx, records)
	if err != nil && h.failures.now(h.now()) {
		h.config.Log.Warn("records are not in the stream, or not known to be; their producers are told to put them again", "error", err)
	}
	taken, bytes := 0, 0
	for i, id := range ids {
		if id != "" {
			taken++
			bytes += len(records[i])
		}
	}
	h.config.Observe.IntakeRecords(taken, len(records)-taken, bytes)
	if taken == 0 {
		return nil, slowDown
	}
	return ids, nil
}

// occasional tells when something is to be told again that would otherwise be told too often. It is safe for concurrent use.
type occasional struct {
	every time.Duration

	mu   sync.Mutex
	last time.Time
}

func (o *occasional) now(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.last) < o.every {
		return false
	}
	o.last = now
	return true
}
