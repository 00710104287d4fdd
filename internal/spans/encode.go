package spans

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of opentelemetry.proto.trace.v1, resource.v1 and common.v1 that are written here.
const (
	fieldResourceSpans      = 1 // of TracesData, and of ExportTraceServiceRequest
	fieldResource           = 1 // of ResourceSpans
	fieldScopeSpans         = 2
	fieldResourceAttributes = 1 // of Resource
	fieldScope              = 1 // of ScopeSpans
	fieldSpans              = 2
	fieldScopeName          = 1 // of InstrumentationScope
	fieldScopeVersion       = 2

	fieldTraceID        = 1 // of Span
	fieldSpanID         = 2
	fieldParentSpanID   = 4
	fieldName           = 5
	fieldKind           = 6
	fieldStart          = 7
	fieldEnd            = 8
	fieldSpanAttributes = 9
	fieldStatus         = 15
	fieldFlags          = 16

	fieldMessage = 2 // of Status
	fieldCode    = 3

	fieldKey         = 1 // of KeyValue
	fieldValue       = 2
	fieldStringValue = 1 // of AnyValue
	fieldIntValue    = 3
	fieldDoubleValue = 4

	kindInternal = 1
	kindConsumer = 5
	codeError    = 2
	flags        = 0x101 // the trace is sampled, and the parent is known not to be elsewhere
)

// maxText is how many bytes of a text are told, as of an error.
const maxText = 1 << 10

// encode makes the Span as it is sent.
func (s *Span) encode(end time.Time, err error) []byte {
	b := make([]byte, 0, 128+len(s.name)+len(s.attributes))
	b = appendBytes(b, fieldTraceID, s.trace[:])
	b = appendBytes(b, fieldSpanID, s.id[:])
	kind := uint64(kindConsumer)
	if s.parent != [8]byte{} {
		b = appendBytes(b, fieldParentSpanID, s.parent[:])
		kind = kindInternal
	}
	b = appendText(b, fieldName, s.name)
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldKind, protowire.VarintType), kind)
	b = appendFixed64(b, fieldStart, uint64(s.begun.UnixNano()))
	b = appendFixed64(b, fieldEnd, uint64(end.UnixNano()))
	b = append(b, s.attributes...)
	if err != nil {
		status := appendText(nil, fieldMessage, err.Error())
		status = protowire.AppendVarint(protowire.AppendTag(status, fieldCode, protowire.VarintType), codeError)
		b = appendBytes(b, fieldStatus, status)
	}
	return protowire.AppendFixed32(protowire.AppendTag(b, fieldFlags, protowire.Fixed32Type), flags)
}

// request makes the body of a request with some spans.
func (c *Config) request(spans [][]byte) []byte {
	var resource, scope, all []byte
	for _, a := range c.Resource {
		resource = appendAttribute(resource, fieldResourceAttributes, a.Key, textValue(a.Value))
	}
	scope = appendText(scope, fieldScopeName, c.Scope)
	scope = appendText(scope, fieldScopeVersion, c.Version)
	all = appendBytes(all, fieldScope, scope)
	for _, s := range spans {
		all = appendBytes(all, fieldSpans, s)
	}
	body := appendBytes(nil, fieldResource, resource)
	body = appendBytes(body, fieldScopeSpans, all)
	return appendBytes(nil, fieldResourceSpans, body)
}

// rejected reads how many spans a collector did not take of a request that it answered with 200: of ExportTraceServiceResponse the
// field partial_success, and of that rejected_spans. What cannot be read tells of none.
func rejected(response []byte) (n int) {
	const partialSuccess, rejectedSpans = 1, 1
	each(response, func(field protowire.Number, value []byte, _ uint64) {
		if field == partialSuccess {
			each(value, func(field protowire.Number, _ []byte, value uint64) {
				if field == rejectedSpans && value <= mostSpans {
					n = int(value)
				}
			})
		}
	})
	return n
}

// each calls f for the fields of a message that are bytes or a number.
func each(message []byte, f func(field protowire.Number, bytes []byte, number uint64)) {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		var bytes []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
		}
		if n < 0 {
			return
		}
		f(field, bytes, number)
		message = message[n:]
	}
}

// appendAttribute appends a KeyValue, of which the AnyValue is given.
func appendAttribute(b []byte, field protowire.Number, key string, value []byte) []byte {
	return appendBytes(b, field, appendBytes(appendText(nil, fieldKey, key), fieldValue, value))
}

func textValue(v string) []byte { return appendText(nil, fieldStringValue, v) }

func intValue(v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, fieldIntValue, protowire.VarintType), uint64(v))
}

func floatValue(v float64) []byte { return appendFixed64(nil, fieldDoubleValue, math.Float64bits(v)) }

func appendFixed64(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), v)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendText appends a string, which is UTF-8 in a message.
func appendText(b []byte, field protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), strings.ToValidUTF8(v[:min(len(v), maxText)], "?"))
}
