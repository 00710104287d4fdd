// Command sluice reads a Kinesis data stream, flags abnormal records, and writes Parquet to S3, each record once.
//
// Data and machine-readable output go to standard output, everything else to standard error. The exit status is 0
// when it stopped as asked, 1 after a fault while running, 2 for wrong usage, 78 for an invalid configuration.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/licences"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/service"
)

// The exit statuses; the last is EX_CONFIG of sysexits.h.
const (
	exitFault  = 1
	exitUsage  = 2
	exitConfig = 78
)

func main() {
	ctx, release := ops.UntilSignal()
	status := run(ctx, command{
		args: os.Args[1:], environ: os.Environ(), readFile: os.ReadFile,
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, terminal: term.IsTerminal(int(os.Stderr.Fd())),
	})
	release()
	os.Exit(status)
}

// command is what a command has of the world.
type command struct {
	args, environ  []string
	readFile       func(string) ([]byte, error)
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool // standard error is one
}

// commands are those that there are, in the order of the help text.
var commands = []struct {
	name, help string
	run        func(context.Context, command) error
}{
	{"run", "the service; the default", runService},
	{"validate", "check the whole configuration, with --online also the stream, the table, the bucket and the catalog", validate},
	{"config", "print the effective configuration, and where each value came from", printConfig},
	{"backfill", "bring local files through the same stages: FILE..., or - for standard input", runBackfill},
	{"backtest", "try thresholds on the past: FILE... of records or series, or rows that were written (folders, s3://BUCKET/PREFIX)", runBacktest},
	{"generate", "make records from KDG templates", generate},
	{"redrive", "send rejected records to the stream again, each at most once", runRedrive},
	{"schema", "show the columns, of a file of records or as the workers have agreed on them, also for Athena", schema},
	{"shards", "show the shards: owner, position, lag", shards},
	{"trace", "tell where a record of the stream went, row or reject: SHARD SEQUENCE", traceRecord},
	{"audit", "hold what was committed against what lies in the bucket", auditBucket},
	{"health", "ask the running service whether it lives: status 0 if so", health},
	{"version", "print the version, with --licences the licences of all that is in the binary", version},
}

// usageError is about the command line. Its text says what would be right.
type usageError string

func (e usageError) Error() string { return string(e) }

func run(ctx context.Context, c command) (status int) {
	name := "run"
	if len(c.args) > 0 && !strings.HasPrefix(c.args[0], "-") {
		name, c.args = c.args[0], c.args[1:]
	} else if len(c.args) > 0 && (c.args[0] == "-h" || c.args[0] == "--help" || c.args[0] == "-help") {
		name = "help"
	}
	if name == "help" {
		help(c.stdout)
		return 0
	}
	for _, known := range commands {
		if known.name == name {
			return exit(c.stderr, name, known.run(ctx, c))
		}
	}
	fmt.Fprintf(c.stderr, "sluice: there is no command %q\n\n", name)
	help(c.stderr)
	return exitUsage
}

func help(w io.Writer) {
	fmt.Fprintln(w, "sluice: from a Kinesis data stream to Parquet on S3, each record once, the abnormal ones flagged.")
	fmt.Fprintln(w, "\nUsage: sluice [COMMAND] [FLAGS]\n\nCommands:")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.help)
	}
	fmt.Fprintln(w, "\nEvery setting is an environment variable (SLUICE_STREAM), a line of a YAML file given by --config (stream: ...),\n"+
		"and a flag (--stream). sluice COMMAND --help lists the flags; sluice config --docs explains all of them.")
}

// exit reports an error, and gives the status that belongs to it.
func exit(stderr io.Writer, name string, err error) int {
	var faults config.Faults
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &faults):
		fmt.Fprintf(stderr, "sluice %s: the configuration is invalid:\n%s\n", name, faults)
		if faults.Usage() {
			return exitUsage
		}
		return exitConfig
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "sluice %s: %s\n", name, usage)
		return exitUsage
	}
	fmt.Fprintf(stderr, "sluice %s: %v\n", name, err)
	return exitFault
}

// load reads the configuration with a command's own flags, and refuses arguments that the command does not take.
func load(c command, own *flag.FlagSet, args int, options ...config.Option) (*config.Config, error) {
	cfg, err := settings(c, own, args, options...)
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return nil, err
	}
	if faults = append(faults, service.Check(cfg)...); len(faults) > 0 {
		return cfg, faults
	}
	return cfg, nil
}

// settings is load without what the stages have to say, which read the files that settings name.
func settings(c command, own *flag.FlagSet, args int, options ...config.Option) (*config.Config, error) {
	cfg, err := config.Load(c.args, c.environ, c.readFile, append(options, config.Flags(own))...)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(c.stdout, "Usage: sluice %s [FLAGS]\n\n", own.Name())
		own.SetOutput(c.stdout)
		own.PrintDefaults()
		fmt.Fprint(c.stdout, "\nSettings:\n\n", config.Usage())
	}
	if err == nil && len(cfg.Args) > args {
		return nil, usageError(fmt.Sprintf("%q is not expected here; settings are given as --name VALUE", cfg.Args[args]))
	}
	return cfg, err
}

func flags(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ContinueOnError) }

func (c command) logger(cfg *config.Config) *slog.Logger {
	return ops.NewLogger(c.stderr, cfg.Log, ops.Level(cfg.LogLevel), c.terminal)
}

func runService(ctx context.Context, c command) error {
	cfg, err := load(c, flags("run"), 0)
	if err != nil {
		return err
	}
	hangups, release := ops.Hangups()
	defer release()
	level := new(slog.LevelVar)
	level.Set(ops.Level(cfg.LogLevel))
	s, err := service.New(cfg, ops.NewLogger(c.stderr, cfg.Log, level, c.terminal))
	if err != nil {
		return err
	}
	s.Reload = &service.Reload{
		Asked: hangups, Level: level,
		Read: func() (*config.Config, error) { return load(c, flags("run"), 0) },
	}
	return s.Run(ctx)
}

func version(_ context.Context, c command) error {
	own := flags("version")
	own.SetOutput(io.Discard) // what is wrong is told by exit
	var texts bool
	own.BoolVar(&texts, "licences", false, "print the licences and notices of all that is in the binary")
	own.BoolVar(&texts, "licenses", false, "the same")
	switch err := own.Parse(c.args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.stdout, "Usage: sluice version [FLAGS]\n\n")
		own.SetOutput(c.stdout)
		own.PrintDefaults()
		return err
	case err != nil:
		return usageError(err.Error())
	case own.NArg() > 0:
		return usageError(fmt.Sprintf("%q is not expected here", own.Arg(0)))
	case texts:
		_, err := io.WriteString(c.stdout, licences.Text)
		return err
	}
	b := ops.ReadBuild()
	_, err := fmt.Fprintf(c.stdout, "sluice %s\ncommit %s\n%s\n", b.Version, b.Commit, b.Go)
	return err
}
