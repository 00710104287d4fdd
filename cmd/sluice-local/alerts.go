package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/sluice-etl/sluice/internal/alert"
)

// board shows alerts on the screen as they come, and keeps how each episode stood last. It is safe for concurrent use.
type board struct {
	screen io.Writer
	before string // what clears the line on which progress is shown

	mu       sync.Mutex
	order    []string // of the episodes' first alerts
	episodes map[string]alert.Alert
}

func newBoard(screen io.Writer, terminal bool) *board {
	b := &board{screen: screen, episodes: map[string]alert.Alert{}}
	if terminal {
		b.before = clearLine
	}
	return b
}

func (b *board) Name() string { return "screen" }

// Send never fails. An alert comes again where its commit was repeated: of an episode the one with the highest number counts.
func (b *board) Send(_ context.Context, a *alert.Alert) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	last, known := b.episodes[a.ID]
	if known && last.Sequence >= a.Sequence {
		return nil
	}
	if !known && a.Phase != alert.Summary {
		b.order = append(b.order, a.ID)
	}
	b.episodes[a.ID] = *a
	what := map[string]string{alert.Opens: "opens", alert.Peaks: "peaks", alert.Closes: "closes after", alert.Summary: "more"}[a.Phase]
	_, err := fmt.Fprintf(b.screen, "%sAlert %s: %s: %s\n", b.before, what, a.Detector, a.Reason)
	return err
}

// all are the episodes, the first one first.
func (b *board) all() []alert.Alert {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := []alert.Alert{}
	for _, id := range b.order {
		all = append(all, b.episodes[id])
	}
	slices.SortStableFunc(all, func(a, b alert.Alert) int { return a.Opened.Compare(b.Opened) })
	return all
}
