package chaos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/e2e/canary"
	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// finish lets everything go, waits until all is visible, stops the workers, and gathers what the invariants are held against.
func (r *run) finish(ctx context.Context) (*evidence, error) {
	if _, err := r.drain(ctx); err != nil {
		return nil, err
	}
	if err := r.counters(ctx); err != nil {
		return nil, err
	}
	if err := r.cleaned(ctx); err != nil {
		return nil, err
	}
	audit, err := r.drain(ctx)
	if err != nil {
		return nil, err
	}
	for _, said := range r.fleet.stop() {
		r.say("%s", said)
	}
	return r.gather(ctx, audit)
}

// drain waits until all that the stream holds is visible, also what it holds without having said so. Nobody may be writing.
func (r *run) drain(ctx context.Context) (*Audit, error) {
	contents, err := r.world.Contents(ctx)
	if err != nil {
		return nil, err
	}
	audit, err := ReadJournal(r.journalPath(), contents)
	if err != nil {
		return nil, err
	}
	if _, err := r.catchUp(ctx, int64(audit.Ledger.Len()), r.settling()); err != nil && ctx.Err() == nil {
		r.breach("when nothing was put any more: %v", err)
	}
	return audit, context.Cause(ctx)
}

// finalRecords is how many records the processes get whose counters are compared.
const finalRecords = 2000

// counters starts new processes, which nobody kills, puts records, and holds the counters against what became visible.
func (r *run) counters(ctx context.Context) error {
	before, err := r.rows()
	if err != nil {
		return err
	}
	files := r.objects()
	if _, err := r.rollAtOnce(ctx); err != nil {
		return err
	}
	if err := r.generator.put(ctx, finalRecords); err != nil {
		return err
	}
	if _, err := r.calm(ctx); err != nil {
		r.breach("new processes: %v", err)
		return nil
	}
	var told string
	err = process.Await(ctx, time.Minute, "the counters agree with what is visible", nil, func() (bool, error) {
		after, err := r.rows()
		if err != nil {
			return false, err
		}
		rows, answered := r.fleet.metric(ctx, "sluice_rows_committed_total")
		rejects, _ := r.fleet.metric(ctx, "sluice_records_rejected_total")
		published, _ := r.fleet.metric(ctx, "sluice_files_published_total")
		newFiles := r.objects() - files
		told = fmt.Sprintf("%.0f rows, %.0f rejects and %.0f files by the counters of %d processes; %d rows and rejects and %d files are new",
			rows, rejects, published, answered, after-before, newFiles)
		return int64(rows+rejects) == after-before && int(published) == newFiles, nil
	})
	r.report("9 counters", told, err)
	return nil
}

// rollAtOnce replaces all processes.
func (r *run) rollAtOnce(ctx context.Context) (said []string, err error) {
	for _, w := range r.fleet.workers {
		if err := w.hold(ctx); err != nil {
			return said, err
		}
		said = append(said, w.name()+" "+w.terminate())
	}
	for _, w := range r.fleet.workers {
		err = errors.Join(err, w.start(false))
		w.release()
	}
	return said, err
}

// objects is the number of visible objects that hold records.
func (r *run) objects() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, held := range r.visible {
		if held > 0 {
			n++
		}
	}
	return n
}

// cleaned waits for the service's cleaner, if that is asked for: until no upload is left of an epoch that is over.
func (r *run) cleaned(ctx context.Context) error {
	if r.options.Cleaner == 0 {
		return nil
	}
	err := process.Await(ctx, r.options.Cleaner, "the cleaner has run", nil, func() (bool, error) {
		uploads, err := r.uploads(ctx)
		if err != nil {
			return false, err
		}
		shards, err := r.fleet.shards(ctx, r.direct())
		if err != nil {
			return false, err
		}
		_, left := r.output.Uploads(uploads, shards, true)
		return left == nil, nil
	})
	if err != nil && ctx.Err() == nil {
		r.breach("%v", err)
	}
	return context.Cause(ctx)
}

// uploads lists the multipart uploads that are under way.
func (r *run) uploads(ctx context.Context) ([]check.Upload, error) {
	var list []check.Upload
	pages := s3.NewListMultipartUploadsPaginator(r.world.S3, &s3.ListMultipartUploadsInput{Bucket: aws.String(world.Bucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			list = append(list, check.Upload{Key: aws.ToString(u.Key), ID: aws.ToString(u.UploadId)})
		}
	}
	return list, nil
}

// report prints a line for an invariant; an error is a breach.
func (r *run) report(name, figures string, err error) {
	verdict := "holds "
	if err != nil {
		verdict = "BREACH"
		r.breach("%s: %v", name, err)
	}
	r.say("%s  %s: %s", verdict, name, figures)
}

// evidence is what a run has left, when all has stopped.
type evidence struct {
	dir     string // of all that the run leaves
	output  check.Output
	audit   *Audit
	parents map[int64][]int64 // of each shard
	shards  []check.Shard     // as the service tells of them
	uploads []check.Upload
	cleaned bool // the service's cleaner has run

	// The readers of the files.
	db          *sql.DB
	duck, arrow check.Rows
}

// gather collects the evidence. close lets go of it.
func (r *run) gather(ctx context.Context, audit *Audit) (*evidence, error) {
	e := &evidence{dir: r.options.Dir, output: r.output, audit: audit, cleaned: r.options.Cleaner > 0, arrow: check.Arrow}
	var err error
	if e.parents, err = r.parents(ctx); err != nil {
		return nil, err
	}
	if e.shards, err = r.fleet.shards(ctx, r.direct()); err != nil {
		return nil, err
	}
	if e.uploads, err = r.uploads(ctx); err != nil {
		return nil, err
	}
	if e.db, err = check.OpenDuckDB(); err != nil {
		return nil, err
	}
	e.duck = check.DuckDB(e.db)
	return e, nil
}

func (e *evidence) close() error { return e.db.Close() }

// detectors are those of the service, for the oracle.
func detectors() []anomaly.Settings {
	return []anomaly.Settings{{Name: detectorName, Kind: "rate", Key: []string{detectorKey}, Window: detectorWindow}}
}

// invariant is one, or several that are checked at once, by their numbers in the list of them.
type invariant struct {
	name string
	hold func(*evidence) (figures string, err error) // the error is a breach
}

// invariants are all but that of the counters, which only living processes can tell.
var invariants = []invariant{
	{"1 2 3 5 8 exactly once, values, partitions, objects, order", func(e *evidence) (string, error) {
		exact, err := e.output.Exact(e.audit.Ledger, e.duck)
		if err == nil && exact.Unacknowledged > 0 {
			err = fmt.Errorf("%d rows and rejects are of nothing that the stream holds", exact.Unacknowledged)
		}
		return fmt.Sprintf("%d records acknowledged, %d more in the stream, %d put in vain; %d rows and %d rejects in %d objects of %d commits",
			e.audit.Records, e.audit.Unknown, e.audit.Lost, exact.Rows, exact.Rejects, exact.Objects, exact.Commits), err
	}},
	{"4 verdicts of the detectors", func(e *evidence) (string, error) {
		rows, flagged, err := flags(e.output, e.arrow, detectors(), e.parents)
		return fmt.Sprintf("%d rows, %d flagged", rows, flagged), err
	}},
	{"5 7 objects against commits, nothing pending", func(e *evidence) (string, error) {
		commits, err := e.output.Commits(e.shards)
		return fmt.Sprintf("%d commits of %d shards", commits, len(e.shards)), err
	}},
	{"6 two readers, footers", func(e *evidence) (string, error) {
		rows, err := e.output.SameInBoth(e.duck, e.arrow)
		return fmt.Sprintf("%d rows are the same for DuckDB and Arrow", rows), errors.Join(err, e.output.Footers(e.db))
	}},
	{"7 uploads", func(e *evidence) (string, error) {
		waiting, err := e.output.Uploads(e.uploads, e.shards, e.cleaned)
		return fmt.Sprintf("%d wait for the cleaner", waiting), err
	}},
	{"10 no secret in the files", func(e *evidence) (string, error) {
		places, err := os.ReadDir(e.dir)
		searched := []string{}
		for _, place := range places {
			if slices.Contains([]string{secretsFolder, "bin"}, place.Name()) {
				continue // where they are planted, and the stand-ins, which know them
			}
			leaks, failed := canary.Files(filepath.Join(e.dir, place.Name()))
			for _, leak := range leaks {
				err = errors.Join(err, errors.New(leak))
			}
			err = errors.Join(err, failed)
			searched = append(searched, place.Name())
		}
		return strings.Join(searched, ", "), err
	}},
}

// judge holds every invariant against the evidence, and reports what it finds.
func (r *run) judge(e *evidence) {
	for _, one := range invariants {
		figures, err := one.hold(e)
		r.report(one.name, figures, err)
	}
}

// parents gives the numbers of the shards that each shard continues.
func (r *run) parents(ctx context.Context) (map[int64][]int64, error) {
	shards, err := r.world.Shards(ctx)
	if err != nil {
		return nil, err
	}
	parents := map[int64][]int64{}
	for _, s := range shards {
		child, err := check.ShardNumber(aws.ToString(s.ShardId))
		if err != nil {
			return nil, err
		}
		for _, id := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
			if aws.ToString(id) == "" {
				continue
			}
			parent, err := check.ShardNumber(*id)
			if err != nil {
				return nil, err
			}
			parents[child] = append(parents[child], parent)
		}
	}
	return parents, nil
}

// verdict prints the breaches, or that there is none.
func (r *run) verdict() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.breaches) == 0 {
		r.say("every invariant holds after %v (seed %d)", time.Since(r.begun).Round(time.Second), r.options.Seed)
		return true
	}
	r.say("%d BREACHES (seed %d; everything is kept in %s):", len(r.breaches), r.options.Seed, r.options.Dir)
	for _, b := range r.breaches {
		r.say("- %s", b)
	}
	return false
}
