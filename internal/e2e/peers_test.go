package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sluice-etl/sluice/consumer/kcltest/peers"
	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// newWorld makes a world of stand-ins that others wrote.
func newWorld(ctx context.Context, t *testing.T) *world.World {
	t.Helper()
	installed := os.Getenv(peers.Env)
	if installed == "" {
		t.Skipf("%s names no installation of kinesalite and dynalite; .ci/run makes one", peers.Env)
	}
	w, err := world.Start(ctx, world.Options{Dir: t.TempDir(), Binaries: binaries, Peers: installed, Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// environment is what a command needs to know of the world.
func environment(w *world.World) []string {
	return append(world.Environment(w.KinesisURL, w.DynamoURL, w.S3URL), "SLUICE_STREAM="+world.Stream, "SLUICE_BUCKET="+world.Bucket)
}

// service starts `sluice run`; settings come after those that it has here, and win.
func service(t *testing.T, w *world.World, name string, settings ...string) *process.Process {
	t.Helper()
	own := []string{"SLUICE_WORKER_ID=" + name, "SLUICE_HTTP_ADDR=" + address(t), "SLUICE_FLUSH_INTERVAL=2s", "SLUICE_FAILOVER_TIME=3s"}
	endpoints := world.Environment(watched(t, w.KinesisURL).URL, watched(t, w.DynamoURL).URL, watched(t, w.S3URL).URL)
	return start(t, name, "sluice", slices.Concat(environment(w), endpoints, own, settings), "run")
}

// newProducer makes a producer whose ledger is in memory.
func newProducer(t *testing.T, w *world.World) (*world.Producer, *check.Ledger) {
	t.Helper()
	ledger := &check.Ledger{}
	return &world.Producer{Client: w.Kinesis, Random: rand.New(rand.NewPCG(seed(t), 1)), Acknowledged: func(taken []world.Taken, _ time.Time) error {
		for _, r := range taken {
			for sub, payload := range r.Payloads {
				if err := ledger.Add(check.NewEntry(r.Shard, r.Seq, int32(sub), r.Key, payload)); err != nil {
					return err
				}
			}
		}
		return nil
	}}, ledger
}

func put(t *testing.T, p *world.Producer, records []world.Record) {
	t.Helper()
	if err := p.Put(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

func output(w *world.World) check.Output {
	return check.Output{
		Dir: w.Bucket, Stream: world.Stream, Prefix: "data/dt=!{timestamp:yyyy-MM-dd}/",
		ErrorPrefix: "errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/", StatePrefix: "_sluice/",
	}
}

// visibleRows is the number of rows and rejects that are visible.
func visibleRows(t *testing.T, v world.Visible, w *world.World) int64 {
	t.Helper()
	n, err := v.Count(w.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPeers puts 100,000 records into 4 shards that two processes read. One process is killed on the way, another takes its
// place, a shard is split and two are merged.
func TestPeers(t *testing.T) {
	const total, bads = 100_000, 100
	ctx := t.Context()
	w := newWorld(ctx, t)
	p, ledger := newProducer(t, w)
	first, second := service(t, w, "first"), service(t, w, "second")
	running := []*process.Process{first, second}
	visible := world.Visible{}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}

	events := []struct {
		at int // records put before it
		do func()
	}{
		{total * 3 / 10, func() { _, err := w.Split(ctx, 0); must(err) }},
		{total * 5 / 10, func() { // killed at work: with something visible, and most not yet
			eventually(t, time.Minute, "the first rows are visible", running, func() bool { return visibleRows(t, visible, w) > 0 })
			first.Kill()
			running = []*process.Process{second}
		}},
		{total * 6 / 10, func() { // the last two
			must(w.Active(ctx))
			open, err := w.Open(ctx)
			must(err)
			_, _, err = w.Merge(ctx, len(open)-2)
			must(err)
		}},
		{total * 8 / 10, func() { running = append(running, service(t, w, "third")) }},
	}
	for at := 0; at < total; at += world.BatchSize {
		for len(events) > 0 && events[0].at <= at {
			events[0].do()
			events = events[1:]
		}
		records := make([]world.Record, world.BatchSize)
		for i := range records {
			if n := at + i; n%(total/bads) == total/bads/2 {
				records[i] = p.MakeBad(n / (total / bads))
			} else {
				records[i] = p.Make()
			}
		}
		put(t, p, records)
	}
	want := int64(ledger.Len())
	t.Logf("%d payloads were acknowledged; %d are visible", want, visibleRows(t, visible, w))
	started := time.Now()
	eventually(t, 2*time.Minute, "all that was acknowledged is visible", running, func() bool { return visibleRows(t, visible, w) >= want })
	t.Logf("all is visible after %v", time.Since(started).Round(time.Millisecond))
	for _, s := range running {
		terminate(t, s)
	}
	report := exact(t, output(w), ledger)
	if report.Unacknowledged != 0 || report.Rejects != bads {
		t.Errorf("%+v; want %d rejects, and nothing that was not acknowledged", report, bads)
	}
	nothingPending(ctx, t, w)
	auditExact(t, w, report)
}

// nothingPending checks that no multipart upload is left.
func nothingPending(ctx context.Context, t *testing.T, w *world.World) {
	t.Helper()
	answer, err := w.S3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String(world.Bucket)})
	if err != nil {
		t.Fatal(err)
	}
	for _, upload := range answer.Uploads {
		t.Errorf("an upload is left: %s", *upload.Key)
	}
}
