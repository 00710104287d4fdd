package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-etl/sluice/internal/crash"
	"github.com/sluice-etl/sluice/internal/e2e/canary"
	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
)

// fleet is the service as several processes, and their supervisor: a process that ends is started again, and one that
// ends without a reason is a breach.
type fleet struct {
	binary string   // of sluice
	dir    string   // of the logs
	env    []string // of all processes

	shutdown time.Duration // how long a process may take from SIGTERM to its end
	breach   func(format string, args ...any)

	mu      sync.Mutex // guards what follows
	workers []*worker
	flush   time.Duration
	stopped bool
	started []*process.Process
	lives   sync.WaitGroup // of the started processes
}

// worker is one place in the fleet, and the process that has it now.
type worker struct {
	fleet *fleet
	slot  int
	free  chan struct{} // holds one value while no fault has the worker

	// The supervisor's, under the fleet's mutex.
	id      string
	address string // of its metrics
	process *process.Process
	next    *process.Process // the process after which somebody has undertaken to start the next
	held    bool             // by a fault, which sees to the process itself
	ready   bool             // the process has been ready
}

// graceBeyond is what a machine under load may add to the service's own time to stop.
const graceBeyond = 10 * time.Second

// start starts so many workers.
func (f *fleet) start(workers int) error {
	for slot := range workers {
		if _, err := f.grow(slot); err != nil {
			return err
		}
	}
	return nil
}

// grow adds a worker to the fleet.
func (f *fleet) grow(slot int) (*worker, error) {
	w := &worker{fleet: f, slot: slot, free: make(chan struct{}, 1)}
	w.free <- struct{}{}
	if err := w.start(false); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers = append(f.workers, w)
	return w, nil
}

// name is the worker's, for a person: its present id.
func (w *worker) name() string {
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	return w.id
}

// start starts a process in the worker's place, under the id of the one before or a new one.
func (w *worker) start(sameID bool, env ...string) error {
	address, err := process.Address()
	if err != nil {
		return err
	}
	f := w.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return errStopped
	}
	number := len(f.started) + 1
	if !sameID || w.id == "" {
		w.id = fmt.Sprintf("worker-%d.%d", w.slot+1, number)
	}
	w.address, w.ready = address, false
	log, err := os.Create(filepath.Join(f.dir, fmt.Sprintf("%03d-%s.log", number, w.id)))
	if err != nil {
		return err
	}
	p, err := process.Start(process.Spec{
		Name: w.id, Path: f.binary, Args: []string{"run"}, Home: f.dir, Log: log,
		Env: slices.Concat(f.env, []string{"SLUICE_WORKER_ID=" + w.id, "SLUICE_HTTP_ADDR=" + address, "SLUICE_FLUSH_INTERVAL=" + f.flush.String()}, env),
	})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	w.process = p
	f.started = append(f.started, p)
	f.lives.Go(func() {
		canary.Haunt(p.Done(), address, func(leak string) { f.breach("%s", leak) })
	})
	f.lives.Go(func() {
		w.watch(p, address)
		log.Close()
	})
	return nil
}

// errStopped tells that the fleet starts nothing more.
var errStopped = errors.New("the fleet is stopped")

// watch waits for a process's end, notes that it became ready, and starts another in its place if no fault has the worker.
func (w *worker) watch(p *process.Process, address string) {
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for ready := false; !p.Ended(); {
		select {
		case <-p.Done():
		case <-ticker.C:
			if !ready && isReady(address) {
				ready = true
				w.fleet.mu.Lock()
				w.ready = w.ready || w.process == p
				w.fleet.mu.Unlock()
			}
		}
	}
	for _, leak := range p.Leaks() {
		w.fleet.breach("%s has written %s", p.Name, leak)
	}
	if text := p.Stderr.String(); strings.Contains(text, "panic:") || strings.Contains(text, "fatal error:") || strings.Contains(text, "DATA RACE") {
		w.fleet.breach("%s crashed: %s", p.Name, lastLines(text, 30))
	}
	w.fleet.mu.Lock()
	wasReady := w.ready
	mine := w.succeed(p)
	w.fleet.mu.Unlock()
	if !mine {
		return
	}
	if wasReady {
		w.fleet.breach("%s ended by itself: %s: %s", p.Name, p.State(), lastLines(p.Stderr.String(), 5))
	}
	// What could not begin, since a service around it did not answer, is started again, as a supervisor does.
	time.Sleep(supervisorPause)
	w.startNext()
}

// succeed tells whether the caller is to start the next process after one that has ended. It is told so once, and where no
// fault has the worker. The caller holds the fleet's mutex.
func (w *worker) succeed(ended *process.Process) bool {
	if w.process != ended || w.next == ended || w.held || w.fleet.stopped {
		return false
	}
	w.next = ended
	return true
}

func (w *worker) startNext() {
	if err := w.start(false); err != nil && !errors.Is(err, errStopped) {
		w.fleet.breach("start a worker again: %v", err)
	}
}

// supervisorPause is between a process's end and the start of another.
const supervisorPause = time.Second

func isReady(address string) bool {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get("http://" + address + "/readyz")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// hold gives a worker, at random, to a fault that alone may end and start its process. release gives it back.
func (f *fleet) hold(ctx context.Context, random *rand.Rand) (w *worker, release func(), err error) {
	f.mu.Lock()
	w = f.workers[random.IntN(len(f.workers))]
	f.mu.Unlock()
	return w, w.release, w.hold(ctx)
}

func (w *worker) hold(ctx context.Context) error {
	select {
	case <-w.free:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	w.fleet.mu.Lock()
	w.held = true
	w.fleet.mu.Unlock()
	return nil
}

// release gives a worker back; where its process has ended, the supervisor's next one takes its place.
func (w *worker) release() {
	w.fleet.mu.Lock()
	w.held = false
	mine := w.process.Ended() && w.succeed(w.process)
	w.fleet.mu.Unlock()
	if mine {
		w.startNext()
	}
	w.free <- struct{}{}
}

// current is the worker's process.
func (w *worker) current() *process.Process {
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	return w.process
}

// terminate asks the worker's process to stop, and says how that went. Whatever fails to stop in time is killed, and a breach.
func (w *worker) terminate() string {
	w.fleet.mu.Lock()
	p, wasReady := w.process, w.ready
	w.fleet.mu.Unlock()
	if p.Ended() {
		return "had ended: " + p.State()
	}
	took, err := p.Terminate(w.fleet.shutdown + graceBeyond)
	if err != nil {
		if p.Ended() && p.Status() == crash.Status {
			return "ended at a crash point"
		}
		if p.Ended() && !wasReady {
			return "ended before it began: " + p.State()
		}
		w.fleet.breach("SIGTERM: %v: %s", err, lastLines(p.Stderr.String(), 5))
		p.Kill()
		return err.Error()
	}
	return fmt.Sprintf("ended %v after SIGTERM", took.Round(time.Millisecond))
}

// stop stops all workers by SIGTERM, all at once, and starts none again. It says how long each took.
func (f *fleet) stop() []string {
	f.mu.Lock()
	f.stopped = true
	workers := slices.Clone(f.workers)
	f.mu.Unlock()
	said := make([]string, len(workers))
	var wait sync.WaitGroup
	for i, w := range workers {
		wait.Go(func() { said[i] = w.name() + " " + w.terminate() })
	}
	wait.Wait()
	f.lives.Wait()
	return said
}

// kill ends all processes at once, and starts none again.
func (f *fleet) kill() {
	f.mu.Lock()
	f.stopped = true
	started := slices.Clone(f.started)
	f.mu.Unlock()
	for _, p := range started {
		p.Kill()
	}
	f.lives.Wait()
}

// setFlush changes the flush interval of processes to be started.
func (f *fleet) setFlush(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flush = d
}

// metric sums a metric over the processes that answer.
func (f *fleet) metric(ctx context.Context, name string) (total float64, answered int) {
	f.mu.Lock()
	var addresses []string
	for _, w := range f.workers {
		addresses = append(addresses, w.address)
	}
	f.mu.Unlock()
	for _, address := range addresses {
		ctx, cancel := context.WithTimeout(ctx, time.Second) // a process that stands still does not answer
		values, err := process.Metric(ctx, address, name)
		cancel()
		if err != nil {
			continue
		}
		answered++
		for _, v := range values {
			total += v
		}
	}
	return total, answered
}

// shards asks `sluice shards` for what the service knows of each shard, without the proxies.
func (f *fleet) shards(ctx context.Context, env []string) ([]check.Shard, error) {
	p, err := process.Start(process.Spec{Name: "sluice shards", Path: f.binary, Args: []string{"shards", "--json"}, Env: slices.Concat(f.env, env), Home: f.dir})
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	if err := p.Wait(time.Minute); err != nil {
		return nil, fmt.Errorf("%w: %s", err, lastLines(p.Stderr.String(), 5))
	}
	if leaks := p.Leaks(); leaks != nil {
		return nil, fmt.Errorf("%s has written %s", p.Name, strings.Join(leaks, ", "))
	}
	var list []check.Shard
	if err := json.Unmarshal([]byte(p.Stdout.String()), &list); err != nil {
		return nil, fmt.Errorf("read what sluice shards --json says: %w", err)
	}
	return list, nil
}

// freeze stops the worker's process as it is, for so long, and lets it go on.
func (w *worker) freeze(ctx context.Context, d time.Duration) error {
	p := w.current()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, d)
	return p.Signal(syscall.SIGCONT)
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// lastLines is the end of a log.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n\t")
}
