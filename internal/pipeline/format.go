package pipeline

import (
	"fmt"
	"slices"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/transform"
)

// Decoder turns payloads of one format into rows. It is used by one goroutine at a time.
type Decoder interface {
	// Fields are the columns that it fills, always the same.
	Fields() []columns.Field
	// Decode adds a row or a reject to out for every line of a payload, at least one. Rejects may keep parts of the payload.
	Decode(payload []byte, out *transform.Output)
}

// Detector finds the schema of the payloads that it is shown, the same whenever it is shown the same ones in the same order.
// It is used by one goroutine at a time.
type Detector interface {
	Add(payload []byte)
	// Records is the number of lines that the schema fits; without one it is not worth agreeing on.
	Records() int
	Schema() transform.Schema
}

// learner is a decoder that finds columns which the schema lacks.
type learner interface {
	// Additions are those that what was decoded so far deserves; to be called between payloads.
	Additions() []transform.Field
}

// newDecoder makes the decoder of a schema's format. It is a learner, where there is something to learn and learn allows it.
func newDecoder(s transform.Schema, learn bool) (Decoder, error) {
	switch s.Format {
	case transform.FormatJSON:
		d := transform.NewJSON(s)
		if learn {
			d.Learn()
		}
		return d, nil
	case transform.FormatApache:
		return transform.NewApache(s)
	case transform.FormatCSV, transform.FormatTSV:
		return transform.NewDelimited(s), nil
	case transform.FormatRaw:
		return transform.NewRaw(s), nil
	}
	return nil, fmt.Errorf("there is no format %q", s.Format)
}

// Columns are those of the files of a schema's records, in their order.
func Columns(s transform.Schema) ([]columns.Field, error) {
	decoder, err := newDecoder(s, false)
	if err != nil {
		return nil, err
	}
	return slices.Concat(decoder.Fields(), ingestFields, anomaly.Fields()), nil
}
