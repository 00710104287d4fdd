package redrive

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/sink/dir"
)

// bench has rejects in a store, and a stream.
type bench struct {
	t     *testing.T
	store Store
	mu    sync.Mutex
	taken map[string]int // how often the stream has which data
	fails func() error   // if set, is asked after a request was taken
}

var begin = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// newBench makes two files, of 1,200 rejects and of one; every hundredth has another code. One arrives each second.
func newBench(t *testing.T) *bench {
	store, err := dir.New(dir.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, store: store, taken: map[string]int{}}
	for name, n := range map[string]int{"errors/processing-failed/a.json.gz": 1200, "errors/processing-failed/b.json.gz": 1} {
		rejects := sink.NewRejects()
		for i := range n {
			code := "invalid_json"
			if i%100 == 99 {
				code = "empty"
			}
			rejects.Append(sink.Reject{Arrival: begin.Add(time.Duration(i) * time.Second), Code: code, Raw: fmt.Appendf(nil, "%s %d", path.Base(name), i),
				Shard: "shardId-000000000000", Sequence: fmt.Sprint(i)})
		}
		body, err := rejects.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		b.put(name, body)
	}
	b.put("errors/readme.txt", []byte("x"))
	b.put("errors/other.json.gz", []byte("x"))
	return b
}

func (b *bench) put(key string, body []byte) {
	b.t.Helper()
	if err := b.store.Put(b.t.Context(), key, body); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) run(change func(*Config)) (Summary, error) {
	c := Config{
		Store: b.store, Prefix: "errors/", State: "_sluice/redrive/s/", Progress: func(int) {},
		Send: func(_ context.Context, records []consumer.Outgoing) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if len(records) > consumer.MaxPutRecords {
				b.t.Errorf("%d records in a request", len(records))
			}
			for _, r := range records {
				b.taken[string(r.Data)]++
			}
			if b.fails != nil {
				return b.fails()
			}
			return nil
		},
	}
	if change != nil {
		change(&c)
	}
	return Run(b.t.Context(), c)
}

// expect holds a summary, and how many records the stream has how often, against what is wanted.
func (b *bench) expect(s Summary, err error, want Summary, taken ...int) {
	b.t.Helper()
	s.Codes, want.Codes = nil, nil
	if err != nil || fmt.Sprint(s) != fmt.Sprint(want) {
		b.t.Errorf("got %+v, %v; want %+v", s, err, want)
	}
	counts := make([]int, len(taken))
	for data, n := range b.taken {
		if n > len(taken) {
			b.t.Fatalf("%q was sent %d times", data, n)
		}
		counts[n-1]++
	}
	if !slices.Equal(counts, taken) {
		b.t.Errorf("%v records were sent once, twice and so on; want %v", counts, taken)
	}
}

func TestOnce(t *testing.T) {
	b := newBench(t)
	s, err := b.run(func(c *Config) { c.DryRun = true })
	b.expect(s, err, Summary{Files: 2, Records: 1201, Sent: 1201, Others: 2})
	s, err = b.run(func(c *Config) { c.Codes = []string{"empty"} })
	b.expect(s, err, Summary{Files: 1, Records: 12, Sent: 12, Others: 2}, 12)
	s, err = b.run(func(c *Config) { c.To = begin.Add(200 * time.Second) })
	b.expect(s, err, Summary{Files: 2, Records: 201, Sent: 199, Before: 2, Others: 2}, 211)
	s, err = b.run(nil)
	b.expect(s, err, Summary{Files: 2, Records: 1201, Sent: 990, Before: 211, Others: 2}, 1201)
	s, err = b.run(nil)
	b.expect(s, err, Summary{Files: 2, Records: 1201, Before: 1201, Others: 2}, 1201)
	s, err = b.run(func(c *Config) { c.Force, c.From = true, begin.Add(time.Second) })
	b.expect(s, err, Summary{Files: 1, Records: 1199, Sent: 1199, Others: 2}, 2, 1199)
}

// TestCutOff ends a run in the middle of sending: what was being sent is in doubt, and nothing is sent twice.
func TestCutOff(t *testing.T) {
	b := newBench(t)
	fault, requests := errors.New("cut off"), 0
	b.fails = func() error {
		if requests++; requests == 2 {
			return fault
		}
		return nil
	}
	whole := func(c *Config) { c.Prefix = "errors/processing-failed/a" }
	if s, err := b.run(whole); !errors.Is(err, fault) || s.Sent != 500 || s.InDoubt != 500 {
		t.Fatalf("got %+v, %v", s, err)
	}
	b.fails = nil
	s, err := b.run(whole)
	b.expect(s, err, Summary{Files: 1, Records: 1200, Sent: 200, Before: 500, InDoubt: 500}, 1200)
	s, err = b.run(whole)
	b.expect(s, err, Summary{Files: 1, Records: 1200, Before: 700, InDoubt: 500}, 1200)
}

// lost is a store whose answers to claims are lost.
type lost struct{ Store }

func (l lost) Publish(ctx context.Context, key, upload string, etags []string, token string) error {
	return errors.Join(l.Store.Publish(ctx, key, upload, etags, token), errors.New("no answer"))
}

func TestLostAnswers(t *testing.T) {
	b := newBench(t)
	s, err := b.run(func(c *Config) { c.Store = lost{c.Store} })
	b.expect(s, err, Summary{Files: 2, Records: 1201, Sent: 1201, Others: 2}, 1201)
}

// TestTwoAtOnce lets two runs claim the same lines at the same time.
func TestTwoAtOnce(t *testing.T) {
	b := newBench(t)
	var group sync.WaitGroup
	var sums [2]Summary
	for i := range sums {
		group.Go(func() {
			var err error
			if sums[i], err = b.run(nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for data, n := range b.taken {
		if n != 1 {
			t.Errorf("%q was sent %d times", data, n)
		}
	}
	if len(b.taken) != 1201 || sums[0].Sent+sums[1].Sent != 1201 {
		t.Errorf("%d records were sent; the runs tell of %+v", len(b.taken), sums)
	}
	for _, s := range sums {
		if s.Records != 1201 || s.Sent+s.Before+s.InDoubt != 1201 {
			t.Errorf("the sums do not add up: %+v", s)
		}
	}
}

func TestDamagedFile(t *testing.T) {
	b := newBench(t)
	body, err := b.store.Get(t.Context(), "errors/processing-failed/a.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	b.put("errors/processing-failed/a.json.gz", body[:len(body)-100])
	if _, err := b.run(nil); err == nil || !strings.Contains(err.Error(), "a.json.gz") {
		t.Errorf("a truncated file gives %v", err)
	}
}
