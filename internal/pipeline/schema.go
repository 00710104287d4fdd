package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

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

// Reserved are the names of the columns that are added to the records' own.
func Reserved() []string {
	var names []string
	for _, f := range append(ingestFields[:len(ingestFields):len(ingestFields)], anomaly.Fields()...) {
		names = append(names, f.Name)
	}
	return names
}

// schema gives the schema that all workers write, or nil where none is settled. When the sample has records, it settles
// one if nobody has.
func (p *Pipeline) schema(ctx context.Context, session Shard, sample Detector) (*transform.Schema, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.agreed != nil {
		return p.agreed, nil
	}
	text, err := session.Agreed(ctx, schemaDocument)
	if err != nil {
		return nil, err
	}
	own, records := p.cfg.Schema, 0
	if own == nil {
		found := sample.Schema()
		own, records = &found, sample.Records()
	}
	if text == "" && (p.cfg.Schema != nil || records > 0) {
		body, err := json.Marshal(own)
		if err != nil {
			return nil, err
		}
		if text, err = session.Agree(ctx, schemaDocument, string(body)); err != nil {
			return nil, err
		}
		p.cfg.Log.Info("the schema is settled", "schema", text, "records", records)
	}
	if text == "" {
		return nil, nil
	}
	var agreed transform.Schema
	if err := json.Unmarshal([]byte(text), &agreed); err != nil {
		return nil, fmt.Errorf("the schema in the lease table (item _%s) cannot be read: %w", schemaDocument, err)
	}
	if err := p.compare(own, &agreed); err != nil {
		return nil, err
	}
	p.agreed = &agreed
	return p.agreed, nil
}

// compare tells where what the workers have agreed on is not what this one is configured for. Records of another format
// would all be rejected; other columns are no fault: what they would hold is rescued.
func (p *Pipeline) compare(own, agreed *transform.Schema) error {
	declared := p.cfg.Schema != nil
	if own.Format != agreed.Format || declared && own.LogFormat != agreed.LogFormat {
		return fmt.Errorf("the lease table (item _%s) has a schema for the format %q, and the configuration says %q; another format needs another SLUICE_APP, "+
			"or that the item is deleted while no worker runs", schemaDocument, agreed.Format+" "+agreed.LogFormat, own.Format+" "+own.LogFormat)
	}
	if declared && !slices.Equal(own.Fields, agreed.Fields) {
		p.cfg.Log.Warn("the columns of the configuration are not those that the workers have agreed on, which stay", "item", "_"+schemaDocument)
	}
	return nil
}
