package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// finish lets everything go, waits until all is visible, stops the workers, and holds every invariant against what is there.
func (r *run) finish(ctx context.Context) error {
	if _, err := r.calm(ctx); err != nil {
		r.breach("after the last fault: %v", err)
	}
	r.say("")
	if err := r.counters(ctx); err != nil {
		return err
	}
	if err := r.cleaned(ctx); err != nil {
		return err
	}
	contents, err := r.world.Contents(ctx)
	if err != nil {
		return err
	}
	audit, err := ReadJournal(r.journalPath(), contents)
	if err != nil {
		return err
	}
	if _, err := r.catchUp(ctx, int64(audit.Ledger.Len()), r.settling()); err != nil {
		r.breach("at the end: %v", err)
	}
	for _, said := range r.fleet.stop() {
		r.say("%s", said)
	}
	return r.check(ctx, audit)
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

// check holds the invariants against what the stopped service has left. An error is one of the surroundings.
func (r *run) check(ctx context.Context, audit *Audit) error {
	db, err := check.OpenDuckDB()
	if err != nil {
		return err
	}
	defer db.Close()
	duck := check.DuckDB(db)

	exact, err := r.output.Exact(audit.Ledger, duck)
	if err == nil && exact.Unacknowledged > 0 {
		err = fmt.Errorf("%d rows and rejects are of nothing that the stream holds", exact.Unacknowledged)
	}
	r.report("1 2 3 5 8 exactly once, values, partitions, objects, order", fmt.Sprintf(
		"%d records acknowledged, %d more in the stream, %d put in vain; %d rows and %d rejects in %d objects of %d commits",
		audit.Records, audit.Unknown, audit.Lost, exact.Rows, exact.Rejects, exact.Objects, exact.Commits), err)

	parents, err := r.parents(ctx)
	if err != nil {
		return err
	}
	settings := []anomaly.Settings{{Name: detectorName, Kind: "rate", Key: []string{detectorKey}, Window: detectorWindow}}
	rows, flagged, err := flags(r.output, check.Arrow, settings, parents)
	r.report("4 verdicts of the detectors", fmt.Sprintf("%d rows, %d flagged", rows, flagged), err)

	shards, err := r.fleet.shards(ctx, r.direct())
	if err != nil {
		return err
	}
	r.report("5 7 objects and commits, nothing pending", fmt.Sprintf("%d shards", len(shards)), r.output.Commits(shards))

	same, err := r.output.SameInBoth(duck, check.Arrow)
	r.report("6 two readers", fmt.Sprintf("%d rows are the same for DuckDB and Arrow", same), errors.Join(err, r.output.Footers(db)))

	uploads, err := r.uploads(ctx)
	if err != nil {
		return err
	}
	waiting, err := r.output.Uploads(uploads, shards, r.options.Cleaner > 0)
	r.report("7 uploads", fmt.Sprintf("%d wait for the cleaner", waiting), err)
	return nil
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
