package pipeline

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/consumer/kpl"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
	"github.com/sluice-etl/sluice/transform/enrich"
)

const (
	maxTable  = 1 << 30 // bytes of a batch; a column's text must stay below 4 GiB, also with one more record
	sizeEvery = 256 << 10
)

// batch holds the rows of a shard that are not committed: one table, in which each row has the number of the
// partition that it goes to. A batch that is nil is empty.
type batch struct {
	p     *Pipeline
	shard string
	stages

	out        transform.Output // its table has the decoder's columns, then the enricher's, the ingest ones, the detectors', then perhaps raw
	ingest     []columns.Column // those of the table
	rescued    *columns.Column  // the decoder's
	raw        *columns.Column  // the lines as they came, where the files are made of these; else nil
	verdicts   int              // the place of the detectors' columns
	partitions *sink.Partitioner
	partition  []int32 // of each row; leftOut for one that is about to be taken out
	rejects    []errorFile

	records  int
	size     int64 // in memory, as told to the budget
	unsized  int   // bytes of payloads that came since size was taken
	shrinks  float64
	rejected map[string]int
	filtered int   // rows that were left out
	flagged  []int // by detector
	dropped  int64 // bytes in rejects
}

// stages are what records pass through on their way into a batch. The enricher and the engine know the columns.
type stages struct {
	decoder  Decoder
	enricher *enrich.Enricher
	engine   *anomaly.Engine
}

// leftOut is the partition of rows that go nowhere.
const leftOut = -1

// errorFile gathers the rejects that go under one prefix.
type errorFile struct {
	prefix string
	lines  *sink.Rejects
}

func newBatch(p *Pipeline, shard string, s stages) *batch {
	b := &batch{
		p: p, shard: shard, stages: s, shrinks: 1, rejected: map[string]int{},
		partitions: sink.NewPartitioner(p.cfg.Prefix, p.cfg.Timezone), flagged: make([]int, len(p.cfg.Detectors)),
	}
	own := len(s.enricher.Fields())
	b.out.Table = p.newTable(s.enricher)
	if p.cfg.Output == sink.OutputRaw {
		b.raw = &b.out.Table.Columns[len(b.out.Table.Columns)-1]
	}
	b.ingest = b.out.Table.Columns[own:]
	b.verdicts = own + len(ingestFields)
	b.rescued = &b.out.Table.Columns[rescuedColumn(s.decoder)]
	return b
}

// newTable makes the table of what a decoder and an enricher fill, with the columns that are added to it.
func (p *Pipeline) newTable(e *enrich.Enricher) *columns.Table {
	others := slices.Concat(ingestFields, anomaly.Fields())
	if p.cfg.Output == sink.OutputRaw {
		others = append(others, columns.Field{Name: sink.RawColumn, Type: columns.String, Required: true})
	}
	return e.Table(others...)
}

func (b *batch) empty() bool { return b == nil || b.records == 0 }

// add appends the rows and the rejects of one record.
func (b *batch) add(r *consumer.Record) {
	b.records++
	b.unsized += len(r.Data)
	if r.Err != nil {
		reason := "kpl"
		if refused := (kpl.Error{}); errors.As(r.Err, &refused) {
			reason = string(refused.Reason)
		}
		b.reject(r, 0, reason, r.Err.Error(), r.Data)
		return
	}
	sub := 0 // counts lines through all payloads of the record
	for _, payload := range r.User {
		b.out.Places, b.out.Raw, b.out.Rejects, b.out.Lines = b.out.Places[:0], b.out.Raw[:0], b.out.Rejects[:0], 0
		b.decoder.Decode(payload, &b.out)
		first, filtered := b.out.Table.Rows(), b.filtered
		for i, place := range b.out.Places {
			if b.raw != nil {
				b.raw.AppendText(b.out.Raw[i])
			}
			b.row(r, sub+int(place))
		}
		if b.filtered > filtered {
			b.takeOut(first)
		}
		for i := range b.out.Rejects {
			reject := &b.out.Rejects[i]
			b.reject(r, sub+reject.Place, reject.Code, reject.Message, reject.Raw)
		}
		sub += b.out.Lines
	}
}

// row completes a row of which the decoder filled its columns. Those of the rows after it may be filled, too; so one that is
// to be left out stays until all of its payload are complete.
func (b *batch) row(r *consumer.Record, sub int) {
	if !b.enricher.Row(b.out.Table) {
		if b.rescued.Valid[b.out.Table.Rows()] {
			b.out.Rescued--
		}
		b.filtered++
		b.partition = append(b.partition, leftOut)
		b.out.Table.EndRow()
		return
	}
	at := r.Arrival.UnixMilli()
	b.ingest[0].AppendInt(at)
	b.ingest[1].AppendString(b.shard)
	b.ingest[2].AppendString(r.SequenceNumber)
	b.ingest[3].AppendInt(int64(sub))
	b.score(at)
	b.partition = append(b.partition, b.partitions.Partition(at))
	b.out.Table.EndRow()
}

// takeOut removes the rows that are to be left out, from a row on.
func (b *batch) takeOut(first int) {
	b.out.Table.Retain(first, func(row int) bool { return b.partition[row] != leftOut })
	kept := slices.DeleteFunc(b.partition[first:], func(partition int32) bool { return partition == leftOut })
	b.partition = b.partition[:first+len(kept)]
}

// score asks the detectors about the row that is being completed.
func (b *batch) score(at int64) {
	t := b.out.Table
	verdict := b.engine.Score(t, t.Rows(), at)
	verdict.Append(t, b.verdicts)
	for _, flag := range verdict.Flags {
		b.flagged[flag.Detector]++
	}
}

// reject keeps a line that is no record, for the error prefix.
func (b *batch) reject(r *consumer.Record, sub int, code, message string, raw []byte) {
	b.rejected[code]++
	b.dropped += int64(len(raw))
	kind := "processing-failed"
	if transform.Misfit(code) {
		kind = "format-conversion-failed"
	}
	prefix := b.p.cfg.ErrorPrefix.Append(nil, r.Arrival.In(b.p.cfg.Timezone), kind)
	file := slices.IndexFunc(b.rejects, func(e errorFile) bool { return e.prefix == string(prefix) })
	if file < 0 {
		file = len(b.rejects)
		b.rejects = append(b.rejects, errorFile{string(prefix), sink.NewRejects()})
	}
	b.rejects[file].lines.Append(sink.Reject{
		Arrival: r.Arrival, Code: code, Message: message, Raw: raw, Shard: b.shard, Sequence: r.SequenceNumber, Sub: sub,
	})
}

// full tells why the batch must end, or nothing. Its size is looked at now and then.
func (b *batch) full() (trigger string) {
	if b.partitions.Len()+len(b.rejects) >= consumer.MaxFiles {
		return "partitions"
	}
	if b.unsized < sizeEvery {
		return ""
	}
	return b.overflow()
}

// overflow measures the batch, and tells whether it must end for its size.
func (b *batch) overflow() (trigger string) {
	if b.resize(int64(b.out.Table.Size()) + b.dropped) {
		return "memory"
	}
	if float64(b.size)*b.shrinks >= float64(b.p.cfg.FlushBytes) || b.size >= maxTable {
		return "bytes"
	}
	return ""
}

func (b *batch) resize(size int64) (full bool) {
	b.p.cfg.Metrics.Buffered(size - b.size)
	full = b.p.budget.resize(b.size, size)
	b.size, b.unsized = size, 0
	return full
}

// files encodes the batch: one file for each partition, then those of the rejects.
func (b *batch) files(ctx context.Context) ([]consumer.File, error) {
	if b.empty() {
		return nil, nil
	}
	var encoder sink.Encoder
	select {
	case encoder = <-b.p.encoders:
		defer func() { b.p.encoders <- encoder }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	rows := make([][]int32, b.partitions.Len())
	for row, partition := range b.partition {
		rows[partition] = append(rows[partition], int32(row))
	}
	var files []consumer.File
	kind, encoded := encoder.Kind(), 0
	for partition, selection := range rows {
		if len(selection) == 0 {
			continue
		}
		body, err := encoder.Encode(nil, b.out.Table, selection)
		if err != nil {
			return nil, err
		}
		encoded += len(body)
		files = append(files, consumer.File{
			Prefix: b.partitions.Key(int32(partition)), Extension: kind.Extension, ContentType: kind.ContentType,
			Body: body, Rows: len(selection),
		})
	}
	if size := b.out.Table.Size(); size > sizeEvery {
		b.shrinks = min(1, float64(encoded)/float64(size))
	}
	for _, e := range b.rejects {
		body, err := e.lines.Bytes()
		if err != nil {
			return nil, err
		}
		files = append(files, consumer.File{Prefix: e.prefix, Extension: sink.RejectsExtension, ContentType: sink.RejectsType, Body: body})
	}
	return files, nil
}

// committed counts what is visible now.
func (b *batch) committed() {
	if b == nil {
		return
	}
	m := b.p.cfg.Metrics
	for reason, n := range b.rejected {
		m.Rejected(reason, n)
	}
	m.Rescued(b.out.Rescued)
	m.Duplicates(b.out.Duplicates)
	m.Filtered(b.filtered)
	m.ExpressionFaults(b.enricher.TakeFaults())
	for i, d := range b.p.cfg.Detectors {
		m.Anomalies(d.Name, b.flagged[i])
		m.Detector(d.Name, b.shard, b.engine.Keys(i), b.engine.Evictions(i))
	}
}

// reset empties the batch, and keeps its memory for the next.
func (b *batch) reset() {
	if b == nil {
		return
	}
	b.resize(0)
	b.out.Reset()
	b.out.Table.Truncate(0)
	b.partitions.Reset()
	b.partition, b.rejects, b.records, b.dropped, b.filtered = b.partition[:0], nil, 0, 0, 0
	clear(b.rejected)
	clear(b.flagged)
}
