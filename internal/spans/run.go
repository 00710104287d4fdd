package spans

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	giveUp     = time.Minute // a request is tried for so long
	firstPause = time.Second // doubled with each try, and up to so much
	mostPause  = 30 * time.Second
)

// Sender makes one attempt to hand a request to a collector. It is called by one goroutine.
type Sender interface {
	// Send tells how many of the spans the collector did not want. A Later may be tried again, any other error will not.
	Send(ctx context.Context, body []byte) (refused int, err error)
}

// Later is the error of an attempt that may be made again, after some time at the least.
type Later struct {
	After time.Duration // 0: as you like
	Err   error
}

func (e Later) Error() string { return e.Err.Error() }
func (e Later) Unwrap() error { return e.Err }

// Run sends spans until the context ends, and then what is queued, once and within grace.
func (t *Tracer) Run(ctx context.Context, grace time.Duration) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	failing := false
	for {
		spans := t.gather(ctx)
		if len(spans) == 0 {
			return
		}
		err := t.deliver(ctx, last, spans)
		if (err != nil) != failing { // one line for an outage, not one for each request
			failing = err != nil
			if failing {
				t.cfg.Log.Warn("spans are dropped, since the collector does not take them; data goes on", "spans", len(spans), "error", err)
			} else {
				t.cfg.Log.Info("the collector takes spans again")
			}
		}
	}
}

// gather waits for spans, and for more of them so that requests are few. It returns none when the context has ended and nothing is queued.
func (t *Tracer) gather(ctx context.Context) (spans [][]byte) {
	var due <-chan time.Time
	over := ctx.Done()
	for len(spans) < mostSpans {
		select {
		case s := <-t.queue:
			if spans = append(spans, s); due == nil {
				due = time.After(mostWait)
			}
			continue
		default:
		}
		if over == nil {
			break
		}
		select {
		case s := <-t.queue:
			if spans = append(spans, s); due == nil {
				due = time.After(mostWait)
			}
		case <-due:
			return spans
		case <-over:
			over = nil // once more for what came meanwhile
		}
	}
	return spans
}

// deliver tries until the collector has the spans, or they are dropped: then there is an error.
func (t *Tracer) deliver(ctx, last context.Context, spans [][]byte) error {
	body := t.cfg.request(spans)
	for begun, pause := time.Now(), firstPause; ; pause = min(2*pause, mostPause) {
		refused, err := t.cfg.Sender.Send(last, body)
		var later Later
		switch {
		case err == nil && refused > 0:
			t.cfg.Metrics.SpansSent(max(0, len(spans)-refused))
			t.cfg.Metrics.SpansDropped(causeRefused, min(refused, len(spans)))
			return errors.New("the collector refused some spans of a request")
		case err == nil:
			t.cfg.Metrics.SpansSent(len(spans))
			return nil
		case !errors.As(err, &later):
			t.cfg.Metrics.SpansDropped(causeRefused, len(spans))
			return err
		}
		wait := max(later.After, pause/2+rand.N(pause/2)) // jitter, so that processes do not come back together
		if ctx.Err() == nil && time.Since(begun)+wait < giveUp {
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
			}
		}
		t.cfg.Metrics.SpansDropped(causeGaveUp, len(spans))
		return err
	}
}
