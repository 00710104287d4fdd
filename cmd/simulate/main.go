// Command simulate runs the commit protocol through as many bad days as are asked for (see consumer/protocol/simulate).
// It prints what happened in all of them together, also when it is interrupted, and exits with 0; or, of the first day on which a record was lost,
// doubled or mixed up, the seed and everything that happened, and exits with 1.
//
//	go run ./cmd/simulate --seeds 1000000
//	go run ./cmd/simulate --from 17 --seeds 1 --mutation "no fence" --trace
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/sluice-etl/sluice/consumer/protocol/simulate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs until all seeds are done, a fault is found, or the context ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	from := flags.Uint64("from", 1, "the first seed")
	seeds := flags.Uint64("seeds", 20_000, "how many runs")
	mutation := flags.String("mutation", "", "take a part of the protocol away: "+fmt.Sprintf("%q", simulate.Mutations()))
	trace := flags.Bool("trace", false, "tell everything that happens, also in runs without a fault")
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0 || *mutation != "" && !slices.Contains(simulate.Mutations(), simulate.Mutation(*mutation)):
		fmt.Fprintf(stderr, "simulate: %q is not expected; see simulate --help\n", append(flags.Args(), *mutation))
		return 2
	}

	debug.SetGCPercent(400) // many small runs
	var sum simulate.Stats
	var runs uint64
	var first *fault
	var mu sync.Mutex
	var group sync.WaitGroup
	var next, end atomic.Uint64
	next.Store(*from)
	end.Store(*from + *seeds)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for ctx.Err() == nil {
				seed := next.Add(1) - 1
				if seed >= end.Load() {
					return
				}
				options := simulate.Options{Seed: seed, Mutation: simulate.Mutation(*mutation)}
				if *trace {
					options.Trace = stdout
					mu.Lock() // one story after the other
				}
				stats, err := simulate.Run(options)
				if !*trace {
					mu.Lock()
				}
				sum.Add(stats)
				runs++
				if err != nil && (first == nil || seed < first.options.Seed) {
					first = &fault{options, err}
					end.Store(min(end.Load(), seed)) // earlier ones may still be under way
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if first == nil {
		fmt.Fprintf(stdout, "%d runs without a fault: %+v\n", runs, sum)
		return 0
	}
	if !*trace {
		var story bytes.Buffer
		first.options.Trace = &story
		_, _ = simulate.Run(first.options) // it ends as before
		_, _ = story.WriteTo(stdout)
	}
	fmt.Fprintln(stdout, first.err)
	return 1
}

// fault is the first run that went wrong.
type fault struct {
	options simulate.Options
	err     error
}
