package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tail keeps the end of what is written to it. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// kept is how much of a process's log a failed test shows.
const kept = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > 2*kept {
		t.text = append(t.text[:0], t.text[len(t.text)-kept:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text[max(0, len(t.text)-kept):])
}

// process is a command that a test started. It is killed when the test ends, and its log is shown if the test failed.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdout tail
	stderr tail
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; to be read when done
}

// start runs a command of the folder binaries. The environment has nothing of the test's but what a command needs.
func start(t *testing.T, name, command string, environment []string, args ...string) *process {
	t.Helper()
	p := &process{name: name, done: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(binaries, command), args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir()}, environment...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s (%v)\n--- standard output ends:\n%s\n--- standard error ends:\n%s", name, p.cmd.ProcessState, p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// kill ends the process at once, as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// ended tells whether the process is no more.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait fails the test unless the process ends in time with status 0.
func (p *process) wait(t *testing.T, limit time.Duration) {
	t.Helper()
	select {
	case <-p.done:
		if p.err != nil {
			t.Fatalf("%s: %v", p.name, p.err)
		}
	case <-time.After(limit):
		t.Fatalf("%s runs after %v", p.name, limit)
	}
}

// terminate sends SIGTERM, and fails the test unless the process ends with status 0 within the documented 20 s.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	asked := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	p.wait(t, 20*time.Second)
	t.Logf("%s ended %v after SIGTERM", p.name, time.Since(asked).Round(time.Millisecond))
}

// lastLine is the last line of standard output.
func (p *process) lastLine() []byte {
	lines := bytes.Split(bytes.TrimSpace([]byte(p.stdout.String())), []byte("\n"))
	return lines[len(lines)-1]
}

// address is a free address on the loopback.
func address(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// eventually asks until done says true, and fails the test at the limit, or when a process that is needed has ended.
func eventually(t *testing.T, limit time.Duration, what string, needed []*process, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !done() {
		for _, p := range needed {
			if p.ended() {
				t.Fatalf("%s: %s ended: %v", what, p.name, p.err)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// metric reads the values of a metric, one for each set of labels.
func metric(ctx context.Context, address, name string) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", request.URL, answer.Status)
	}
	return parseMetric(answer.Body, name)
}

func parseMetric(text io.Reader, name string) ([]float64, error) {
	var values []float64
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if len(fields) == 0 {
			return nil, fmt.Errorf("metric %s has no value: %s", name, lines.Text())
		}
		value, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
		values = append(values, value)
	}
	return values, lines.Err()
}

func TestParseMetric(t *testing.T) {
	text := "# HELP a_total x\na_total{shard=\"1\"} 5\na_total{shard=\"2\"} 1.5e+01 1700000000\na_total_b 3\na 4\n"
	for name, want := range map[string]string{"a_total": "[5 15]", "a": "[4]", "b": "[]"} {
		values, err := parseMetric(strings.NewReader(text), name)
		if got := fmt.Sprint(values); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
}
