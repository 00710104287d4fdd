package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// binaries is the folder of the commands under test.
var binaries string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	commands := append(world.Commands("../.."),
		process.Command{Folder: "../..", Work: "off", Target: "./cmd/sluice"}, // as the image is built
		process.Command{Folder: "../..", Target: "./cmd/sluice-local"})
	if err := process.Build(context.Background(), dir, commands...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	whole := true
	for _, part := range []string{"test.run", "test.skip", "test.list"} {
		whole = whole && flag.Lookup(part).Value.String() == ""
	}
	if whole && status == 0 {
		if err := errors.Join(permissions(), commandsRun()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return status
}

// seed gives the seed of a test's random choices, and prints it.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := uint64(time.Now().UnixNano())
	if text := os.Getenv("SLUICE_E2E_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SLUICE_E2E_SEED: %v", err)
		}
	}
	t.Logf("run again with SLUICE_E2E_SEED=%d", s)
	return s
}

// start runs a command of the folder binaries. It is killed when the test ends, and its output is shown if the test failed.
func start(t *testing.T, name, command string, environment []string, args ...string) *process.Process {
	t.Helper()
	return launch(t, process.Spec{Name: name, Path: filepath.Join(binaries, command), Args: args, Env: environment})
}

// launch is start for any command. A planted secret that it writes fails the test.
func launch(t *testing.T, spec process.Spec) *process.Process {
	t.Helper()
	spec.Home = t.TempDir()
	p, err := process.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		for _, leak := range p.Leaks() {
			t.Errorf("%s has written %s", spec.Name, leak)
		}
		if t.Failed() {
			t.Logf("%s (%s)\n--- standard output ends:\n%s\n--- standard error ends:\n%s", spec.Name, p.State(), p.Stdout.String(), p.Stderr.String())
		}
	})
	return p
}

// wait fails the test unless the process ends in time with status 0.
func wait(t *testing.T, p *process.Process, limit time.Duration) {
	t.Helper()
	if err := p.Wait(limit); err != nil {
		t.Fatal(err)
	}
}

// terminate sends SIGTERM, and fails the test unless the process ends with status 0 within the documented 20 s.
func terminate(t *testing.T, p *process.Process) {
	t.Helper()
	took, err := p.Terminate(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s ended %v after SIGTERM", p.Name, took.Round(time.Millisecond))
}

// address is a free address on the loopback.
func address(t *testing.T) string {
	t.Helper()
	address, err := process.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// eventually asks until done says true, and fails the test at the limit, or when a process that is needed has ended.
func eventually(t *testing.T, limit time.Duration, what string, needed []*process.Process, done func() bool) {
	t.Helper()
	if err := process.Await(t.Context(), limit, what, needed, func() (bool, error) { return done(), nil }); err != nil {
		t.Fatal(err)
	}
}
