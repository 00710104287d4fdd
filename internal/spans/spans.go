package spans

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	queueLength = 2048            // spans that wait to be sent; some 300 bytes each
	mostSpans   = 512             // in a request
	mostWait    = 5 * time.Second // from the end of a span until it is sent
)

// Attribute is one of the resource, which all spans are of.
type Attribute struct{ Key, Value string }

// Config is what a Tracer needs; all of it is required.
type Config struct {
	Resource []Attribute
	Scope    string // what makes the spans, and its version
	Version  string
	Ratio    float64 // of the batches that are told; in [0,1]
	Sender   Sender
	Metrics  Metrics
	Log      *slog.Logger
}

// Metrics hears what becomes of spans. Its methods are called concurrently, and do not block.
type Metrics interface {
	SpansSent(n int)
	SpansDropped(cause string, n int) // see Causes
}

// The causes for which spans are dropped.
const (
	causeFull    = "queue_full"
	causeRefused = "refused"
	causeGaveUp  = "gave_up"
)

// Causes are all there are.
func Causes() []string { return []string{causeFull, causeRefused, causeGaveUp} }

// Tracer begins spans, and sends those that have ended while it runs. It is safe for concurrent use. A nil Tracer begins none.
type Tracer struct {
	cfg   Config
	below uint64 // of what traces are chosen by
	queue chan []byte
}

// New makes a tracer. What ends before it runs waits.
func New(cfg Config) *Tracer {
	return &Tracer{cfg: cfg, below: uint64(cfg.Ratio * (1 << 63)), queue: make(chan []byte, queueLength)}
}

// Span is an operation that has begun. It belongs to one goroutine, which ends it once. A nil Span is one that nobody wants to know of.
type Span struct {
	t          *Tracer
	trace      [16]byte
	id, parent [8]byte // parent is zero for that of a batch
	name       string
	begun      time.Time
	attributes []byte // encoded
}

// Batch begins the span of a batch, which began at the time given, or none where batches like this are not told. Which are is
// decided as OpenTelemetry's TraceIdRatioBased does it, by the random part of the trace's number.
func (t *Tracer) Batch(name string, begun time.Time) *Span {
	if t == nil {
		return nil
	}
	random := rand.Uint64()
	if random>>1 >= t.below {
		return nil
	}
	s := &Span{t: t, name: name, begun: begun, id: newID()}
	binary.BigEndian.PutUint64(s.trace[:], rand.Uint64())
	binary.BigEndian.PutUint64(s.trace[8:], random)
	return s
}

// newID is never zero, which is none.
func newID() (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}

// Child begins a span for a part of this one.
func (s *Span) Child(name string) *Span {
	if s == nil {
		return nil
	}
	return s.child(name, s.now())
}

// First begins the span of the part with which this one began.
func (s *Span) First(name string) *Span {
	if s == nil {
		return nil
	}
	return s.child(name, s.begun)
}

func (s *Span) child(name string, begun time.Time) *Span {
	return &Span{t: s.t, trace: s.trace, parent: s.id, id: newID(), name: name, begun: begun}
}

// now is as long after the span's beginning as the monotonic clock tells, so that no step of the wall clock turns spans around.
func (s *Span) now() time.Time { return s.begun.Add(time.Since(s.begun)) }

// Text sets an attribute.
func (s *Span) Text(key, value string) {
	if s != nil {
		s.attributes = appendAttribute(s.attributes, fieldSpanAttributes, key, textValue(value))
	}
}

// Int sets an attribute.
func (s *Span) Int(key string, value int) {
	if s != nil {
		s.attributes = appendAttribute(s.attributes, fieldSpanAttributes, key, intValue(value))
	}
}

// Float sets an attribute.
func (s *Span) Float(key string, value float64) {
	if s != nil {
		s.attributes = appendAttribute(s.attributes, fieldSpanAttributes, key, floatValue(value))
	}
}

// End ends the span, which failed where err is not nil. It never blocks.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	select {
	case s.t.queue <- s.encode(s.now(), err):
	default:
		s.t.cfg.Metrics.SpansDropped(causeFull, 1)
	}
}

type key struct{}

// With gives a context that carries a span.
func With(ctx context.Context, s *Span) context.Context {
	if s == nil {
		return ctx
	}
	return context.WithValue(ctx, key{}, s)
}

// Of gives the span that a context carries, or nil.
func Of(ctx context.Context) *Span {
	s, _ := ctx.Value(key{}).(*Span)
	return s
}
