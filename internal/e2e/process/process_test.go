package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/canary"
)

func TestParseMetric(t *testing.T) {
	text := "# HELP a_total x\na_total{shard=\"1\"} 5\na_total{shard=\"2\"} 1.5e+01 1700000000\na_total_b 3\na 4\n"
	for name, want := range map[string]string{"a_total": "[5 15]", "a": "[4]", "b": "[]"} {
		values, err := parseMetric(strings.NewReader(text), name)
		if got := fmt.Sprint(values); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
}

func TestProcess(t *testing.T) {
	p, err := Start(Spec{Name: "shell", Path: "/bin/sh", Args: []string{"-c", `echo "$A"; trap 'exit 0' TERM; while read line; do :; done`}, Env: []string{"A=b"}, Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := Await(t.Context(), time.Minute, "the shell speaks", []*Process{p}, func() (bool, error) { return p.Stdout.String() == "b\n", nil }); err != nil {
		t.Fatal(err)
	}
	if p.Ended() || p.State() != "running" {
		t.Errorf("it ended: %s", p.State())
	}
	if took, err := p.Terminate(time.Minute); err != nil || took <= 0 {
		t.Errorf("%v, %v", took, err)
	}
	if p.Status() != 0 || p.Err() != nil {
		t.Errorf("%s", p.State())
	}
	if err := p.Signal(syscall.SIGTERM); err == nil {
		t.Error("a signal reaches a process that has ended")
	}
	if err := Await(t.Context(), time.Minute, "more", []*Process{p}, func() (bool, error) { return false, nil }); err == nil || !strings.Contains(err.Error(), "shell ended") {
		t.Errorf("awaiting something of a process that has ended: %v", err)
	}
}

// What a process writes is searched from its beginning to its end, also beyond what is kept of it.
func TestLeaks(t *testing.T) {
	for script, want := range map[string]string{
		"echo nothing": "[]",
		`echo "$AWS_SESSION_TOKEN"; head -c 300000 /dev/zero`: "[the session token on standard output]",
		`printf %s "$AWS_SESSION_TOKEN" | base64 >&2; exit 1`: "[the session token on standard error]",
	} {
		p, err := Start(Spec{Name: "shell", Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"AWS_SESSION_TOKEN=" + canary.SessionToken}, Home: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		if got := fmt.Sprint(p.Leaks()); got != want {
			t.Errorf("%s: %s, want %s", script, got, want)
		}
	}
}

func TestAwaitFails(t *testing.T) {
	never := func() (bool, error) { return false, nil }
	if err := Await(t.Context(), time.Millisecond, "it", nil, never); err == nil || err.Error() != "it: not within 1ms" {
		t.Error(err)
	}
	broken := errors.New("broken")
	if err := Await(t.Context(), time.Minute, "it", nil, func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Await(ctx, time.Minute, "it", nil, never); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// An address is nobody else's: not this process's, not that of another that asks for one, and not one that the system
// gives to an outgoing connection.
func TestAddress(t *testing.T) {
	given := map[string]bool{}
	for range 100 {
		address, err := Address()
		if err != nil || given[address] {
			t.Fatalf("%s was given before, or %v", address, err)
		}
		given[address] = true
		if _, err := net.ListenPacket("udp", address); err == nil {
			t.Errorf("%s is not reserved", address)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
	}
	low, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Skip("only Linux tells its range, where CI runs")
	}
	if first, err := strconv.Atoi(strings.Fields(string(low))[0]); err != nil || first < lastPort {
		t.Errorf("the system gives away ports from %d, %v; Address up to %d", first, err, lastPort)
	}
}
