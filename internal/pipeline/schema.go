package pipeline

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/transform"
)

// schemaDocument is the name under which the workers keep the schema.
const schemaDocument = "schema"

// ingestFields are the columns that say where a row comes from: its identity in the stream.
var ingestFields = []columns.Field{
	{Name: "ingest_time", Type: columns.Timestamp, Required: true},
	{Name: "ingest_shard", Type: columns.String, Required: true},
	{Name: "ingest_seq", Type: columns.String, Required: true},
	{Name: "ingest_sub", Type: columns.Int64, Required: true},
}

// reserved are the names of the columns that are added to the records' own.
func reserved() []string {
	var names []string
	for _, f := range append(ingestFields[:len(ingestFields):len(ingestFields)], anomaly.Fields()...) {
		names = append(names, f.Name)
	}
	return names
}

// schema gives the schema that all workers write, or nil where none is settled. When the sample has records, it settles
// one if nobody has.
func (p *Pipeline) schema(ctx context.Context, session Shard, sample *transform.Detector) (*transform.Schema, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.agreed != nil {
		return p.agreed, nil
	}
	text, err := session.Agreed(ctx, schemaDocument)
	if err != nil {
		return nil, err
	}
	if text == "" && sample.Records() > 0 {
		own, err := json.Marshal(sample.Schema())
		if err != nil {
			return nil, err
		}
		if text, err = session.Agree(ctx, schemaDocument, string(own)); err != nil {
			return nil, err
		}
		p.cfg.Log.Info("the schema is settled", "schema", text, "records", sample.Records())
	}
	if text == "" {
		return nil, nil
	}
	var agreed transform.Schema
	if err := json.Unmarshal([]byte(text), &agreed); err != nil {
		return nil, fmt.Errorf("the schema in the lease table (item _%s) cannot be read: %w", schemaDocument, err)
	}
	p.agreed = &agreed
	return p.agreed, nil
}
