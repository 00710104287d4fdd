package ops

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Hangups gives a channel on which each SIGHUP is received from now on, of those that come at once the first. On a system
// without this signal nothing comes. release ends that.
func Hangups() (hangups <-chan os.Signal, release func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	return signals, func() { signal.Stop(signals) }
}

// UntilSignal gives a context that ends with the first SIGTERM or interrupt. The second one ends the process at once, with
// status 1: also as the first process of a container, which the kernel spares the signals that it leaves alone. release
// ends that.
func UntilSignal() (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(1)
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}
