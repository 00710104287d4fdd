package pipeline

import (
	"fmt"
	"slices"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/transform"
	"github.com/sluice-etl/sluice/transform/enrich"
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

// CheckColumns gives the columns of a row that the steps have seen, or tells why they do not fit those of the schema, which must be one of a format.
func CheckColumns(s transform.Schema, steps *enrich.Plan) ([]columns.Field, error) {
	enricher, err := enricherOf(s, steps)
	if err != nil {
		return nil, err
	}
	return enricher.Fields(), nil
}

// enricherOf binds the steps to the columns of a schema.
func enricherOf(s transform.Schema, steps *enrich.Plan) (*enrich.Enricher, error) {
	decoder, err := newDecoder(s, false)
	if err != nil {
		return nil, err
	}
	return newEnricher(s, decoder, steps)
}

// newEnricher binds the steps to the columns of a schema's decoder.
func newEnricher(s transform.Schema, d Decoder, steps *enrich.Plan) (*enrich.Enricher, error) {
	return steps.Bind(enrich.Columns{
		Fields: d.Fields(), Rescued: rescuedColumn(d),
		Keys: func(column int) []string {
			return append(s.RescuedAs(column), s.Fields[column].Name) // by which a time is kept that is not believed
		},
	})
}

// rescuedColumn is the place of the column rescued, which every decoder has.
func rescuedColumn(d Decoder) int {
	return slices.IndexFunc(d.Fields(), func(f columns.Field) bool { return f.Name == transform.RescuedColumn })
}

// Columns are those of the files of a schema's records, in their order.
func Columns(s transform.Schema, steps *enrich.Plan) ([]columns.Field, error) {
	enricher, err := enricherOf(s, steps)
	if err != nil {
		return nil, err
	}
	return shown(enricher.Table(slices.Concat(ingestFields, anomaly.Fields())...)), nil
}

// shown are the columns of a table that files have.
func shown(t *columns.Table) (fields []columns.Field) {
	for i := range t.Columns {
		if c := &t.Columns[i]; !c.Hidden {
			fields = append(fields, c.Field)
		}
	}
	return fields
}
