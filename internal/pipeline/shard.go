package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/spans"
	"github.com/sluice-etl/sluice/transform"
	"github.com/sluice-etl/sluice/transform/enrich"
)

// Until the schema is settled, records wait for it: for so many of them, or so long.
const (
	sampleRecords = 1000
	sampleTime    = 2 * time.Second
)

// idleInterval is how often a shard to which nothing comes commits that it is read: so that later nobody takes an old
// position for one behind which records were lost.
const idleInterval = time.Hour

// shard is one shard's goroutine.
type shard struct {
	p       *Pipeline
	session Shard
	engine  *anomaly.Engine

	schema  *transform.Schema // nil until it is settled
	sample  Detector          // nil where the schema is declared
	waiting []consumer.Record // for the schema

	batch *batch // nil before the first records
	last  string // the sequence number of the last record in the batch
	due   *time.Timer
	idle  *time.Timer
	until time.Time           // what arrived before is in the batch, or committed; zero: not known
	tip   bool                // the last fetch was all that there was
	begun bool                // a batch has begun in this session
	tuned *[]anomaly.Settings // those of the pipeline that the engine has taken over

	opened time.Time     // when the batch began
	first  string        // the sequence number of the first record in it
	busy   time.Duration // what its records have taken from bytes to rows so far

	told       told
	passedOver uint64 // episodes, as far as they are counted
}

// Process handles one shard, from the session's first record until the shard ends or is given back. With a
// *consumer.Session it is a consumer.Config.Process.
func (p *Pipeline) Process(ctx context.Context, session Shard) error {
	s := &shard{p: p, session: session, due: time.NewTimer(0), idle: time.NewTimer(idleInterval)}
	s.due.Stop()
	defer s.idle.Stop()
	if p.cfg.Schema == nil {
		s.sample = p.cfg.NewDetector(p.reserved()...)
	}
	if err := s.restore(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil { // it may be settled already
		return err
	}
	defer func() { s.batch.reset() }()
	for {
		select {
		case fetch := <-session.Fetches():
			s.tip = fetch.BehindLatest == 0
			if err := s.take(ctx, fetch.Records); err != nil {
				return err
			}
			if fetch.End {
				return s.commit(ctx, "shard_end")
			}
		case <-s.due.C:
			if err := s.expire(ctx); err != nil {
				return err
			}
		case <-s.idle.C:
			if err := s.refresh(ctx); err != nil {
				return err
			}
		case <-session.Stopping():
			return s.commit(ctx, "stop")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// restore loads what the detectors knew at the position where the session begins. A shard that was made by a split or
// a merge continues what its parents knew.
func (s *shard) restore(ctx context.Context) (err error) {
	if s.engine, err = anomaly.NewEngine(s.p.cfg.Detectors); err != nil {
		return err
	}
	if s.p.cfg.Announcer != nil {
		s.engine.Follow(s.session.Shard(), s.p.cfg.Quiet)
	}
	warn := func(err error) {
		s.p.cfg.Metrics.SnapshotLost()
		s.p.cfg.Log.Warn("a snapshot of the detectors was passed over", "shard", s.session.Shard(), "error", err)
	}
	states, inherits, err := s.session.State(ctx, warn)
	if err != nil {
		return err
	}
	for i, state := range states {
		load := s.engine.Restore
		if i > 0 {
			load = s.engine.Merge
		}
		if err := load(state); err != nil {
			warn(err)
		}
	}
	if inherits {
		s.engine.Inherit()
	}
	// They were committed; whether the process that did it came so far as to announce them is not known.
	s.announce(s.engine.Waiting())
	return nil
}

// take adds records to the batch, and commits it as often as it is full. Where the schema is not settled, the records
// wait.
func (s *shard) take(ctx context.Context, records []consumer.Record) error {
	if len(records) == 0 {
		return nil
	}
	size := 0
	for i := range records {
		size += len(records[i].Data)
	}
	s.p.cfg.Metrics.Received(len(records), size)

	if s.schema == nil {
		if len(s.waiting) == 0 {
			s.due.Reset(sampleTime)
		}
		s.waiting = append(s.waiting, records...)
		for i := range records {
			for _, payload := range records[i].User {
				if s.sample.Records() < sampleRecords {
					s.sample.Add(payload)
				}
			}
		}
		if s.sample.Records() < sampleRecords {
			return nil
		}
		return s.settle(ctx)
	}
	return s.add(ctx, records)
}

// expire ends what has lasted long enough: the wait for the schema, or the batch.
func (s *shard) expire(ctx context.Context) error {
	if s.schema == nil {
		return s.settle(ctx)
	}
	return s.commit(ctx, "interval")
}

// refresh commits that the shard is read to its end, where nothing else was to be committed for long.
func (s *shard) refresh(ctx context.Context) error {
	if !s.tip || !s.batch.empty() || len(s.waiting) > 0 {
		s.idle.Reset(idleInterval)
		return nil
	}
	s.until = time.Now()
	return s.commit(ctx, "idle")
}

// settle finds the schema, and takes the records that waited for it. A sample without any record settles nothing: all
// of it is rejected, which no columns change, and committed at once.
func (s *shard) settle(ctx context.Context) error {
	schema, err := s.p.schema(ctx, s.session, s.sample)
	if err != nil {
		return err
	}
	decodes := schema
	if schema == nil {
		unfit := s.sample.Schema()
		decodes = &unfit
	}
	if err := s.begin(schema, *decodes); err != nil {
		return err
	}
	waiting := s.waiting
	s.waiting = nil
	if err := s.add(ctx, waiting); err != nil || schema != nil {
		return err
	}
	return s.commit(ctx, "schema")
}

// begin makes an empty batch for the settled schema, which is nil where none is.
func (s *shard) begin(schema *transform.Schema, decodes transform.Schema) error {
	decoder, err := newDecoder(decodes, s.p.cfg.Schema == nil)
	if err != nil {
		return err
	}
	steps := &s.p.cfg.Enrich
	if schema == nil { // there will be no row
		steps = &enrich.Plan{}
	}
	enricher, err := newEnricher(decodes, decoder, steps)
	if err != nil {
		return fmt.Errorf("the steps of SLUICE_ENRICH do not fit the schema: %w", err)
	}
	if schema != nil {
		if err := s.engine.Bind(enricher.Fields()); err != nil {
			return fmt.Errorf("the detectors do not fit the schema: %w", err)
		}
		if s.p.cfg.Look != nil {
			if err := s.p.cfg.Look.Bind(enricher.Fields()); err != nil {
				return fmt.Errorf("the detectors do not fit the schema: %w", err)
			}
		}
	}
	s.schema, s.batch = schema, newBatch(s.p, s.session.Shard(), stages{decoder, enricher, s.engine})
	if schema == nil {
		return nil // no row comes of it
	}
	return s.batch.bind()
}

// evolve goes over to a newer version of the schema, if there is one: this shard's records may ask for it, or another worker
// may have made it. The batch is empty. What the detectors know is by the values of columns, and stays.
func (s *shard) evolve(ctx context.Context) error {
	if s.schema == nil {
		return nil
	}
	var found []transform.Field
	if l, ok := s.batch.decoder.(learner); ok {
		found = l.Additions()
	}
	newer, err := s.p.newer(ctx, s.session, s.schema, found)
	if err != nil || newer == nil {
		return err
	}
	shrinks := s.batch.shrinks
	err = s.begin(newer, *newer)
	s.batch.shrinks = shrinks
	return err
}

// add appends records to the batch. A batch ends between two records, never within one.
func (s *shard) add(ctx context.Context, records []consumer.Record) error {
	begun := time.Now()
	for i := range records {
		if s.batch.empty() {
			if err := s.tune(); err != nil {
				return err
			}
			s.due.Reset(s.wait(&records[i]))
			s.opened, s.first = time.Now(), records[i].SequenceNumber
		}
		s.batch.add(&records[i])
		s.last, s.until = records[i].SequenceNumber, records[i].Arrival
		if trigger := s.batch.full(); trigger != "" {
			s.busy += time.Since(begun)
			if err := s.commit(ctx, trigger); err != nil {
				return err
			}
			begun = time.Now()
		}
	}
	s.busy += time.Since(begun)
	if s.batch.empty() {
		return nil
	}
	if trigger := s.batch.overflow(); trigger != "" {
		return s.commit(ctx, trigger)
	}
	return nil
}

// tune takes over what Pipeline.Tune was given since the last batch.
func (s *shard) tune() error {
	tuned := s.p.tuned.Load()
	if tuned == s.tuned {
		return nil
	}
	s.tuned = tuned
	return s.engine.Tune(*tuned)
}

// wait is how long a batch may stay open that begins with a record. The records of a session's first one may have waited
// before, for the shard to change hands: that time counts, so that a crash delays no row by more than it must.
func (s *shard) wait(first *consumer.Record) time.Duration {
	interval := s.p.cfg.FlushInterval
	if s.begun {
		return interval
	}
	s.begun = true
	// The arrival is by another machine's clock. At worst the first batch is a small one.
	return interval - min(max(time.Since(first.Arrival), 0), interval)
}

// meet tells the detectors what the other shards told last. It is done right before a snapshot is taken, and nowhere else: so the
// view that records are judged by is saved with the position before the first of them, and whoever reads them again from there judges
// them by the same.
func (s *shard) meet() {
	if !anomaly.Streamwide(s.p.cfg.Detectors) {
		return
	}
	summaries, ok := s.session.Peers()
	if !ok { // what is known of them stays until it has left the window
		s.p.cfg.Metrics.PeersLost()
		return
	}
	if err := s.engine.SetPeers(summaries); err != nil {
		s.p.cfg.Metrics.PeersLost()
		s.p.cfg.Log.Warn("what another shard tells was passed over", "shard", s.session.Shard(), "error", err)
	}
}

// commit makes what was taken since the last commit durable and visible, together with the position after it and what
// the detectors know there.
func (s *shard) commit(ctx context.Context, trigger string) error {
	if len(s.waiting) > 0 {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	finished := trigger == "shard_end"
	if s.batch.empty() && !finished && trigger != "idle" {
		return nil
	}
	s.due.Stop()
	s.idle.Reset(idleInterval)
	span := s.span(trigger)
	err := s.publish(spans.With(ctx, span), trigger)
	span.End(err)
	if err != nil || finished || trigger == "stop" {
		return err
	}
	return s.evolve(ctx)
}

// span is that of the batch as it ends, or nil.
func (s *shard) span(trigger string) *spans.Span {
	if s.batch.empty() {
		s.opened, s.first, s.busy = time.Now(), "", 0
	}
	span := s.p.cfg.Spans.Batch("batch", s.opened)
	if span == nil {
		return nil
	}
	span.Text("sluice.shard", s.session.Shard())
	span.Text("sluice.trigger", trigger)
	if !s.batch.empty() {
		span.Text("sluice.sequence.first", s.first)
		span.Text("sluice.sequence.last", s.last)
		span.Int("sluice.records", s.batch.records)
		parse := span.First("parse")
		parse.Float("sluice.busy_seconds", s.busy.Seconds()) // the rest of it is waiting for records
		parse.End(nil)
	}
	return span
}

// publish is commit for what there is to be committed.
func (s *shard) publish(ctx context.Context, trigger string) error {
	encode := spans.Of(ctx).Child("encode")
	files, err := s.batch.files(ctx)
	encode.End(err)
	if err != nil {
		return err
	}
	b := consumer.Batch{Checkpoint: s.last, ReadUntil: s.until, Finished: trigger == "shard_end", Files: files, Trigger: trigger}
	s.batch.describe(spans.Of(ctx), files)
	if s.schema != nil {
		b.Schema = s.schema.Version
	}
	if len(s.p.cfg.Detectors) > 0 {
		s.told.take(s.engine.Told)
		s.engine.Settle()
		s.meet()
		b.State = s.engine.Snapshot(nil)
		b.Summary = anomaly.SummarySize(b.State)
	}
	if err := s.session.Commit(ctx, b); err != nil {
		return err
	}
	// A crash here loses no notice: the snapshot has it, and whoever goes on announces it.
	s.announced()
	s.batch.committed()
	s.batch.reset()
	s.busy = 0
	return nil
}
