package alert

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// GiveUp is how long an alert is tried. Who was not told by then looks at the metrics and the rows, which have all of it.
	GiveUp = 15 * time.Minute

	queueLength = 256              // alerts that wait for a receiver; with the bodies, 4 MiB at most
	attemptTime = 10 * time.Second // of one try
	firstPause  = time.Second      // doubled with each try, and up to so much
	mostPause   = time.Minute      // also of what a receiver asks for
	interval    = time.Minute      // of the bound on episodes that open
	maxMuted    = 10_000           // episodes that are not told one by one, as far as they are remembered
)

// Receiver is told of alerts. It makes one attempt, and keeps to the context. It is called by one goroutine.
type Receiver interface {
	Name() string // a short one, for logs and metrics
	// Send has no error when the receiver has the alert for good. A Refused will not be tried again, a Later not before its time.
	Send(ctx context.Context, a *Alert) error
}

// Refused is the error of an alert that would be refused again.
type Refused struct{ Err error }

func (e Refused) Error() string { return e.Err.Error() }
func (e Refused) Unwrap() error { return e.Err }

// Later is the error of a receiver that asks for a pause.
type Later struct {
	After time.Duration
	Err   error
}

func (e Later) Error() string { return e.Err.Error() }
func (e Later) Unwrap() error { return e.Err }

// Metrics hears what becomes of alerts. Its methods are called concurrently, and do not block.
type Metrics interface {
	AlertSent(receiver string)
	AlertFailed(receiver string)         // an attempt
	AlertDropped(receiver, cause string) // see Causes
	AlertQueue(receiver string, delta int)
	AlertMuted() // an episode is part of a summary
}

// The causes for which alerts are dropped.
const (
	causeFull    = "queue_full"
	causeRefused = "refused"
	causeGaveUp  = "gave_up"
)

// Causes are all there are.
func Causes() []string { return []string{causeFull, causeRefused, causeGaveUp} }

// Config is all required.
type Config struct {
	App, Stream string
	Most        int // episodes that are told one by one in a minute
	Receivers   []Receiver
	Metrics     Metrics
	Log         *slog.Logger
}

// Announcer tells receivers of alerts while it runs. It is safe for concurrent use.
type Announcer struct {
	cfg    Config
	queues []chan *message

	mu     sync.Mutex
	opened int                 // in this interval
	muted  map[string]struct{} // episodes, by their IDs
	more   *Alert              // the summary that is due, or nil
	held   []func()            // to be done with it
}

type message struct {
	*Alert
	left *atomic.Int32 // receivers that have not ended with it
	done func()
}

// New makes an announcer. What is announced before it runs waits.
func New(cfg Config) *Announcer {
	a := &Announcer{cfg: cfg, muted: map[string]struct{}{}}
	for range cfg.Receivers {
		a.queues = append(a.queues, make(chan *message, queueLength))
	}
	return a
}

// Announce takes an alert over, and never blocks. done is called, perhaps by another goroutine, when there is nothing more to do for it:
// when all receivers have it, or it was dropped. Until then it is not safe.
func (a *Announcer) Announce(alert Alert, done func()) {
	alert.App, alert.Stream = a.cfg.App, a.cfg.Stream
	if len(a.queues) == 0 {
		done()
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch _, muted := a.muted[alert.ID]; {
	case muted && alert.Phase == Closes:
		delete(a.muted, alert.ID)
		go done()
		return
	case muted:
		go done()
		return
	case alert.Phase != Opens:
	case a.opened < a.cfg.Most:
		a.opened++
	default:
		a.mute(&alert, done)
		return
	}
	a.enqueue(&alert, done)
}

// mute makes an episode part of the summary.
func (a *Announcer) mute(alert *Alert, done func()) {
	if len(a.muted) < maxMuted {
		a.muted[alert.ID] = struct{}{}
	}
	a.cfg.Metrics.AlertMuted()
	if a.more == nil {
		a.more = &Alert{ID: rand.Text(), Phase: Summary, App: alert.App, Stream: alert.Stream, Opened: alert.Opened, At: alert.At, ByName: map[string]int{}}
	}
	m := a.more
	m.Episodes++
	m.ByName[alert.Detector]++
	if alert.Opened.Before(m.Opened) {
		m.Opened = alert.Opened
	}
	if alert.At.After(m.At) {
		m.At = alert.At
	}
	m.Reason = fmt.Sprintf("%d more keys became abnormal at about the same time, and are not told one by one; the last: %s", m.Episodes, alert.Reason)
	a.held = append(a.held, done)
}

// summarise ends an interval.
func (a *Announcer) summarise() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opened = 0
	if a.more == nil {
		return
	}
	held := a.held
	a.enqueue(a.more, func() {
		for _, done := range held {
			done()
		}
	})
	a.more, a.held = nil, nil
}

func (a *Announcer) enqueue(alert *Alert, done func()) {
	m := &message{alert, new(atomic.Int32), done}
	m.left.Store(int32(len(a.queues)))
	for i, queue := range a.queues {
		name := a.cfg.Receivers[i].Name()
		select {
		case queue <- m:
			a.cfg.Metrics.AlertQueue(name, 1)
		default:
			a.drop(name, causeFull, m, errors.New("the queue is full"))
		}
	}
}

func (a *Announcer) drop(receiver, cause string, m *message, err error) {
	a.cfg.Metrics.AlertDropped(receiver, cause)
	a.cfg.Log.Error("an alert was dropped", "receiver", receiver, "cause", cause, "error", err, "id", m.ID, "phase", m.Phase, "detector", m.Detector)
	m.end()
}

// end counts a receiver off. done is not called by the goroutine that announces, which may hold what done needs.
func (m *message) end() {
	if m.left.Add(-1) == 0 {
		go m.done()
	}
}

// Run tells the receivers until the context ends, and then tries what is queued once more, within grace. What is left was not told, and is
// announced again by whoever goes on.
func (a *Announcer) Run(ctx context.Context, grace time.Duration) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		a.summarise()
		time.AfterFunc(grace, cancel)
	})
	defer stop()
	var all sync.WaitGroup
	for i := range a.queues {
		all.Go(func() { a.serve(ctx, last, a.cfg.Receivers[i], a.queues[i]) })
	}
	if len(a.queues) > 0 {
		all.Go(func() {
			for tick := time.NewTicker(interval); ; {
				select {
				case <-tick.C:
					a.summarise()
				case <-ctx.Done():
					tick.Stop()
					return
				}
			}
		})
	}
	all.Wait()
}

// serve works a receiver's queue off.
func (a *Announcer) serve(ctx, last context.Context, r Receiver, queue chan *message) {
	for {
		select {
		case m := <-queue:
			if !a.deliver(ctx, last, r, m) {
				return
			}
			continue
		default:
		}
		select {
		case m := <-queue:
			if !a.deliver(ctx, last, r, m) {
				return
			}
		case <-ctx.Done():
			if len(queue) == 0 {
				return
			}
		}
	}
}

// deliver tries until the receiver has the alert or it is dropped. It is false where there is no more time for that.
func (a *Announcer) deliver(ctx, last context.Context, r Receiver, m *message) bool {
	defer a.cfg.Metrics.AlertQueue(r.Name(), -1)
	begun, pause := time.Now(), firstPause
	for {
		attempt, cancel := context.WithTimeout(last, attemptTime)
		err := r.Send(attempt, m.Alert)
		cancel()
		if err == nil {
			a.cfg.Metrics.AlertSent(r.Name())
			m.end()
			return true
		}
		a.cfg.Metrics.AlertFailed(r.Name())
		var refused Refused
		switch {
		case errors.As(err, &refused):
			a.drop(r.Name(), causeRefused, m, err)
			return true
		case time.Since(begun) > GiveUp:
			a.drop(r.Name(), causeGaveUp, m, err)
			return true
		}
		wait := pause/2 + mathrand.N(pause/2) // jitter, so that processes do not come back together
		var later Later
		if errors.As(err, &later) {
			wait = min(max(wait, later.After), mostPause)
		}
		a.cfg.Log.Warn("an alert could not be sent, and is tried again", "receiver", r.Name(), "error", err, "after", wait)
		pause = min(2*pause, mostPause)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false
		}
	}
}
