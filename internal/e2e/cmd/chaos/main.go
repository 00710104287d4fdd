// Command chaos runs the service as several processes while everything around it goes wrong, and tells whether each record
// is visible exactly once; see package chaos. It is run in the folder of its module, from which it builds what it needs:
//
//	cd internal/e2e && GOWORK=off go run ./cmd/chaos --duration 1h --seed 1
//
// The exit status is 0 when every invariant holds, 1 when one does not or the run could not be made, 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-etl/sluice/consumer/kcltest/peers"
	"github.com/sluice-etl/sluice/internal/e2e/chaos"
)

// The exit statuses.
const (
	exitBreach = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	status := run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// usageError is about the command line.
type usageError struct{ error }

func run(ctx context.Context, args []string) int {
	held, err := chaosRun(ctx, args)
	var usage usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "chaos: %v\n", err)
		return exitUsage
	case err != nil:
		fmt.Fprintf(os.Stderr, "chaos: the run could not be made: %v\n", err)
		return exitBreach
	case !held:
		return exitBreach
	}
	return 0
}

func chaosRun(ctx context.Context, args []string) (held bool, err error) {
	o := chaos.Options{Out: os.Stdout}
	var standins, faults, measure, root string
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Uint64Var(&o.Seed, "seed", 0, "the source of everything random (default: the time)")
	flags.DurationVar(&o.Duration, "duration", 10*time.Minute, "how long faults are injected")
	flags.StringVar(&standins, "standins", "ours", "ours, or foreign: kinesalite and dynalite, installed in the folder $"+peers.Env)
	flags.IntVar(&o.Workers, "workers", 2, "processes of the service")
	flags.IntVar(&o.Shards, "shards", 4, "shards of the stream at the start")
	flags.IntVar(&o.Rate, "rate", 200, "records a second")
	flags.StringVar(&faults, "faults", "", "the faults to draw from, separated by commas (default: all: "+strings.Join(chaos.Faults(), ",")+")")
	flags.DurationVar(&o.Failover, "failover", 3*time.Second, "the service's failover time")
	flags.DurationVar(&o.Flush, "flush", 1500*time.Millisecond, "the service's flush interval")
	flags.DurationVar(&o.Longest, "longest", 30*time.Second, "the longest time that a fault lasts")
	flags.DurationVar(&o.Cleaner, "cleaner", 0, "how long to wait at the end until the service's cleaner has run (default: not at all)")
	flags.StringVar(&measure, "measure", "", "measure something instead of injecting faults: "+strings.Join(chaos.Measures(), ", "))
	flags.DurationVar(&o.Outage, "outage", 10*time.Minute, "how long each service is silent in the measure outage")
	flags.IntVar(&o.Passes, "passes", 50, "how often every crash point is reached in the measure crashes")
	flags.StringVar(&o.Dir, "dir", "", "empty `folder` of everything that is left behind (default: a fresh one)")
	flags.StringVar(&root, "root", filepath.Join("..", ".."), "`folder` of the project, from which the commands are built")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return true, err
		}
		return false, usageError{err}
	}
	if flags.NArg() > 0 {
		return false, usageError{fmt.Errorf("%q is not expected", flags.Arg(0))}
	}
	if faults != "" {
		o.Faults = strings.Split(faults, ",")
	}
	switch standins {
	case "ours":
	case "foreign":
		if o.Peers = os.Getenv(peers.Env); o.Peers == "" {
			return false, usageError{fmt.Errorf("--standins foreign needs %s: a folder in which `npm ci` has installed a copy of consumer/kcltest/peers", peers.Env)}
		}
	default:
		return false, usageError{fmt.Errorf("--standins %s: there are ours and foreign", standins)}
	}
	if measure != "" && !slices.Contains(chaos.Measures(), measure) {
		return false, usageError{fmt.Errorf("there is no measure %q; there are %s", measure, strings.Join(chaos.Measures(), ", "))}
	}
	if err := o.Usage(); err != nil {
		return false, usageError{err}
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	if o.Dir, err = folder(o.Dir); err != nil {
		return false, err
	}
	o.Binaries = filepath.Join(o.Dir, "bin")
	if err := os.MkdirAll(o.Binaries, 0o755); err != nil {
		return false, err
	}
	if root, err = filepath.Abs(root); err != nil {
		return false, err
	}
	if err := chaos.Build(ctx, root, o.Binaries); err != nil {
		return false, err
	}
	if measure != "" {
		return chaos.Measure(ctx, measure, o)
	}
	return chaos.Run(ctx, o)
}

// folder makes the folder of a run, and gives its absolute path.
func folder(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "sluice-chaos-")
	}
	return filepath.Abs(dir)
}
