// Package process runs commands as processes of their own, as a user or a supervisor does: it builds them, starts them with
// a clean environment, sends them signals, waits for their end, and reads the metrics that they serve.
//
// It knows no command in particular. In all that they write it looks for secrets that were planted (see package canary). Nothing outlives its starter as long as that calls Kill for what it started.
package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/canary"
)

// Tail keeps the end of what is written to it. It is safe for concurrent use.
type Tail struct {
	mu   sync.Mutex
	text []byte
}

// kept is how much of a process's output is remembered.
const kept = 64 << 10

func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > 2*kept {
		t.text = append(t.text[:0], t.text[len(t.text)-kept:]...)
	}
	return len(p), nil
}

func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text[max(0, len(t.text)-kept):])
}

// Process is a command that was started. Its methods are safe for concurrent use.
type Process struct {
	Name   string
	Stdout Tail
	Stderr Tail

	cmd            *exec.Cmd
	done           chan struct{}
	err            error         // how it ended; set before done is closed
	written, erred canary.Stream // standard output and standard error
}

// Spec says what to start.
type Spec struct {
	Name string   // for messages
	Path string   // of the command
	Args []string //
	Env  []string // all that it has but PATH, HOME and TMPDIR
	Home string   // its HOME: a folder without settings of anybody's

	Log io.Writer // if set, gets all of standard error, of which the process keeps the end
}

// Start starts a command. Its environment has nothing of this process's but what any command needs. Its standard input
// is a pipe that ends with this process, for those that want to know.
func Start(s Spec) (*Process, error) {
	p := &Process{Name: s.Name, done: make(chan struct{})}
	p.cmd = exec.Command(s.Path, s.Args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Home, "TMPDIR=" + os.TempDir()}, s.Env...)
	p.cmd.Stdout, p.cmd.Stderr = io.MultiWriter(&p.Stdout, &p.written), io.MultiWriter(&p.Stderr, &p.erred)
	if s.Log != nil {
		p.cmd.Stderr = io.MultiWriter(p.cmd.Stderr, s.Log)
	}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		stdin.Close()
		close(p.done)
	}()
	return p, nil
}

// ID is the process's number.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Kill ends the process at once, as a crash does, and waits until it is gone. It may have ended before.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// Signal sends a signal; a process that has ended is an error.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.Name, err)
	}
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended tells whether the process is no more.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err waits for the process's end and tells how it ended: nil for status 0.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Leaks waits for the process's end, and names the planted secrets that it wrote to standard output or standard error, from its
// beginning to its end.
func (p *Process) Leaks() (names []string) {
	<-p.done
	for _, name := range p.written.Found() {
		names = append(names, name+" on standard output")
	}
	for _, name := range p.erred.Found() {
		names = append(names, name+" on standard error")
	}
	return names
}

// State tells, for a person, whether the process runs or how it ended.
func (p *Process) State() string {
	if !p.Ended() {
		return "running"
	}
	return p.cmd.ProcessState.String()
}

// Status is the exit status of a process that has ended; -1 where a signal ended it.
func (p *Process) Status() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Wait waits for the end. It fails where that does not come in time, or is not with status 0.
func (p *Process) Wait(limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s: %w", p.Name, p.err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("%s still runs after %v", p.Name, limit)
	}
}

// Terminate sends SIGTERM, and fails unless the process ends with status 0 in time. It returns how long that took.
func (p *Process) Terminate(limit time.Duration) (time.Duration, error) {
	asked := time.Now()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	err := p.Wait(limit)
	return time.Since(asked), err
}

// LastLine is the last line of standard output.
func (p *Process) LastLine() []byte {
	lines := bytes.Split(bytes.TrimSpace([]byte(p.Stdout.String())), []byte("\n"))
	return lines[len(lines)-1]
}

// The ports of Address: below those that systems give to outgoing connections and to listeners that do not care
// (Linux: from 32768), so that nobody takes one by chance, also not while a server is down to be started again.
const (
	firstPort = 20_000
	lastPort  = 32_000
)

// Address is an address on the loopback that nobody uses, and that no other call of Address gives away while this
// process lives, in whichever process.
func Address() (string, error) {
	for range 1_000 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		// The reservation among the tests' processes: the UDP port of that number, which is of no use to anybody, and
		// is given back by the system when the process ends.
		reservation, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			reservation.Close()
			continue
		}
		reserved.Store(address, reservation) // a socket that nobody refers to is closed
		return address, listener.Close()
	}
	return "", fmt.Errorf("no free port from %d to %d in 1,000 trials", firstPort, lastPort)
}

// reserved are the reservations of Address, by address.
var reserved sync.Map

// Poll is how often a condition is asked for.
const Poll = 100 * time.Millisecond

// Await asks until done says true. It fails at the limit, with what was awaited; when the context ends; when done
// fails; or when a process that is needed has ended.
func Await(ctx context.Context, limit time.Duration, what string, needed []*Process, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	ticker := time.NewTicker(Poll)
	defer ticker.Stop()
	for {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ok {
			return nil
		}
		for _, p := range needed {
			if p.Ended() {
				return fmt.Errorf("%s: %s ended: %s", what, p.Name, p.State())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// Command is a command to build: a package in a module's folder.
type Command struct {
	Folder string // of the module, or below
	Target string // the package, as go build takes it
	Work   string // the variable GOWORK
	Tags   string // build tags
}

// Build builds commands into a folder.
func Build(ctx context.Context, dir string, commands ...Command) error {
	for _, c := range commands {
		build := exec.CommandContext(ctx, "go", "build", "-tags", c.Tags, "-o", dir+string(filepath.Separator), c.Target)
		build.Dir = c.Folder
		build.Env = append(os.Environ(), "GOWORK="+c.Work)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s in %s: %w\n%s", c.Target, c.Folder, err, out)
		}
	}
	return nil
}
