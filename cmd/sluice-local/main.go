// Command sluice-local runs the service on one machine that has nothing but Go: with stand-ins for Kinesis, DynamoDB,
// S3 and Glue in the process, and a generator of the records of a well-known lab (modules.go): of its module 3
// transactions, one address among which is abnormal. The service is the same as that of the command sluice, with the AWS SDK
// and the Kinesis Client Library; only the endpoints differ.
//
// Everything is kept in one folder. A second run on it goes on where the first one stopped, however that ended.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/service"
)

// The names and the size of what the stand-ins have. The streams are called as the lab calls them.
const (
	bucket = "sluice-local"
	shards = 2
)

func main() {
	ctx, release := ops.UntilSignal()
	defer release()
	err := run(ctx, os.Args[1:])
	var faults config.Faults
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.As(err, &faults) && faults.Usage():
		fmt.Fprintf(os.Stderr, "sluice-local: %v\n", err)
		os.Exit(2)
	case errors.As(err, &faults):
		fmt.Fprintf(os.Stderr, "sluice-local: the configuration is invalid:\n%v\n", err)
		os.Exit(78)
	default:
		fmt.Fprintf(os.Stderr, "sluice-local: %v\n", err)
		os.Exit(1)
	}
}

// options are the flags beside the settings of the service.
type options struct {
	duration time.Duration
	dir      string
	rate     float64
	seed     uint64
	json     bool
	http     string
	module   int
}

func run(ctx context.Context, args []string) error {
	o, cfg, err := parse(args)
	if err != nil {
		return err
	}
	var direct *endpoint
	if modules[o.module].direct {
		if direct, err = newEndpoint(cfg); err != nil {
			return err
		}
	}
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	s, err := service.New(cfg, ops.NewLogger(os.Stderr, cfg.Log, ops.Level(cfg.LogLevel), terminal))
	if err != nil {
		return err
	}
	stand, err := startStandIns(ctx, o.dir, cfg)
	if err != nil {
		return err
	}
	defer stand.close()
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	say("Everything is kept in %s", o.dir)
	s.Listening = func(address string) { say("Status page: http://%s/", address) }
	s.TakingIn = func(address string) {
		say("Direct PUT: http://%s, with a key of %s", address, cfg.IntakeKeysFile)
		if direct != nil {
			direct.address <- address
		}
	}

	// The service stops when everything that was put into the stream was read, or when that takes too long.
	watch := newWatch(s.Metrics)
	s.Observer = watch
	board := newBoard(os.Stderr, terminal)
	s.Receivers = append(s.Receivers, board)
	serviceCtx, stopService := context.WithCancel(context.WithoutCancel(ctx))
	defer stopService()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(serviceCtx) }()
	fed := make(chan error, 1)
	feedCtx, stopFeed := context.WithCancel(ctx)
	defer stopFeed()
	go func() { fed <- stand.feed(feedCtx, o, direct) }()
	progress := startProgress(s.Metrics, terminal)

	var feedErr error
	select {
	case err = <-ended: // by itself: a fault
		stopFeed()
		feedErr = <-fed
	case feedErr = <-fed:
		watch.settle(drainTime)
		stopService()
		err = <-ended
	}
	progress.stop()
	if err = errors.Join(err, feedErr); err != nil {
		return err
	}
	return report(stand, cfg, o, board.all())
}

// usage is a fault of the command line.
func usage(flag, message string) config.Faults {
	return config.Faults{{Key: flag, Source: "flag", Message: message}}
}

// drainTime bounds the wait for the last records; with the service's own time to stop it stays below 20 s.
const drainTime = 8 * time.Second

// parse reads the flags and the settings; those that the lab's module has are defaults. Which module that is, is known only
// when they are read once.
func parse(args []string) (options, *config.Config, error) {
	o, cfg, err := parseAs(args, lab)
	if o.module != lab && !errors.Is(err, flag.ErrHelp) {
		if _, ok := modules[o.module]; !ok {
			return o, nil, usage("--module", fmt.Sprintf("there is no module %d; there are %v", o.module, slices.Sorted(maps.Keys(modules))))
		}
		o, cfg, err = parseAs(args, o.module)
	}
	if err != nil {
		return o, nil, err
	}
	if o.http != "" {
		cfg.HTTPAddr = o.http
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	if o.dir == "" {
		o.dir, err = os.MkdirTemp("", "sluice-local-")
	} else {
		o.dir, err = filepath.Abs(o.dir)
	}
	if modules[o.module].direct {
		cfg.IntakeKeysFile = filepath.Join(o.dir, "keys")
		if cfg.IntakeAddr == "off" {
			cfg.IntakeAddr = "127.0.0.1:0"
		}
	}
	return o, cfg, err
}

func parseAs(args []string, number int) (o options, cfg *config.Config, err error) {
	m := modules[number]
	own := flag.NewFlagSet("sluice-local", flag.ContinueOnError)
	own.DurationVar(&o.duration, "duration", time.Minute, "time to run; 0 until it is stopped")
	own.StringVar(&o.dir, "dir", "", "`folder` of everything, to go on in a later run (default: a fresh one)")
	own.Float64Var(&o.rate, "rate", 1, "multiplies the records a second, of which there are about a hundred")
	own.Uint64Var(&o.seed, "seed", 0, "makes the same records every time; 0: others each time")
	own.BoolVar(&o.json, "json", false, "print the summary as one line of JSON")
	own.StringVar(&o.http, "http", "", "`address` of the status page (default 127.0.0.1, a free port)")
	own.IntVar(&o.module, "module", lab, "`number` of the lab's module")
	defaults := []config.Option{config.Flags(own), config.Require(),
		config.Default("STREAM", m.stream), config.Default("BUCKET", bucket), config.Default("FLUSH_INTERVAL", "10s"), config.Default("FAILOVER_TIME", "2s"),
		config.Default("SHUTDOWN_TIMEOUT", "10s"), config.Default("HTTP_ADDR", "127.0.0.1:0"), config.Default("LOG_LEVEL", "warn")}
	for name, value := range m.settings {
		defaults = append(defaults, config.Default(name, value))
	}
	cfg, err = config.Load(args, os.Environ(), os.ReadFile, defaults...)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print("Usage: sluice-local [FLAGS]\n\n")
		own.SetOutput(os.Stdout)
		own.PrintDefaults()
		fmt.Print("\nThe lab's modules:\n\n", moduleList(), "\nSettings of the service:\n\n", config.Usage())
		return o, nil, err
	}
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return o, nil, err
	}
	if o.duration < 0 {
		faults = append(faults, usage("--duration", "it cannot be negative")...)
	}
	if !(o.rate > 0 && o.rate <= 1e4) {
		faults = append(faults, usage("--rate", "it must be above 0, and at most 10000")...)
	}
	if len(cfg.Args) > 0 {
		faults = append(faults, usage(cfg.Args[0], "it is not expected here; settings are given as --name VALUE")...)
	}
	if cfg.Stream != m.stream || cfg.Bucket != bucket {
		faults = append(faults, config.Fault{Key: "SLUICE_STREAM, SLUICE_BUCKET", Message: "the stand-ins have one stream and one bucket, " + m.stream + " and " + bucket})
	}
	if m.direct && cfg.IntakeKeysFile != "" {
		faults = append(faults, config.Fault{Key: "SLUICE_INTAKE_KEYS_FILE", Message: fmt.Sprintf("module %d makes a file of its own; leave it out", number)})
	}
	if len(faults) > 0 {
		return o, nil, append(faults, service.Check(cfg)...)
	}
	return o, cfg, nil
}
