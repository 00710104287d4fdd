package kcltest

import (
	"encoding/json"
	"time"
)

// Fault makes calls of one operation go wrong. The zero value of a field leaves that part of a call as it is; several can be combined.
type Fault struct {
	// Operation is the operation's name alone, "GetRecords" or "UpdateItem".
	Operation string
	// Nth is the first call that goes wrong, counted from Inject, beginning with 1; 0 is 1.
	Nth int
	// Count is how many calls in a row do; 0 is 1, and a negative Count has no end.
	Count int
	// Match, if set, restricts all this, counting too, to calls whose body, JSON, it accepts. It must not keep body.
	Match func(body []byte) bool

	// Delay passes before anything else, in real time; it ends early when the client goes away.
	Delay time.Duration
	// BeforeApply is called before the operation is, without any lock held: it may call the server.
	BeforeApply func()
	// Status and Code answer an error, and the operation is not applied. Status 0 with a Code is 400; a Status without a Code has no body.
	Status  int
	Code    string
	Message string
	// DropAnswer applies the operation, then closes the connection without an answer. With Status or Code it closes without applying.
	DropAnswer bool
	// FailRecords, of PutRecord and PutRecords, says which records, by index in the request, are refused as throttled. The others are stored.
	FailRecords func(index int) bool
	// AlterRecords, of GetRecords, changes a successful answer before it is sent. What is stored does not change.
	AlterRecords func(*RecordsAnswer)
}

// RecordsAnswer is an answer of GetRecords.
type RecordsAnswer struct {
	Records            []AnsweredRecord
	MillisBehindLatest *int64       `json:",omitempty"`
	NextShardIterator  *string      `json:",omitempty"`
	ChildShards        []ChildShard `json:",omitempty"`
}

// AnsweredRecord is a record in an answer of GetRecords.
type AnsweredRecord struct {
	SequenceNumber string
	// ApproximateArrivalTimestamp is in seconds since 1970.
	ApproximateArrivalTimestamp float64
	Data                        []byte
	PartitionKey                string
}

// injected is a fault and how many calls it has seen.
type injected struct {
	Fault
	calls int
}

// hits counts a call and says whether it goes wrong.
func (f *injected) hits(body []byte) bool {
	if f.Match != nil && !f.Match(body) {
		return false
	}
	f.calls++
	first := max(f.Nth, 1)
	return f.calls >= first && (f.Count < 0 || f.calls < first+max(f.Count, 1))
}

// refusal is the error that a fault answers instead of applying, or nil.
func (f *Fault) refusal() *apiError {
	if f.Status == 0 && f.Code == "" {
		return nil
	}
	err := &apiError{Status: f.Status, Code: f.Code, Message: f.Message}
	if err.Status == 0 {
		err.Status = 400
	}
	if err.Message == "" {
		err.Message = "injected by a test"
	}
	return err
}

// altered applies AlterRecords to the text of an answer.
func (f *Fault) altered(text []byte) ([]byte, *apiError) {
	var answer RecordsAnswer
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, internal("read an answer to alter", err)
	}
	f.AlterRecords(&answer)
	if answer.Records == nil {
		answer.Records = []AnsweredRecord{}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, internal("encode an altered answer", err)
	}
	return text, nil
}

// Inject makes calls to come go wrong. Where several faults hit a call, the one injected first does, though each has counted it.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &injected{Fault: f})
}

// ClearFaults ends all faults. Those that a call has begun to suffer go on to its end.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Calls returns how many calls of an operation, named as in a Fault, have come in since Start, with those that went wrong.
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// count counts a call and returns what goes wrong with it.
func (s *Server) count(operation string, body []byte) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
	var hit *injected
	for _, f := range s.faults {
		if f.Operation == operation && f.hits(body) && hit == nil {
			hit = f
		}
	}
	if hit == nil {
		return Fault{}
	}
	return hit.Fault
}
