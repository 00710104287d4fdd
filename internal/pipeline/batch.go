package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/consumer/kpl"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/spans"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
	"github.com/sluice-etl/sluice/transform/enrich"
)

const (
	maxTable  = 1 << 30 // bytes of a batch; a column's text must stay below 4 GiB, also with one more record
	sizeEvery = 256 << 10

	// Where one record can have rows of many partitions, a batch ends while it could have so many files more.
	spareFiles = 32

	nowhere       = -1          // the partition of a row that is rejected for it, or left out
	codePartition = "partition" // of its reject
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
	times      eventTimes
	partitions *sink.Partitioner
	partition  []int32       // of each row; nowhere for one that goes into no file
	errors     [2]errorFiles // by kind

	spare    int // files that the batch can have more when it ends: as many as the next record may need
	records  int
	size     int64 // in memory, as told to the budget
	unsized  int   // bytes of payloads that came since size was taken
	shrinks  float64
	rejected map[string]int
	filtered int      // rows that were left out
	flagged  []int    // by detector
	abnormal [][]byte // by detector, the key of the last row that it flagged
	unusable []uint64 // by detector, as told so far
	dropped  int64    // bytes in rejects
}

// stages are what records pass through on their way into a batch. The enricher and the engine know the columns.
type stages struct {
	decoder  Decoder
	enricher *enrich.Enricher
	engine   *anomaly.Engine
}

// errorFiles gathers the rejects of a kind, by partition.
type errorFiles struct {
	partitions *sink.Partitioner
	lines      []*sink.Rejects
}

// The kinds of rejects, as Firehose names them.
const (
	unprocessed = iota // is no record
	unconverted        // does not fit the schema
)

func newBatch(p *Pipeline, shard string, s stages) *batch {
	b := &batch{
		p: p, shard: shard, stages: s, shrinks: 1, rejected: map[string]int{}, flagged: make([]int, len(p.cfg.Detectors)), abnormal: make([][]byte, len(p.cfg.Detectors)),
		unusable:   make([]uint64, len(p.cfg.Detectors)),
		times:      eventTimes{EventTime: p.cfg.EventTime},
		partitions: sink.NewPartitioner(p.cfg.Prefix, p.cfg.Timezone, ""),
	}
	for kind, name := range [...]string{unprocessed: "processing-failed", unconverted: "format-conversion-failed"} {
		b.errors[kind].partitions = sink.NewPartitioner(p.cfg.ErrorPrefix, p.cfg.Timezone, name)
	}
	own := len(s.enricher.Fields())
	b.out.Table = p.newTable(s.enricher)
	if p.cfg.Output == sink.OutputRaw {
		b.raw = &b.out.Table.Columns[len(b.out.Table.Columns)-1]
	}
	b.ingest = b.out.Table.Columns[own:]
	b.verdicts = own + len(ingestFields)
	b.rescued = &b.out.Table.Columns[rescuedColumn(s.decoder)]
	b.spare = 1
	if len(p.cfg.Prefix.Columns()) > 0 || p.cfg.EventTime.Partition {
		b.spare = spareFiles
	}
	return b
}

// newTable makes the table of what a decoder and an enricher fill, with the columns that are added to it.
func (p *Pipeline) newTable(e *enrich.Enricher) *columns.Table {
	others := slices.Concat(ingestFields, anomaly.Fields())
	if p.cfg.Output == sink.OutputRaw {
		others = append(others, columns.Field{Name: sink.RawColumn, Type: columns.String, Required: true})
	}
	t := e.Table(others...)
	for i := range t.Columns {
		c := &t.Columns[i]
		c.Hidden = c.Hidden || c.Name == sink.RawColumn || slices.Contains(p.cfg.Prefix.FolderColumns(), c.Name)
	}
	return t
}

// bind finds the columns that the prefix shows, and that of the time. It comes before the first row.
func (b *batch) bind() error {
	own, seen := b.decoder.Fields(), b.enricher.Fields()
	for _, name := range b.p.cfg.Prefix.Columns() {
		i := slices.IndexFunc(own, func(f columns.Field) bool { return f.Name == name })
		if i >= 0 && seen[i].Name != name {
			return fmt.Errorf("SLUICE_PREFIX: the column %s is hidden by SLUICE_ENRICH, and its values cannot be part of keys", name)
		}
	}
	if err := b.partitions.Bind(b.out.Table); err != nil {
		return fmt.Errorf("SLUICE_PREFIX: %w", err)
	}
	return b.times.bind(b.out.Table.Columns[:len(own)])
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
		b.out.Rescued += b.times.take(first, len(b.out.Places), r.Arrival.UnixMilli())
		for i, place := range b.out.Places {
			b.row(r, sub+int(place), b.out.Raw[i], b.times.at[i])
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

// row completes a row of which the decoder filled its columns, from a line that tells a time. The columns of the rows after
// it may be filled, too; so one that is to be left out stays until all of its payload are complete.
func (b *batch) row(r *consumer.Record, sub int, line []byte, when int64) {
	if !b.enricher.Row(b.out.Table) {
		if b.rescued.Valid[b.out.Table.Rows()] {
			b.out.Rescued--
		}
		b.filtered++
		b.partition = append(b.partition, nowhere)
		b.out.Table.EndRow()
		return
	}
	at := r.Arrival.UnixMilli()
	if b.raw != nil {
		b.raw.AppendText(line)
	}
	b.ingest[0].AppendInt(at)
	b.ingest[1].AppendString(b.shard)
	b.ingest[2].AppendString(r.SequenceNumber)
	b.ingest[3].AppendInt(int64(sub))
	if b.p.cfg.Look != nil {
		b.p.cfg.Look.Row(b.out.Table, b.out.Table.Rows(), when)
	}
	flags := b.score(when)
	if b.times.Partition {
		at = when
	}
	partition, err := b.partitions.Partition(at, b.out.Table.Rows(), consumer.MaxFiles-1-b.errorFiles())
	if err != nil {
		partition = nowhere
		b.reject(r, sub, codePartition, err.Error(), line)
	} else {
		for _, flag := range flags {
			b.flagged[flag.Detector]++
			b.abnormal[flag.Detector] = append(b.abnormal[flag.Detector][:0], flag.Key...)
		}
	}
	b.partition = append(b.partition, partition)
	b.out.Table.EndRow()
}

// takeOut removes the rows that go nowhere, from a row on.
func (b *batch) takeOut(first int) {
	stays := func(row int) bool { return b.partition[row] != nowhere }
	b.out.Table.Retain(first, stays)
	b.times.retain(first, stays)
	kept := slices.DeleteFunc(b.partition[first:], func(partition int32) bool { return partition == nowhere })
	b.partition = b.partition[:first+len(kept)]
}

// score asks the detectors about the row that is being completed.
func (b *batch) score(at int64) []anomaly.Flag {
	t := b.out.Table
	verdict := b.engine.Score(t, t.Rows(), at)
	verdict.Append(t, b.verdicts)
	return verdict.Flags
}

// reject keeps a line that is no record, for the error prefix.
func (b *batch) reject(r *consumer.Record, sub int, code, message string, raw []byte) {
	b.rejected[code]++
	b.dropped += int64(len(raw))
	e := &b.errors[unprocessed]
	if transform.Misfit(code) {
		e = &b.errors[unconverted]
	}
	n := int(e.partitions.Number(r.Arrival.UnixMilli()))
	if n == len(e.lines) {
		e.lines = append(e.lines, sink.NewRejects())
	}
	e.lines[n].Append(sink.Reject{
		Arrival: r.Arrival, Code: code, Message: message, Raw: raw, Shard: b.shard, Sequence: r.SequenceNumber, Sub: sub,
	})
}

// errorFiles is the number of files of rejects.
func (b *batch) errorFiles() (n int) {
	for i := range b.errors {
		n += len(b.errors[i].lines)
	}
	return n
}

// full tells why the batch must end, or nothing. Its size is looked at now and then.
func (b *batch) full() (trigger string) {
	if b.partitions.Len()+b.errorFiles() >= consumer.MaxFiles-b.spare {
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
	if b.empty() || b.p.cfg.Look != nil {
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
		if partition != nowhere {
			rows[partition] = append(rows[partition], int32(row))
		}
	}
	var files []consumer.File
	kind, encoded := encoder.Kind(), 0
	for partition, selection := range rows {
		if len(selection) == 0 {
			continue
		}
		if b.p.cfg.Output == sink.OutputParquet {
			b.times.sort(selection)
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
	for _, e := range b.errors {
		for n, lines := range e.lines {
			body, err := lines.Bytes()
			if err != nil {
				return nil, err
			}
			files = append(files, consumer.File{Prefix: e.partitions.Key(int32(n)), Extension: sink.RejectsExtension, ContentType: sink.RejectsType, Body: body})
		}
	}
	return files, nil
}

// describe tells a span what the batch became.
func (b *batch) describe(span *spans.Span, files []consumer.File) {
	if b == nil || span == nil {
		return
	}
	rows, size, rejects := 0, 0, 0
	for _, f := range files {
		rows += f.Rows
		size += len(f.Body)
	}
	for _, n := range b.rejected {
		rejects += n
	}
	span.Int("sluice.rows", rows)
	span.Int("sluice.rejects", rejects)
	span.Int("sluice.files", len(files))
	span.Int("sluice.bytes", size)
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
	m.Skewed(b.times.marked)
	m.Duplicates(b.out.Duplicates)
	m.Filtered(b.filtered)
	m.ExpressionFaults(b.enricher.TakeFaults())
	m.Abnormal(b.lastFlagged())
	for i, d := range b.p.cfg.Detectors {
		m.Anomalies(d.Name, b.flagged[i], b.abnormal[i])
		m.Unusable(d.Name, int(b.engine.Unusable(i)-b.unusable[i]))
		b.unusable[i] = b.engine.Unusable(i)
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
	for i := range b.errors {
		b.errors[i].partitions.Reset()
		b.errors[i].lines = nil
	}
	b.times.reset()
	b.partition, b.records, b.dropped, b.filtered = b.partition[:0], 0, 0, 0
	clear(b.rejected)
	clear(b.flagged)
}
