// Package spans tells an OpenTelemetry collector what a batch went through: a span for the batch and one for each of its steps. It
// knows no logs, no metrics and no spans of others: nothing that sluice reads has a context to go on with, so every batch begins a
// trace of its own.
//
// A nil *Tracer begins nil spans, and all that is asked of those is nothing: without a collector, a batch costs some comparisons with
// nil. With one, a shard's goroutine encodes a span when it ends, and puts it into a queue unless that is full; one goroutine sends what is queued. So
// a collector that is slow, or gone, costs spans, which are counted, and holds up no data.
//
// This is written here because the library is large for it. Measured with go.opentelemetry.io/otel v1.47.0, beside a command of
// 40.5 MB and a go.sum of 163 lines: its SDK with otlptracehttp links gRPC and grpc-gateway, for 3.4 MB and 42 lines more; the SDK alone, with an
// exporter of one's own, takes 1.1 MB and 19 lines, and does not tell how many spans its queue has dropped. What is sent is the binary
// form of OTLP over HTTP, which is stable: the messages are those of opentelemetry-proto (opentelemetry/proto/trace/v1/trace.proto, whose
// field numbers never change), the answers and when to send again those of https://opentelemetry.io/docs/specs/otlp/#otlphttp. A test in
// internal/e2e decodes what the service sends by the messages that OpenTelemetry generates.
package spans
