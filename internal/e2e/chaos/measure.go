package chaos

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/process"
)

// measure is something that can be measured. Its figures are printed; its error is one of the surroundings.
type measure struct {
	name    string
	adjust  func(*Options) // the settings that belong to it
	stopped bool           // it starts the workers itself
	run     func(context.Context, *run) error
}

// measures are all that there are.
var measures = []measure{
	{name: "failover", adjust: func(o *Options) { o.Failover, o.Flush, o.Workers = 10*time.Second, time.Second, 2 }, run: measureFailover},
	{name: "restart", adjust: func(o *Options) { o.Failover, o.Flush, o.Workers = 10*time.Second, 300*time.Millisecond, 2 }, run: measureRestart},
	{name: "sigterm", adjust: func(o *Options) { o.Workers = 1 }, run: measureTerm},
	{name: "backlog", stopped: true, run: measureBacklog},
	{name: "outage", run: measureOutage},
	{name: "memory", run: measureMemory},
	{name: "crashes", adjust: func(o *Options) { o.Failover, o.Flush, o.Workers = time.Second, 300*time.Millisecond, 2 }, run: measureCrashes},
}

// Measures are the names of what can be measured.
func Measures() []string {
	var names []string
	for _, m := range measures {
		names = append(names, m.name)
	}
	return names
}

// Measure measures, prints the figures, and checks the invariants as Run does.
func Measure(ctx context.Context, name string, o Options) (held bool, err error) {
	at := slices.IndexFunc(measures, func(m measure) bool { return m.name == name })
	if at < 0 {
		return false, fmt.Errorf("there is no measure %q; there are %s", name, strings.Join(Measures(), ", "))
	}
	m := measures[at]
	if m.adjust != nil {
		m.adjust(&o)
	}
	r, err := start(ctx, o)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	r.say("measure %s: seed %d, %d shards, %d records a second, failover time %v, flush interval %v; everything is kept in %s",
		name, o.Seed, o.Shards, o.Rate, o.Failover, o.Flush, o.Dir)
	if !m.stopped {
		if err := r.fleet.start(o.Workers); err != nil {
			return false, err
		}
	}
	if err := m.run(ctx, r); err != nil {
		return false, fmt.Errorf("measure %s: %w", name, err)
	}
	e, err := r.finish(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	r.judge(e)
	return r.verdict(), nil
}

// steady lets the generator run while do does something, beginning when the service has begun.
func (r *run) steady(ctx context.Context, do func() error) error {
	stop := r.generate(ctx)
	if _, err := r.calm(ctx); err != nil {
		return errors.Join(err, stop())
	}
	return errors.Join(do(), stop())
}

// sample is a list of durations that were measured.
type sample []time.Duration

// quantile is the smallest value that so large a part of the sample does not exceed.
func (s sample) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(len(sorted)-1, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func (s sample) String() string {
	return fmt.Sprintf("%d values: median %v, p99 %v, worst %v", len(s), s.quantile(.5).Round(time.Millisecond),
		s.quantile(.99).Round(time.Millisecond), s.quantile(1).Round(time.Millisecond))
}

// commits watches the bucket's folder, where an object's name tells its shard, epoch and commit.
type commits struct {
	dir  string
	last map[string]time.Time // when a shard's last commit became visible
	seen map[string]bool      // objects
	gaps map[string]sample    // between the commits of a shard
}

var commitName = regexp.MustCompile(`-(\d{12})-e\d+-c\d+-\d+\.`)

func watchCommits(dir string) (*commits, error) {
	c := &commits{dir: dir, last: map[string]time.Time{}, seen: map[string]bool{}}
	err := c.look()
	c.gaps = map[string]sample{}
	return c, err
}

// look notes what has become visible. Files of one commit that are seen at once are one commit.
func (c *commits) look() error {
	paths, err := filepath.Glob(filepath.Join(c.dir, "data", "*", "*", "*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		match := commitName.FindStringSubmatch(path)
		if match == nil || c.seen[path] {
			continue
		}
		c.seen[path] = true
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		at := info.ModTime()
		if before, ok := c.last[match[1]]; ok && at.After(before) {
			if c.gaps != nil {
				c.gaps[match[1]] = append(c.gaps[match[1]], at.Sub(before))
			}
		}
		if at.After(c.last[match[1]]) {
			c.last[match[1]] = at
		}
	}
	return nil
}

// watch looks until done says so.
func (c *commits) watch(ctx context.Context, limit time.Duration, what string, done func() bool) error {
	return process.Await(ctx, limit, what, nil, func() (bool, error) { return done(), c.look() })
}

// each gives a quantile of the gaps of each shard.
func (c *commits) each(quantile float64) (s sample) {
	for _, gaps := range c.gaps {
		s = append(s, gaps.quantile(quantile))
	}
	return s
}

// measureFailover kills one of two workers, again and again, and measures the longest gap between two commits of a shard.
func measureFailover(ctx context.Context, r *run) error {
	const rounds = 7
	random := rand.New(rand.NewPCG(r.options.Seed, streamOfSchedule))
	return r.steady(ctx, func() error {
		var times sample
		for round := range rounds {
			if err := r.balanced(ctx); err != nil {
				return err
			}
			c, err := watchCommits(r.world.Bucket)
			if err != nil {
				return err
			}
			w, release, err := r.fleet.hold(ctx, random)
			if err != nil {
				return err
			}
			w.current().Kill()
			killed := time.Now()
			// All shards have a commit again after the kill when the other worker has them.
			first := map[string]time.Time{}
			err = c.watch(ctx, 2*time.Minute, "every shard has a commit after the kill", func() bool {
				for shard, at := range c.last {
					if _, ok := first[shard]; !ok && at.After(killed.Add(r.options.Flush/10)) {
						first[shard] = at
					}
				}
				return len(first) >= r.options.Shards
			})
			if err == nil {
				var longest time.Duration
				for _, at := range first {
					longest = max(longest, at.Sub(killed))
				}
				times = append(times, longest)
				r.say("round %d: %s killed; the last of its shards commits %v after", round+1, w.name(), longest.Round(time.Millisecond))
				err = w.start(false)
			}
			release()
			if err != nil {
				return err
			}
		}
		r.say("failover: from SIGKILL to the next commit of each of its shards, at a failover time of %v: %v", r.options.Failover, times)
		return nil
	})
}

// balanced waits until each worker holds its part of the shards.
func (r *run) balanced(ctx context.Context) error {
	return process.Await(ctx, 3*time.Minute, "each worker holds its part of the shards", nil, func() (bool, error) {
		for _, w := range r.fleet.workers {
			r.fleet.mu.Lock()
			address := w.address
			r.fleet.mu.Unlock()
			owned, err := process.Metric(ctx, address, "sluice_leases_owned")
			if err != nil || len(owned) != 1 || int(owned[0]) < r.options.Shards/len(r.fleet.workers) {
				return false, nil // it may not serve yet
			}
		}
		return true, nil
	})
}

// measureRestart restarts the workers by SIGTERM, one after another, and measures the gaps between commits of a shard.
func measureRestart(ctx context.Context, r *run) error {
	const rounds = 5
	return r.steady(ctx, func() error {
		if err := r.balanced(ctx); err != nil {
			return err
		}
		c, err := watchCommits(r.world.Bucket)
		if err != nil {
			return err
		}
		stopped := make(chan error, 1)
		go func() {
			for range rounds {
				for _, w := range r.fleet.workers {
					if err := w.hold(ctx); err != nil {
						stopped <- err
						return
					}
					w.terminate()
					err := w.start(false)
					w.release()
					if err == nil {
						err = r.balanced(ctx)
					}
					if err != nil {
						stopped <- err
						return
					}
				}
			}
			stopped <- nil
		}()
		var ended error
		over := false
		err = c.watch(ctx, 30*time.Minute, "the restarts are over", func() bool {
			select {
			case ended = <-stopped:
				over = true
			default:
			}
			return over
		})
		if err = errors.Join(err, ended); err != nil {
			return err
		}
		r.say("restart: %d rolling restarts of %d workers, flush interval %v: the longest gap between commits of each shard: %v; half of all gaps are below: %v",
			rounds, r.options.Workers, r.options.Flush, c.each(1), c.each(0.5))
		return nil
	})
}

// measureTerm stops a worker by SIGTERM with S3 at 100 ms a call.
func measureTerm(ctx context.Context, r *run) error {
	const runs = 30
	remove, err := r.proxies.s3.add(toxic{"latency", answers, map[string]int64{"latency": 100}})
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(r.options.Seed, streamOfSchedule))
	err = r.steady(ctx, func() error {
		var times sample
		w := r.fleet.workers[0]
		if err := w.hold(ctx); err != nil {
			return err
		}
		defer w.release()
		for range runs {
			if err := r.balanced(ctx); err != nil {
				return err
			}
			pause(ctx, between(random, 0, 2*r.options.Flush)) // at any moment of a batch
			took, err := w.current().Terminate(shutdown + graceBeyond)
			if err != nil {
				r.breach("SIGTERM: %v", err)
			}
			times = append(times, took)
			if err := w.start(false); err != nil {
				return err
			}
		}
		r.say("sigterm: from SIGTERM to the end with %d shards and S3 at 100 ms a call: %v", r.options.Shards, times)
		return nil
	})
	return errors.Join(err, remove())
}

// measureBacklog puts records while no worker runs, and measures how fast they are drained.
func measureBacklog(ctx context.Context, r *run) error {
	count := int(r.options.Duration.Seconds() * float64(r.options.Rate))
	begun := time.Now()
	if err := r.generator.put(ctx, count); err != nil {
		return err
	}
	want := r.journal.Acknowledged()
	r.say("%d records, %v at %d a second, were put within %v while the service was stopped", count, r.options.Duration, r.options.Rate, time.Since(begun).Round(time.Second))
	if err := r.fleet.start(r.options.Workers); err != nil {
		return err
	}
	took, err := r.catchUp(ctx, want, time.Hour)
	if err != nil {
		return err
	}
	rate := float64(want) / took.Seconds()
	r.say("backlog: %d workers drained it within %v of their start, with all stand-ins on the same machine: %.0f records a second, %.1f times the live rate",
		r.options.Workers, took.Round(100*time.Millisecond), rate, rate/float64(r.options.Rate))
	return nil
}

// measureOutage makes DynamoDB, and then S3, silent for a time, and measures memory and how long the lag takes to be gone.
func measureOutage(ctx context.Context, r *run) error {
	return r.steady(ctx, func() error {
		for _, p := range []*proxy{r.proxies.dynamo, r.proxies.s3} {
			// The most over some time with the most over some time: one look may fall just behind a collection of garbage.
			before, _ := r.mostResident(func() error { pause(ctx, r.options.Outage/5); return nil })
			most, err := r.mostResident(func() error {
				return p.poison(ctx, r.options.Outage, toxic{"timeout", answers, map[string]int64{"timeout": 0}}, toxic{"timeout", requests, map[string]int64{"timeout": 0}})
			})
			if err != nil {
				return err
			}
			took, err := r.catchUp(ctx, r.journal.Acknowledged(), r.options.Outage+r.settling())
			if err != nil {
				r.breach("%s was silent for %v: %v", p.name, r.options.Outage, err)
			}
			r.say("outage: %s silent for %v: resident memory of all workers at most %.1f MiB, %+.1f%% of the most in %v before; the lag is gone %v after the end, %.2f of the outage",
				p.name, r.options.Outage, most/(1<<20), 100*(most/before-1), r.options.Outage/5, took.Round(100*time.Millisecond), took.Seconds()/r.options.Outage.Seconds())
			if _, err := r.calm(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// mostResident is the highest resident memory of all workers, in bytes, of looks a second apart while what is done lasts.
func (r *run) mostResident(what func() error) (most float64, err error) {
	done := make(chan error, 1)
	go func() { done <- what() }()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if now, err := r.resident(); err == nil { // a worker may have ended: its supervisor tells
			most = max(most, now)
		}
		select {
		case err := <-done:
			return most, err
		case <-ticker.C:
		}
	}
}

// measureMemory samples the resident memory at a steady rate, and fits its slope after the first quarter of the time.
func measureMemory(ctx context.Context, r *run) error {
	return r.steady(ctx, func() error {
		var hours, mib []float64
		begun := time.Now()
		ticker := time.NewTicker(max(time.Second, r.options.Duration/1000))
		defer ticker.Stop()
		for time.Since(begun) < r.options.Duration {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-ticker.C:
			}
			now, err := r.resident()
			if err != nil {
				return err
			}
			if time.Since(begun) > r.options.Duration/4 {
				hours, mib = append(hours, time.Since(begun).Hours()), append(mib, now/(1<<20))
			}
		}
		if len(mib) < 2 {
			return errors.New("the duration is too short for a slope")
		}
		r.say("memory: resident memory of %d workers: %.1f MiB on average, %.1f at most; slope %+.2f MiB/h over %v after a warm-up of %v",
			r.options.Workers, mean(mib), slices.Max(mib), slope(hours, mib), r.options.Duration*3/4, r.options.Duration/4)
		return nil
	})
}

func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v / float64(len(values))
	}
	return m
}

// slope is that of the least squares' line.
func slope(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	var xy, xx float64
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	return xy / xx
}

// resident is the resident memory of all workers, in bytes, as the kernel tells it.
func (r *run) resident() (float64, error) {
	total := 0.
	for _, w := range r.fleet.workers {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.current().ID()))
		if err != nil {
			return 0, err
		}
		fields := strings.Fields(string(text))
		if len(fields) < 2 {
			return 0, fmt.Errorf("the memory of %s cannot be read: %q", w.name(), text)
		}
		pages, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return 0, err
		}
		total += pages * float64(os.Getpagesize())
	}
	return total, nil
}
