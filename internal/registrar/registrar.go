// Package registrar keeps the Glue table of a stream as its files are: its columns, and a partition for each folder.
//
// Of all workers one does this, the one that leads (Config.Leads). It sits beside the data: nothing waits for it, and whatever
// fails is tried again, ever more seldom. It keeps no state that outlives it, and needs none, since what is to be registered
// follows from the bucket:
//
//   - The records of commits tell of new folders at once. They are there as soon as a commit's files are visible, whoever
//     made it and however that process ended.
//   - A walk through the folders themselves, when a worker begins to lead and every few hours, finds all that there is: what
//     was written before there was a table, or while nobody led.
//
// So a process may die between a commit and the registration of its partition: who leads next finds the folder. And as
// registering twice is registering once, two may lead for a while.
//
// It never takes a partition away: that is for who deletes files to do.
package registrar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink/catalog"
)

// Store is where the files and the records are. Its methods are safe for concurrent use; for what they do see audit.Store.
type Store interface {
	List(ctx context.Context, prefix string, object func(key string, size int64, modified time.Time) error, folder func(prefix string) error) error
	Get(ctx context.Context, key string) ([]byte, error)
}

// Metrics hears how it goes. Its methods must not block.
type Metrics interface {
	PartitionsRegistered(n int)    // that were not there before
	CatalogError(operation string) // one of Operations
	CatalogCurrent()               // all that was to be done is done
}

// Config says what is registered where. All fields are required.
type Config struct {
	Names   protocol.Names // of the records
	Store   Store
	Catalog *catalog.Catalog
	Layout  *catalog.Layout
	Output  string // the format of the files; see catalog.Definition

	// Columns lists those of the files that are written now; none while that is not known.
	Columns func(ctx context.Context) ([]columns.Field, error)

	// Leads tells whether this worker is the one of its group to do the work. For a while none or several may be told so.
	Leads func() bool

	Every   time.Duration // how often it looks for something new
	Metrics Metrics
	Log     *slog.Logger
}

// The operations that can fail.
const (
	opSchema     = "schema"     // to read what the workers have agreed on
	opTable      = "table"      // to read, make or extend the table
	opType       = "type"       // to give a column its type: the table has another
	opList       = "list"       // to find folders
	opPartitions = "partitions" // to register them
	opRefused    = "refused"    // a partition that Glue does not want
)

// Operations are the values of the label of a metric.
func Operations() []string {
	return []string{opSchema, opTable, opType, opList, opPartitions, opRefused}
}

const (
	walkEvery = 6 * time.Hour    // what the records did not tell is found then: see recorded
	longest   = 10 * time.Minute // between attempts, when they fail
	clocks    = time.Hour        // how long before its record appears a commit's time may be, or after it by a clock that is wrong
	gap       = clocks / 2       // without a look, after which the records alone would not do
	atOnce    = 8                // calls of the store
	lastRound = time.Second      // for what the last commits before the end made
)

// Registrar is used once. Its fields are for the goroutine of Run alone.
type Registrar struct {
	cfg Config
	now func() time.Time

	told map[string]bool // columns of another type that were logged

	// While this worker leads:
	walked  time.Time                    // when the last walk began; zero: none has succeeded
	looked  time.Time                    // when it last looked for something new, and found all there was
	last    map[string]position          // the last recorded commit of each shard of which the files are in known or waiting
	known   map[string]struct{}          // folders that are registered, or refused
	waiting map[string]catalog.Partition // by their folders
}

// position orders the commits of a shard.
type position struct{ epoch, commit int64 }

func (p position) before(q position) bool {
	return p.epoch < q.epoch || p.epoch == q.epoch && p.commit < q.commit
}

// New makes a registrar.
func New(cfg Config) *Registrar {
	r := &Registrar{cfg: cfg, now: time.Now, told: map[string]bool{}}
	r.forget()
	return r
}

// forget makes it begin anew, with a walk.
func (r *Registrar) forget() {
	r.walked, r.looked, r.last = time.Time{}, time.Time{}, map[string]position{}
	r.known, r.waiting = map[string]struct{}{}, map[string]catalog.Partition{}
}

// Run works until the context ends, and then once more, quickly, for what came last.
func (r *Registrar) Run(ctx context.Context) {
	failures, led := 0, false
	for {
		timer := time.NewTimer(pause(r.cfg.Every, failures))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if led {
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRound)
				defer cancel()
				r.try(last)
			}
			return
		}
		if !r.cfg.Leads() {
			if led {
				r.forget() // others go on, and this worker would not know how far
			}
			failures, led = 0, false
			continue
		}
		led = true
		if r.try(ctx) {
			failures = 0
		} else {
			failures++
		}
	}
}

// pause is the time until the next attempt, after so many failures in a row: not the same for all workers that fail.
func pause(every time.Duration, failures int) time.Duration {
	d := min(every<<min(failures, 16), max(every, longest))
	return d*3/4 + rand.N(d/2)
}

// failure is an error of an operation.
type failure struct {
	operation string
	err       error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(operation string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{operation, err}
}

// try makes one round, and tells whether it succeeded.
func (r *Registrar) try(ctx context.Context) bool {
	err := r.round(ctx)
	var failed *failure
	if errors.As(err, &failed) && ctx.Err() == nil {
		r.cfg.Metrics.CatalogError(failed.operation)
		r.cfg.Log.Warn("the Glue catalog is not up to date; the data is, and this is tried again", "operation", failed.operation,
			"partitions_waiting", len(r.waiting), "error", failed.err)
	}
	return err == nil
}

// round brings the table up to date, and registers what is new since the last round.
func (r *Registrar) round(ctx context.Context) error {
	fields, err := r.cfg.Columns(ctx)
	if err != nil {
		return fail(opSchema, err)
	}
	if len(fields) == 0 {
		return nil // nothing is written yet
	}
	table, err := r.cfg.Catalog.Ensure(ctx, catalog.Definition{Layout: r.cfg.Layout, Fields: fields, Output: r.cfg.Output})
	if err != nil {
		return fail(opTable, err)
	}
	r.tell(table)
	if len(r.cfg.Layout.Keys()) > 0 {
		if err := r.discover(ctx); err != nil {
			return fail(opList, err)
		}
		if err := r.register(ctx, table); err != nil {
			return fail(opPartitions, err)
		}
	}
	r.cfg.Metrics.CatalogCurrent()
	return nil
}

// tell logs what became of the table.
func (r *Registrar) tell(table *catalog.Table) {
	if table.Created {
		r.forget() // one that was there before had its partitions
		r.cfg.Log.Info("made the table in the Glue catalog", "location", r.cfg.Layout.Location(), "partition_keys", r.cfg.Layout.Keys())
	}
	if len(table.Added) > 0 {
		r.cfg.Log.Info("added columns to the table in the Glue catalog", "columns", table.Added)
	}
	for _, column := range table.Differ {
		if !r.told[column] {
			r.told[column] = true
			r.cfg.Metrics.CatalogError(opType)
			r.cfg.Log.Error("the table in the Glue catalog has a column of another type, which is left as it is: queries of it may fail", "column", column)
		}
	}
}

// discover finds partitions that are to be registered. What it found stays known also when it fails on the way.
func (r *Registrar) discover(ctx context.Context) error {
	now := r.now()
	fresh, err := r.recorded(ctx, now)
	if err != nil {
		return err
	}
	if now.Sub(r.walked) >= walkEvery || now.Sub(r.looked) >= gap {
		// It finds the files of all commits that were recorded before it began. What was registered is offered again, in case
		// somebody has made the table anew.
		clear(r.known)
		if err := r.walk(ctx); err != nil {
			return err
		}
		r.walked = now
	} else if err := r.read(ctx, fresh); err != nil {
		return err
	}
	for _, f := range fresh {
		if r.last[f.shard].before(f.position) {
			r.last[f.shard] = f.position
		}
	}
	r.looked = now
	return nil
}

// record is that of a commit.
type record struct {
	key, shard string
	position
}

// recorded lists the records of commits that appeared since the last look. As the commits of a shard are made one after the
// other, each recorded before the next, those that are new are those after the last. It looks at the days of which records
// still come; what comes later than that, after an outage over midnight, is left to the next walk.
func (r *Registrar) recorded(ctx context.Context, now time.Time) (fresh []record, err error) {
	days := []string{now.Add(-clocks).UTC().Format(time.DateOnly), now.UTC().Format(time.DateOnly), now.Add(clocks).UTC().Format(time.DateOnly)}
	for _, day := range slices.Compact(days) {
		err := r.cfg.Store.List(ctx, r.cfg.Names.Records(day), func(key string, _ int64, _ time.Time) error {
			f := record{key: key}
			var ok bool
			f.shard, f.epoch, f.commit, ok = r.cfg.Names.ParseObject(key)
			if ok && r.last[f.shard].before(f.position) {
				fresh = append(fresh, f)
			}
			return nil
		}, nil)
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// read finds the partitions in the records of commits.
func (r *Registrar) read(ctx context.Context, records []record) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, f := range records {
		group.Go(func() error {
			text, err := r.cfg.Store.Get(ctx, f.key)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // somebody removed it; the walk finds what it told
			}
			if err != nil {
				return err
			}
			var commit protocol.Commit
			if err := json.Unmarshal(text, &commit); err != nil {
				r.cfg.Log.Warn("the record of a commit cannot be read; its partitions are found by the next walk", "record", f.key, "error", err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			for _, file := range commit.Files {
				if p, ok := r.cfg.Layout.Partition(file.Key); ok {
					r.found(p)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// walk finds the partitions by listing the folders, a level after the other. Folders that are none of the table's are left out.
func (r *Registrar) walk(ctx context.Context) error {
	folders := []string{r.cfg.Layout.Location()}
	for range r.cfg.Layout.Depth() {
		var mu sync.Mutex
		var below []string
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(atOnce)
		for _, folder := range folders {
			group.Go(func() error {
				return r.cfg.Store.List(ctx, folder, func(string, int64, time.Time) error { return nil }, func(prefix string) error {
					if _, _, ok := r.cfg.Layout.Folder(prefix); ok {
						mu.Lock()
						defer mu.Unlock()
						below = append(below, prefix)
					}
					return nil
				})
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		folders = below
	}
	for _, folder := range folders {
		if p, _, ok := r.cfg.Layout.Folder(folder); ok {
			r.found(p)
		}
	}
	return nil
}

// found notes a partition, unless it is registered.
func (r *Registrar) found(p catalog.Partition) {
	if _, ok := r.known[p.Folder]; !ok {
		r.waiting[p.Folder] = p
	}
}

// register registers what waits, in the order of the folders.
func (r *Registrar) register(ctx context.Context, table *catalog.Table) error {
	var partitions []catalog.Partition
	for _, folder := range slices.Sorted(maps.Keys(r.waiting)) {
		partitions = append(partitions, r.waiting[folder])
	}
	result, err := r.cfg.Catalog.Register(ctx, table, partitions)
	for folder := range r.waiting {
		r.known[folder] = struct{}{}
	}
	clear(r.waiting)
	for _, p := range result.Left {
		delete(r.known, p.Folder)
		r.waiting[p.Folder] = p
	}
	for _, refused := range result.Refused {
		r.cfg.Metrics.CatalogError(opRefused)
		r.cfg.Log.Error("Glue does not want a partition, which is given up: queries do not see it", "error", refused)
	}
	r.cfg.Metrics.PartitionsRegistered(result.New)
	if result.New > 0 {
		r.cfg.Log.Info("registered partitions in the Glue catalog", "new", result.New, "first", strings.TrimSuffix(partitions[0].Folder, "/"),
			"known", result.Known, "left", len(result.Left))
	}
	if err != nil {
		return fmt.Errorf("%d partitions are left: %w", len(result.Left), err)
	}
	return nil
}
