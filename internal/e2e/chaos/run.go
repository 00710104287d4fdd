package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/canary"
	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// Options say what to run. All fields are required unless they say otherwise.
type Options struct {
	Dir      string // absolute folder of everything that a run leaves, which is empty or missing
	Binaries string // folder of the commands; see Build
	Peers    string // optional: folder in which kinesalite and dynalite are installed; empty: our own stand-ins
	Seed     uint64
	Duration time.Duration // of the faults
	Workers  int
	Shards   int
	Rate     int      // records a second
	Faults   []string // optional: names of those to draw from; empty: all

	Failover time.Duration // of the service
	Flush    time.Duration // of the service
	Longest  time.Duration // the longest time that a fault lasts
	Cleaner  time.Duration // optional: how long to wait at the end for the service's cleaner; 0: it is not waited for
	Outage   time.Duration // of the measure outage
	Passes   int           // of the measure crashes

	Out io.Writer // gets a line for each fault, and the verdict
}

// Usage tells what is wrong with the options that a person gives; nil if nothing is.
func (o Options) Usage() error {
	for _, name := range o.Faults {
		if !slices.Contains(Faults(), name) {
			return fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(Faults(), ", "))
		}
	}
	switch {
	case o.Duration < 0:
		return errors.New("the duration cannot be negative")
	case o.Workers < 1:
		return errors.New("one worker at least is needed")
	case o.Shards < 1:
		return errors.New("one shard at least is needed")
	case o.Rate < 1:
		return errors.New("the rate is one record a second at least")
	case o.Failover < time.Second || o.Flush < 100*time.Millisecond:
		return errors.New("the failover time is 1s at least, the flush interval 100ms")
	}
	return nil
}

// Build builds the commands that a run needs into a folder; root is the folder of the project.
func Build(ctx context.Context, root, dir string) error {
	return process.Build(ctx, dir, append(world.Commands(root),
		process.Command{Folder: root, Work: "off", Target: "./cmd/sluice", Tags: "chaos"})...)
}

// The sources of randomness of a run, each of its own, so that one does not change another.
const (
	streamOfGenerator = iota + 1
	streamOfAnswers
	streamOfSchedule
	streamOfFaults // and on, one for each fault
)

// The service's settings.
const (
	prefix      = "data/dt=!{timestamp:yyyy-MM-dd}/minute=!{timestamp:HH-mm}/" // more partitions than a day gives
	errorPrefix = "errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/"
	statePrefix = "_sluice/"
	shutdown    = 10 * time.Second

	detectorName   = "loud"
	detectorKey    = "key"
	detectorWindow = 20 * time.Second
)

// secretsFolder is where the files of secrets lie, of all that a run leaves.
const secretsFolder = "secrets"

// nobody takes what is posted there: each alert is tried again and again, and each failure is logged without the address.
const nobody = "http://127.0.0.1:1"

// run is everything of one run.
type run struct {
	options   Options
	world     *world.World
	proxies   *proxies
	answers   *s3Answers
	fleet     *fleet
	journal   *Journal
	generator *generator
	output    check.Output
	begun     time.Time

	generating bool // the generator runs

	mu       sync.Mutex
	visible  world.Visible // what is visible, under mu
	breaches []string      // under mu
}

// start makes everything but the workers.
func start(ctx context.Context, o Options) (r *run, err error) {
	r = &run{options: o, begun: time.Now(), visible: world.Visible{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	logs := filepath.Join(o.Dir, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return r, err
	}
	if r.world, err = world.Start(ctx, world.Options{Dir: o.Dir, Binaries: o.Binaries, Peers: o.Peers, Shards: o.Shards}); err != nil {
		return r, err
	}
	if r.answers, err = startAnswers(r.world.S3URL, o.Seed); err != nil {
		return r, err
	}
	if r.proxies, err = startProxies(r.world.KinesisURL, r.world.DynamoURL, r.answers.url); err != nil {
		return r, err
	}
	r.output = check.Output{Dir: r.world.Bucket, Stream: world.Stream, Prefix: prefix, ErrorPrefix: errorPrefix, StatePrefix: statePrefix}
	if r.journal, err = newJournal(r.journalPath(), r.output.Partition); err != nil {
		return r, err
	}
	r.generator = newGenerator(r.world, r.journal, o.Rate, o.Seed)
	secrets := filepath.Join(o.Dir, secretsFolder)
	if err := os.Mkdir(secrets, 0o700); err != nil {
		return r, err
	}
	planted, err := canary.Plant(secrets)
	if err != nil {
		return r, err
	}
	alerts, err := canary.PlantAlerts(secrets, nobody)
	if err != nil {
		return r, err
	}
	r.fleet = &fleet{
		binary: filepath.Join(o.Binaries, "sluice"), dir: logs, flush: o.Flush, shutdown: shutdown, breach: r.breach,
		env: append(world.Environment(r.proxies.kinesis.url, r.proxies.dynamo.url, r.proxies.s3.url), slices.Concat(r.settings(), planted, alerts)...),
	}
	return r, nil
}

// settings are those of the service that all its processes have.
func (r *run) settings() []string {
	return []string{
		"SLUICE_STREAM=" + world.Stream, "SLUICE_BUCKET=" + world.Bucket, "SLUICE_PREFIX=" + prefix, "SLUICE_ERROR_PREFIX=" + errorPrefix,
		"SLUICE_STATE_PREFIX=" + statePrefix, "SLUICE_FAILOVER_TIME=" + r.options.Failover.String(), "SLUICE_SHUTDOWN_TIMEOUT=" + shutdown.String(),
		"SLUICE_ANOMALY_DETECTORS=" + detectorName, "SLUICE_ANOMALY_LOUD_KIND=rate", "SLUICE_ANOMALY_LOUD_KEY=" + detectorKey,
		"SLUICE_ANOMALY_LOUD_WINDOW=" + detectorWindow.String(), "SLUICE_LOG=json", "SLUICE_LOG_LEVEL=debug",
	}
}

// direct is the environment that leads around the proxies.
func (r *run) direct() []string {
	return world.Environment(r.world.KinesisURL, r.world.DynamoURL, r.world.S3URL)
}

func (r *run) journalPath() string { return filepath.Join(r.options.Dir, "journal.jsonl") }

// close ends everything that was started.
func (r *run) close() error {
	var errs []error
	if r.fleet != nil {
		r.fleet.kill()
	}
	if r.proxies != nil {
		r.proxies.stop()
	}
	if r.answers != nil {
		r.answers.stop()
	}
	if r.world != nil {
		errs = append(errs, r.world.Close())
	}
	if r.journal != nil {
		errs = append(errs, r.journal.Close())
	}
	return errors.Join(errs...)
}

// breach notes that something is not as it must be.
func (r *run) breach(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breaches = append(r.breaches, fmt.Sprintf(format, args...))
}

// breached is the number of breaches so far.
func (r *run) breached() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.breaches)
}

func (r *run) say(format string, args ...any) { fmt.Fprintf(r.options.Out, format+"\n", args...) }

// since is the time since the run began, for a line.
func (r *run) since(at time.Time) string { return fmt.Sprintf("%7.1fs", at.Sub(r.begun).Seconds()) }

// rows is the number of rows and rejects that are visible now.
func (r *run) rows() (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.visible.Count(r.world.Bucket)
}

// catchUp waits until as many payloads are visible as given, and tells how long that took.
func (r *run) catchUp(ctx context.Context, want int64, limit time.Duration) (time.Duration, error) {
	begun := time.Now()
	var have int64
	err := process.Await(ctx, limit, "what was acknowledged is visible", nil, func() (ok bool, err error) {
		have, err = r.rows()
		return have >= want, err
	})
	if err != nil {
		err = fmt.Errorf("%w: %d of %d", err, have, want)
	}
	return time.Since(begun), err
}

// settling is how long the fleet may take to catch up when nothing goes wrong any more: failovers, the service's longest
// pause between tries, an attempt that hangs until it is given up, on a machine under load.
func (r *run) settling() time.Duration { return 2*time.Minute + 6*r.options.Failover }

// Run runs the service under faults, prints what happens, and tells whether every invariant holds. An error is one of the
// program or its surroundings: then nothing is known of the service.
func Run(ctx context.Context, o Options) (held bool, err error) {
	r, err := start(ctx, o)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	e, err := r.underFaults(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	r.judge(e)
	return r.verdict(), nil
}

// underFaults runs the service, and gives what is left of it.
func (r *run) underFaults(ctx context.Context) (*evidence, error) {
	o := r.options
	r.say("seed %d, %d workers, %d shards, %d records a second; everything is kept in %s", o.Seed, o.Workers, o.Shards, o.Rate, o.Dir)
	if err := r.fleet.start(o.Workers); err != nil {
		return nil, err
	}
	stopGenerator := r.generate(ctx)
	if err := errors.Join(r.storm(ctx), stopGenerator()); err != nil {
		return nil, err
	}
	return r.finish(ctx)
}

// generate starts the generator; stop ends it.
func (r *run) generate(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	r.generating = true
	go func() { ended <- r.generator.run(ctx) }()
	return func() error {
		cancel()
		r.generating = false
		return <-ended
	}
}

// storm injects faults until the time is over, and waits after each until all is well again.
func (r *run) storm(ctx context.Context) error {
	random := rand.New(rand.NewPCG(r.options.Seed, streamOfSchedule))
	if len(r.shuffled(random)) == 0 {
		return errors.New("none of the faults asked for can be injected into these stand-ins")
	}
	var deck []fault
	number := uint64(streamOfFaults)
	// The service has begun when something is visible: from then on it must not end by itself.
	if _, err := r.calm(ctx); err != nil {
		r.breach("before the first fault: %v", err)
	}
	for time.Since(r.begun) < r.options.Duration && r.breached() == 0 {
		for len(deck) < 2 {
			deck = append(deck, r.shuffled(random)...) // each comes once before one comes again
		}
		count := 1
		if random.IntN(3) == 0 && deck[0].class != deck[1].class {
			count = 2
		}
		err := r.inject(ctx, deck[:count], number, time.Duration(random.Int64N(int64(2*time.Second))))
		if err != nil {
			return err
		}
		deck, number = deck[count:], number+uint64(count)
	}
	return context.Cause(ctx)
}

// shuffled gives the faults to draw from, in a random order.
func (r *run) shuffled(random *rand.Rand) []fault {
	list := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool {
		return f.ours && !r.world.Ours() || len(r.options.Faults) > 0 && !slices.Contains(r.options.Faults, f.name)
	})
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// inject lets faults happen, the second one a little after the first, waits until all is well again, and prints a line for each.
func (r *run) inject(ctx context.Context, list []fault, number uint64, apart time.Duration) error {
	events, begun, errs := make([]event, len(list)), make([]time.Time, len(list)), make([]error, len(list))
	before, _ := r.fleet.metric(ctx, "sluice_aws_errors_total")
	var wait sync.WaitGroup
	for i, f := range list {
		if i > 0 {
			pause(ctx, apart)
		}
		begun[i] = time.Now()
		wait.Go(func() {
			events[i], errs[i] = f.inject(ctx, r, rand.New(rand.NewPCG(r.options.Seed, number+uint64(i))))
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	after, _ := r.fleet.metric(ctx, "sluice_aws_errors_total")
	took, err := r.calm(ctx)
	if err != nil && ctx.Err() == nil {
		if dead := r.world.Answers(ctx); dead != nil {
			return fmt.Errorf("a stand-in answers no more, at %s: %w", r.since(time.Now()), dead)
		}
	}
	well := fmt.Sprintf("caught up after %v", took.Round(100*time.Millisecond))
	if err != nil && ctx.Err() == nil {
		well = "DID NOT CATCH UP"
	}
	if n := after - before; n > 0 { // processes that were started again count from zero
		well = fmt.Sprintf("%.0f failed attempts; %s", n, well)
	}
	for i, f := range list {
		overlap := ""
		if i > 0 {
			overlap = "+ "
		}
		e := events[i]
		if e.seen != "" {
			e.seen += "; "
		}
		r.say("%s  %-18s %-28s %s: %s", r.since(begun[i]), overlap+f.name, e.target, e.parameters, e.seen+well)
		if err != nil && ctx.Err() == nil {
			r.breach("after %s of %s (%s): %v", f.name, e.target, e.parameters, err)
		}
	}
	return context.Cause(ctx)
}

// calm waits until all that is acknowledged now is visible, and tells how long that took; and then, where the generator
// runs, until what is put from now on becomes visible, too.
func (r *run) calm(ctx context.Context) (time.Duration, error) {
	took, err := r.catchUp(ctx, r.journal.Acknowledged(), r.settling())
	if err == nil && r.generating {
		_, err = r.catchUp(ctx, r.journal.Acknowledged()+int64(r.options.Rate), r.settling())
	}
	return took, err
}
