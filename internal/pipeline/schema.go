package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink"
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

// reserved are those, and the names of the columns that the steps add.
func (p *Pipeline) reserved() []string { return append(Reserved(), p.cfg.Enrich.Adds()...) }

// lookInterval is how often a worker looks whether others have added columns.
const lookInterval = 10 * time.Second

// agreement is the schema that the workers have agreed on, as it is in the lease table.
//
// It is the item _schema, whose body is a transform.Schema as JSON. The first worker creates it as version 1, under the
// condition that there is none. It changes in one way only: version n+1 takes the place of version n, under the condition
// that the body is still that of n, and has the same columns in the same order before those that it adds. A worker that
// comes second finds the other's version there, and adds what is still missing. So of any two files one has the columns of
// the other, and a column has one type in all of them. A worker writes a version only after it read it from the table; an
// older one it may write for as long as it likes.
type agreement struct {
	text   string // the body
	schema *transform.Schema
	looked time.Time // when it was read
	beyond string    // a later body that this release cannot read, and told of
}

// Agreed reads the schema that the workers have agreed on out of the lease table.
func Agreed(ctx context.Context, clients consumer.Clients, table string) (*transform.Schema, error) {
	text, err := clients.Document(ctx, table, schemaDocument)
	if err != nil {
		return nil, err
	}
	if text == "" {
		return nil, fmt.Errorf("the lease table %s has no schema yet (item _%s): it comes with the first records", table, schemaDocument)
	}
	a, err := agreementOf(text)
	if err != nil {
		return nil, err
	}
	return a.schema, nil
}

func agreementOf(text string) (*agreement, error) {
	a := &agreement{text: text, schema: &transform.Schema{}, looked: time.Now()}
	if err := json.Unmarshal([]byte(text), a.schema); err != nil {
		return nil, fmt.Errorf("the schema in the lease table (item _%s) cannot be read: %w", schemaDocument, err)
	}
	return a, nil
}

// schema gives the schema that all workers write, or nil where none is settled. When the sample has records, it settles
// one if nobody has. Columns that are declared, and that the others do not know yet, are added to it.
func (p *Pipeline) schema(ctx context.Context, session Shard, sample Detector) (*transform.Schema, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.agreed != nil {
		return p.agreed.schema, nil
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
	agreed, err := agreementOf(text)
	if err != nil {
		return nil, err
	}
	if err := p.compare(own, agreed.schema); err != nil {
		return nil, err
	}
	if p.cfg.Schema != nil {
		if agreed, err = p.amend(ctx, session, agreed, func(s transform.Schema) (transform.Schema, error) { return s.Declare(own.Fields) }); err != nil {
			return nil, fmt.Errorf("the configured columns do not go together with those that the workers have agreed on (item _%s of the lease table): %w; "+
				"what was written cannot change: declare it as it was, or use another SLUICE_APP and SLUICE_PREFIX", schemaDocument, err)
		}
	}
	p.agreed = agreed
	return agreed.schema, nil
}

// amend adds columns to what the workers have agreed on, until nothing is missing any more.
func (p *Pipeline) amend(ctx context.Context, session Shard, a *agreement, extend func(transform.Schema) (transform.Schema, error)) (*agreement, error) {
	for {
		next, err := extend(*a.schema)
		if err != nil || next.Version == a.schema.Version {
			return a, err
		}
		body, err := json.Marshal(next)
		if err != nil {
			return nil, err
		}
		text, err := session.Amend(ctx, schemaDocument, a.text, string(body))
		if err != nil {
			return nil, err
		}
		if text == string(body) {
			p.cfg.Log.Info("columns were added to the schema", "version", next.Version, "columns", next.Fields[len(a.schema.Fields):])
		}
		if a, err = agreementOf(text); err != nil {
			return nil, err
		}
	}
}

// newer gives a version of the schema that is newer than the one given, or nil where there is none. What a shard found is
// added before; now and then it is looked at what others have added.
func (p *Pipeline) newer(ctx context.Context, session Shard, than *transform.Schema, found []transform.Field) (*transform.Schema, error) {
	if !p.mu.TryLock() {
		return nil, nil // another shard is at it; there is another batch
	}
	defer p.mu.Unlock()
	if len(found) > 0 || time.Since(p.agreed.looked) >= lookInterval {
		if err := p.look(ctx, session, found); err != nil {
			return nil, err
		}
	}
	if p.agreed.schema.Version == than.Version {
		return nil, nil
	}
	return p.agreed.schema, nil
}

// look reads what the workers have agreed on by now, and adds what was found.
func (p *Pipeline) look(ctx context.Context, session Shard, found []transform.Field) error {
	text, err := session.Agreed(ctx, schemaDocument)
	if err != nil {
		return err
	}
	if text == "" { // somebody deleted it
		if text, err = session.Agree(ctx, schemaDocument, p.agreed.text); err != nil {
			return err
		}
	}
	now := p.agreed
	if text != p.agreed.text {
		if now, err = agreementOf(text); err != nil {
			// Written by a newer release, which knows more types. What this one writes is still in order.
			if p.agreed.beyond != text {
				p.cfg.Log.Warn("columns were added that this release cannot write; what they would hold is rescued", "error", err)
			}
			p.agreed.beyond, p.agreed.looked = text, time.Now()
			return nil
		}
	}
	now, err = p.amend(ctx, session, now, func(s transform.Schema) (transform.Schema, error) { return s.Add(found, p.reserved()...), nil })
	if err != nil {
		return err
	}
	if !now.schema.Extends(p.agreed.schema) {
		return fmt.Errorf("the schema in the lease table (item _%s) is another one than it was, while workers run; it only grows", schemaDocument)
	}
	now.looked = time.Now()
	p.agreed = now
	return nil
}

// Written lists the columns of the files that the workers write now, in their order; none where no schema is settled. agreed
// gives what the workers have agreed on under a name, as consumer.Consumer.Agreed does. Raw files have lines, which are one
// column of text.
func (p *Pipeline) Written(ctx context.Context, agreed func(ctx context.Context, name string) (string, error)) ([]columns.Field, error) {
	text, err := agreed(ctx, schemaDocument)
	if err != nil || text == "" {
		return nil, err
	}
	a, err := agreementOf(text)
	if err != nil {
		p.mu.Lock()
		a = p.agreed
		p.mu.Unlock()
		if a == nil {
			return nil, err
		}
		// A newer release wrote it; see look. What this one writes is still in order.
	}
	if p.cfg.Output == sink.OutputRaw {
		return []columns.Field{{Name: "line", Type: columns.String}}, nil
	}
	enricher, err := enricherOf(*a.schema, &p.cfg.Enrich)
	if err != nil {
		return nil, err
	}
	return shown(p.newTable(enricher)), nil
}

// compare tells where what the workers have agreed on is for other records than this one is configured for.
func (p *Pipeline) compare(own, agreed *transform.Schema) error {
	if p.cfg.Schema == nil { // what a sample does not tell
		like := *own
		like.LogFormat, like.Rescue = agreed.LogFormat, agreed.Rescue
		own = &like
	}
	if is, was := own.Form(), agreed.Form(); is != was {
		return fmt.Errorf("the lease table (item _%s) has a schema for %s, and the configuration says %s; that needs another SLUICE_APP, "+
			"or that the item is deleted while no worker runs", schemaDocument, was, is)
	}
	return nil
}
