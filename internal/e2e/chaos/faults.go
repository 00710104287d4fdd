package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sluice-etl/sluice/internal/crash"
	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// fault is something that goes wrong for a while. inject makes it so, waits, sets it right again, and tells what happened;
// its error is one of the program, and not of the service. A fault draws all that is random from its own source.
type fault struct {
	name   string
	ours   bool   // needs our own stand-ins
	class  string // two faults of one class do not overlap
	inject func(context.Context, *run, *rand.Rand) (event, error)
}

// event is what a fault did.
type event struct {
	target     string
	parameters string
	seen       string
}

// faults are all that there are.
var faults = []fault{
	{name: "kill", class: "workers", inject: kill},
	{name: "stop", class: "workers", inject: freeze},
	{name: "term", class: "workers", inject: rollingRestart},
	{name: "term-twice", class: "network", inject: terminateTwice},
	{name: "crash", class: "workers", inject: crashAtPoint},
	{name: "deploy", class: "workers", inject: deploy},
	{name: "latency", class: "network", inject: latency},
	{name: "bandwidth", class: "network", inject: bandwidth},
	{name: "cut", class: "network", inject: cut},
	{name: "reset", class: "network", inject: reset},
	{name: "blackhole", class: "network", inject: blackhole},
	{name: "throttle", class: "standins", ours: true, inject: throttle},
	{name: "error", class: "standins", ours: true, inject: serverError},
	{name: "lost-answer", class: "standins", ours: true, inject: lostAnswer},
	{name: "s3-errors", class: "answers", inject: s3Errors},
	{name: "s3-lost-complete", class: "answers", inject: s3LostComplete},
	{name: "split", class: "stream", inject: split},
	{name: "merge", class: "stream", inject: merge},
	{name: "standin-kill", class: "standins", inject: killStandIn},
}

// Faults are the names of the faults that there are.
func Faults() []string {
	var names []string
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}

// between draws a duration.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return (least + time.Duration(random.Int64N(int64(most-least)))).Round(time.Millisecond)
}

// lasting draws how long a fault lasts.
func (r *run) lasting(random *rand.Rand) time.Duration {
	return between(random, r.options.Longest/10, r.options.Longest)
}

// kill ends a worker as a crash does. It comes back after a while, or at once; under its old name, or a new one.
func kill(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	w, release, err := r.fleet.hold(ctx, random)
	if err != nil {
		return event{}, err
	}
	defer release()
	away, same := between(random, 0, 2*r.options.Failover), random.IntN(2) == 0
	if random.IntN(3) == 0 {
		away, same = 0, true
	}
	e := event{target: w.name(), parameters: fmt.Sprintf("away for %v, same name: %t", away, same)}
	w.current().Kill()
	pause(ctx, away)
	err = w.start(same)
	e.seen = "back as " + w.name()
	return e, err
}

// freeze stops a worker for three failover times: others take its shards, and it does not know.
func freeze(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	w, release, err := r.fleet.hold(ctx, random)
	if err != nil {
		return event{}, err
	}
	defer release()
	d := 3 * r.options.Failover
	e := event{target: w.name(), parameters: fmt.Sprintf("SIGSTOP for %v", d)}
	if w.current().Ended() {
		e.seen = "it had ended"
		return e, nil
	}
	if err := w.freeze(ctx, d); err != nil {
		return e, err
	}
	e.seen = "it " + r.outlives(ctx, w)
	return e, nil
}

// outlives watches a worker that was stopped, and now finds that others have its shards: it must not end for that.
func (r *run) outlives(ctx context.Context, w *worker) string {
	select {
	case <-w.current().Done():
		r.breach("%s ended after a stop: %s: %s", w.name(), w.current().State(), lastLines(w.current().Stderr.String(), 5))
		return "ended"
	case <-time.After(r.options.Failover):
		return "goes on"
	case <-ctx.Done():
		return "was not waited for"
	}
}

// rollingRestart stops each worker by SIGTERM and starts another, one after another.
func rollingRestart(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	e := event{target: "all workers", parameters: "SIGTERM, one after another"}
	seen, err := r.roll(ctx, random)
	e.seen = seen
	return e, err
}

func (r *run) roll(ctx context.Context, random *rand.Rand) (string, error) {
	var seen []string
	for _, w := range slices.Clone(r.fleet.workers) {
		if err := w.hold(ctx); err != nil {
			return strings.Join(seen, ", "), err
		}
		name := w.name()
		seen = append(seen, name+" "+w.terminate())
		err := w.start(false)
		w.release()
		if err != nil {
			return strings.Join(seen, ", "), err
		}
		pause(ctx, between(random, 0, r.options.Failover))
	}
	return strings.Join(seen, ", "), nil
}

// terminateTwice sends SIGTERM while S3 says nothing, so that the worker cannot end in good order, and again: the second
// one must end it at once.
func terminateTwice(ctx context.Context, r *run, random *rand.Rand) (e event, err error) {
	w, release, err := r.fleet.hold(ctx, random)
	if err != nil {
		return event{}, err
	}
	defer release()
	apart := between(random, 0, 3*time.Second)
	e = event{target: w.name(), parameters: fmt.Sprintf("%v apart, S3 silent", apart)}
	silent, err := r.proxies.s3.add(toxic{"timeout", answers, map[string]int64{"timeout": 0}})
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, silent()) }()
	p := w.current()
	if p.Ended() || p.Signal(syscall.SIGTERM) != nil {
		e.seen = "it had ended"
		return e, nil
	}
	pause(ctx, apart)
	asked := time.Now()
	if p.Ended() || p.Signal(syscall.SIGTERM) != nil {
		e.seen = "it had ended before the second"
		return e, nil
	}
	select {
	case <-p.Done():
		e.seen = fmt.Sprintf("ended %v after the second (%s)", time.Since(asked).Round(time.Millisecond), p.State())
	case <-time.After(secondSignal):
		r.breach("%s still runs %v after a second SIGTERM", p.Name, secondSignal)
		p.Kill()
		e.seen = "still running"
	}
	return e, nil
}

// secondSignal is how long a process may take to end at once, on a busy machine.
const secondSignal = 2 * time.Second

// deploy is a rolling restart with another flush interval.
func deploy(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	flush := between(random, r.options.Flush/2, 3*r.options.Flush)
	e := event{target: "all workers", parameters: fmt.Sprintf("flush interval %v", flush)}
	r.fleet.setFlush(flush)
	seen, err := r.roll(ctx, random)
	e.seen = seen
	return e, err
}

// points are the crash points that a build of the service with the tag chaos has: before and after each step of its
// protocol, and after each file of the two steps that are about several.
var points = []string{
	"take.before", "take.after",
	"upload.before", "upload-file.after", "upload.after",
	"save.before", "save.after",
	"commit.before", "commit.after",
	"finish.before", "finish.after",
	"look.before", "look.after",
	"publish.before", "publish-file.after", "publish.after",
	"record.before", "record.after",
	"clear.before", "clear.after",
	"forget.before", "forget.after",
	"hand-over.before", "hand-over.after",
	"release.before", "release.after",
}

// The ways to crash at a point.
var ways = []string{"exit", "stop", "term"}

// crashAtPoint restarts a worker so that it crashes at a point. Not every point is reached in the time.
func crashAtPoint(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	w, release, err := r.fleet.hold(ctx, random)
	if err != nil {
		return event{}, err
	}
	defer release()
	c := crashPlan{point: points[random.IntN(len(points))], nth: 1 + random.IntN(4), way: ways[random.IntN(len(ways))]}
	e := event{target: w.name(), parameters: c.String()}
	e.seen, err = r.crash(ctx, w, c, r.options.Longest)
	return e, err
}

// crashPlan says at which point, the how manieth time, and how a process crashes.
type crashPlan struct {
	point, way string
	nth        int
}

func (c crashPlan) String() string { return fmt.Sprintf("%s:%d:%s", c.point, c.nth, c.way) }

// whileStopping tells whether the point is one that a worker comes to when it was told to stop.
func (c crashPlan) whileStopping() bool { return strings.HasPrefix(c.point, "release.") }

// reached tells whether a process has come to the point.
func (c crashPlan) reached(p *process.Process) bool {
	return strings.Contains(p.Stderr.String(), "crash: "+c.String()+"\n")
}

// crash replaces the process of a worker that is held by one that crashes, provokes what leads to the point, and gives it
// time to be reached. Whatever of it can still crash has ended when it returns.
func (r *run) crash(ctx context.Context, w *worker, c crashPlan, limit time.Duration) (seen string, err error) {
	w.terminate()
	if err := w.start(false, crash.Variable+"="+c.String()); err != nil {
		return "", err
	}
	p := w.current()
	await := func(limit time.Duration) {
		// Whether it was reached is asked below: a process that ends is no reason to fail.
		_ = process.Await(ctx, limit, "the point is reached", nil, func() (bool, error) { return c.reached(p) || p.Ended(), nil })
	}
	undo, err := r.provoke(ctx, w, c.point)
	if err != nil {
		return "", err
	}
	await(limit)
	if err := undo(); err != nil {
		return "", err
	}
	asked := c.whileStopping()
	if !asked && !c.reached(p) && !p.Ended() { // it must not crash later
		asked = true
		if err := p.Signal(syscall.SIGTERM); err != nil {
			return "", err
		}
		await(r.fleet.shutdown + graceBeyond)
	}
	if !c.reached(p) {
		if !p.Ended() {
			r.breach("%s still runs %v after SIGTERM", p.Name, r.fleet.shutdown+graceBeyond)
			p.Kill()
		}
		return fmt.Sprintf("not reached within %v, or before it stopped", limit), nil
	}
	return r.crashed(ctx, w, c, asked)
}

// crashed sees a process that has reached the point through what follows; asked tells that it was to stop anyhow.
func (r *run) crashed(ctx context.Context, w *worker, c crashPlan, asked bool) (seen string, err error) {
	p := w.current()
	switch c.way {
	case "exit":
		if p.Status() != crash.Status {
			r.breach("%s reached %v and ended with %s", p.Name, c, p.State())
		}
		return "reached, ended", nil
	case "stop":
		d := 3 * r.options.Failover
		pause(ctx, d)
		if err := p.Signal(syscall.SIGCONT); err != nil {
			return "", err
		}
		if !asked {
			return fmt.Sprintf("reached, stopped for %v, and %s", d, r.outlives(ctx, w)), nil
		}
	}
	if err := p.Wait(r.fleet.shutdown + graceBeyond); err != nil && !(asked && p.Ended()) { // a second SIGTERM ends it as it is
		r.breach("SIGTERM at %v: %v", c, err)
		p.Kill()
	}
	return "reached, " + p.State(), nil
}

// provoke makes that happen to a worker which leads to a point, where what happens all the time does not. undo ends it.
func (r *run) provoke(ctx context.Context, w *worker, point string) (undo func() error, err error) {
	undo = func() error { return nil }
	step, _, _ := strings.Cut(point, ".")
	switch step {
	case "finish":
		if err = r.owns(ctx, w, 1); err == nil {
			err = r.splitOf(ctx, w)
		}
	case "release":
		if err = r.owns(ctx, w, 1); err == nil {
			err = w.current().Signal(syscall.SIGTERM)
		}
	case "hand-over":
		err = r.tooMany(ctx, w)
	case "look":
		if !r.world.Ours() {
			return undo, nil
		}
		if err = r.owns(ctx, w, 1); err == nil {
			undo = func() error { return r.world.ClearFaults(context.WithoutCancel(ctx)) }
			err = r.world.Inject(ctx, world.Fault{Operation: "UpdateItem", Count: -1, DropAnswer: true})
		}
	}
	if err != nil {
		r.say("%8s  %s could not be provoked: %v", "", point, err)
	}
	return undo, context.Cause(ctx)
}

// owns waits until a worker holds so many shards.
func (r *run) owns(ctx context.Context, w *worker, least int) error {
	w.fleet.mu.Lock()
	address, p := w.address, w.process
	w.fleet.mu.Unlock()
	what := fmt.Sprintf("%s holds %d shards", p.Name, least)
	return process.Await(ctx, 2*r.options.Failover+time.Minute, what, []*process.Process{p}, func() (bool, error) {
		owned, err := process.Metric(ctx, address, "sluice_leases_owned")
		return err == nil && len(owned) == 1 && int(owned[0]) >= least, nil // it may not serve yet
	})
}

// tooMany lets a worker take all shards while the others are away, so that it has some to hand over when they come.
func (r *run) tooMany(ctx context.Context, w *worker) (err error) {
	for _, other := range r.fleet.workers {
		if other == w {
			continue
		}
		if err := other.hold(ctx); err != nil {
			return err
		}
		defer other.release() // starts it
		other.terminate()
	}
	open, err := r.world.Open(ctx)
	if err != nil {
		return err
	}
	return r.owns(ctx, w, len(open))
}

// splitOf splits a shard that a worker holds.
func (r *run) splitOf(ctx context.Context, w *worker) error {
	shards, err := r.fleet.shards(ctx, r.direct())
	if err != nil {
		return err
	}
	open, err := r.world.Open(ctx)
	if err != nil {
		return err
	}
	for place, s := range open {
		if slices.ContainsFunc(shards, func(known check.Shard) bool { return known.ID == aws.ToString(s.ShardId) && known.Owner == w.name() }) {
			_, err := r.world.Split(ctx, place)
			return err
		}
	}
	return fmt.Errorf("%s holds no open shard", w.name())
}

// toxics lets a proxy, at random, do something for a while.
func (r *run) toxics(ctx context.Context, random *rand.Rand, list ...toxic) (event, error) {
	all := r.proxies.all()
	p, d := all[random.IntN(len(all))], r.lasting(random)
	var texts []string
	for _, t := range list {
		text := t.Stream
		for _, name := range []string{"latency", "jitter", "rate", "bytes", "timeout"} {
			if v, ok := t.Attributes[name]; ok {
				text += fmt.Sprintf(" %s=%d", name, v)
			}
		}
		texts = append(texts, text)
	}
	e := event{target: p.name, parameters: fmt.Sprintf("%s for %v", strings.Join(texts, ", "), d)}
	return e, p.poison(ctx, d, list...)
}

// poison lets a proxy do something for a while.
func (p *proxy) poison(ctx context.Context, d time.Duration, list ...toxic) (err error) {
	for _, t := range list {
		remove, e := p.add(t)
		if e != nil {
			return e
		}
		defer func() { err = errors.Join(err, remove()) }()
	}
	pause(ctx, d)
	return nil
}

// direction is requests or answers.
func direction(random *rand.Rand) string { return []string{requests, answers}[random.IntN(2)] }

func latency(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	ms := 100 + random.Int64N(1900)
	return r.toxics(ctx, random, toxic{"latency", answers, map[string]int64{"latency": ms, "jitter": ms / 2}})
}

func bandwidth(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	rate := map[string]int64{"rate": 10 + random.Int64N(91)} // KB/s
	return r.toxics(ctx, random, toxic{"bandwidth", requests, rate}, toxic{"bandwidth", answers, rate})
}

// cut ends each connection after so many bytes: within a head, or within a body.
func cut(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	return r.toxics(ctx, random, toxic{"limit_data", direction(random), map[string]int64{"bytes": 200 + random.Int64N(20_000)}})
}

// reset resets each connection a moment after something came over it: before a call is applied, or after.
func reset(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	return r.toxics(ctx, random, toxic{"reset_peer", direction(random), map[string]int64{"timeout": random.Int64N(50)}})
}

// blackhole swallows requests, or answers, without a word.
func blackhole(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	return r.toxics(ctx, random, toxic{"timeout", direction(random), map[string]int64{"timeout": 0}})
}

// calls lets calls of an operation, at random, go wrong in our own Kinesis and DynamoDB.
func (r *run) calls(ctx context.Context, random *rand.Rand, operations []string, f world.Fault) (event, error) {
	f.Operation, f.Count = operations[random.IntN(len(operations))], 1+random.IntN(30)
	d := r.lasting(random)
	e := event{target: f.Operation, parameters: fmt.Sprintf("the next %d calls, within %v", f.Count, d)}
	if err := r.world.Inject(ctx, f); err != nil {
		return e, err
	}
	pause(ctx, d)
	return e, r.world.ClearFaults(context.WithoutCancel(ctx))
}

func throttle(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	kinesis := []string{"GetRecords", "GetShardIterator", "ListShards"}
	operations := append(kinesis, "UpdateItem", "GetItem", "Scan")
	f := world.Fault{Code: "ProvisionedThroughputExceededException"}
	return r.calls(ctx, random, operations, f)
}

func serverError(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	f := world.Fault{Status: http.StatusInternalServerError, Code: "InternalFailure"}
	return r.calls(ctx, random, []string{"GetRecords", "GetShardIterator", "ListShards", "UpdateItem", "GetItem", "Scan", "DeleteItem"}, f)
}

// lostAnswer applies calls and closes the connection. The producer's are among them: what it puts a second time then is a
// second record.
func lostAnswer(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	return r.calls(ctx, random, []string{"UpdateItem", "UpdateItem", "GetRecords", "Scan", "PutRecords"}, world.Fault{DropAnswer: true})
}

// wrong lets a share of S3's calls be answered wrongly.
func (r *run) wrong(ctx context.Context, random *rand.Rand, plan wrongAnswers) (event, error) {
	d := r.lasting(random)
	e := event{target: "S3", parameters: fmt.Sprintf("%s, %.0f%% of the calls for %v", plan.kind, 100*plan.share, d)}
	restore := r.answers.set(plan)
	pause(ctx, d)
	e.seen = fmt.Sprintf("%d calls", restore())
	return e, nil
}

func s3Errors(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	kinds := []answerKind{internalError, slowDown, errorInBody}
	return r.wrong(ctx, random, wrongAnswers{kinds[random.IntN(len(kinds))], .01 + .49*random.Float64()})
}

func s3LostComplete(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	return r.wrong(ctx, random, wrongAnswers{lostComplete, .1 + .9*random.Float64()})
}

// mostShards is the number of open shards from which none is split.
const mostShards = 8

func split(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	open, err := r.world.Open(ctx)
	if err != nil || len(open) == 0 {
		return event{seen: fmt.Sprintf("the stream does not answer: %v", err)}, nil
	}
	if len(open) >= mostShards {
		return event{seen: fmt.Sprintf("not done: there are %d open shards", len(open))}, nil
	}
	shard, err := r.world.Split(ctx, random.IntN(len(open)))
	return r.resharded(ctx, event{target: shard, parameters: "in the middle"}, err)
}

func merge(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	open, err := r.world.Open(ctx)
	if err != nil || len(open) < 3 {
		return event{seen: fmt.Sprintf("not done: there are %d open shards: %v", len(open), err)}, nil
	}
	left, right, err := r.world.Merge(ctx, random.IntN(len(open)-1))
	return r.resharded(ctx, event{target: left + " and " + right}, err)
}

// resharded waits until the stream has changed.
func (r *run) resharded(ctx context.Context, e event, err error) (event, error) {
	if err == nil {
		err = r.world.Active(ctx)
	}
	e.seen = "done"
	if err != nil {
		e.seen = fmt.Sprintf("the stream refused: %v", err)
	}
	return e, nil
}

// killStandIn ends the process that keeps its state in files, and starts it again on the same state.
func killStandIn(ctx context.Context, r *run, random *rand.Rand) (event, error) {
	away := between(random, 0, r.options.Longest/4)
	e := event{target: "S3", parameters: fmt.Sprintf("away for %v", away)}
	if r.world.Ours() {
		e.target = "Kinesis, DynamoDB and S3"
	}
	r.world.KillServer()
	pause(ctx, away)
	err := r.world.RestartServer()
	e.seen = "back on the same state"
	return e, err
}
