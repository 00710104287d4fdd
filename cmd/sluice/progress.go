package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress shows on a terminal, once a second, how far a piece of work is; elsewhere it shows nothing. Its methods are safe
// for concurrent use.
type progress struct {
	w          io.Writer
	quit, done chan struct{}
	once       sync.Once

	mu    sync.Mutex // guards what follows, and the line on the terminal
	part  string
	n     int64
	share float64
	begun time.Time // the part
	shown bool
}

func startProgress(w io.Writer, terminal bool) *progress {
	p := &progress{w: w, quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		if terminal {
			p.run()
		}
	}()
	return p
}

func (p *progress) run() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case now := <-tick.C:
			p.show(now)
		}
	}
}

// set tells how far a part of the work is: what is counted, how many are done, and the share of them, from 0 to 1; 0 also
// while it is not known.
func (p *progress) set(part string, n int64, share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if part != p.part {
		p.part, p.begun = part, time.Now()
	}
	p.n, p.share = n, share
}

func (p *progress) show(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := now.Sub(p.begun)
	if p.part == "" || took <= 0 {
		return
	}
	p.shown = true
	fmt.Fprintf(p.w, "\r\x1b[K%d %s", p.n, p.part)
	if p.share > 0 {
		fmt.Fprintf(p.w, "  %.0f%%", 100*p.share)
	}
	fmt.Fprintf(p.w, "  %.0f/s", float64(p.n)/took.Seconds())
	if p.share > 0 {
		left := time.Duration(float64(took) * (1 - p.share) / p.share)
		fmt.Fprintf(p.w, "  %v left", left.Round(time.Second))
	}
}

// hide takes the line off the terminal, before something else is printed there.
func (p *progress) hide() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// stop ends it, and takes the line off the terminal. It may be called again.
func (p *progress) stop() {
	p.once.Do(func() { close(p.quit) })
	<-p.done
	p.hide()
}
