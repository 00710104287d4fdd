// Package check tells whether what lies in a bucket is what was acknowledged when it was put into the stream: every record
// in exactly one row or one reject, with its values, in its partition, in order.
//
// It shares no code with the service. Files are read by DuckDB and by Apache Arrow, expected values are computed from
// the ledger's payloads with encoding/json, and prefixes are rendered here once more: what the service gets wrong is
// not wrong here in the same way. It knows the bucket as a folder of plain files, and starts no process.
//
// A [Ledger] is what the producer wrote down; an [Output] is where the service's objects are. [Output.Exact] holds one
// against the other, and [Output.SameInBoth] holds the two readers against each other.
package check
