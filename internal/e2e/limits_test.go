package e2e

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// With little memory, whoever says so, batches end early, and the process neither grows nor dies. 80 MB come at once.
func TestLittleMemory(t *testing.T) {
	for name, test := range map[string]struct {
		limit, environment string
		most               float64 // bytes that the process may have
	}{
		"by the setting":       {"", "SLUICE_MEMORY_LIMIT=16MiB", 150e6},
		"by the runtime's own": {"", "GOMEMLIMIT=32MiB", 150e6},
		"by the address space": {fmt.Sprintf("ulimit -v %d", reserved(t)+500<<10), "SLUICE_LOG=json", 500e6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 4)
			y.putLarge(t, 80<<20)
			// Nothing but memory, or the end, ends a batch.
			s := y.runLimited(t, "one", test.limit, test.environment, "SLUICE_FLUSH_INTERVAL=10m", "SLUICE_FLUSH_BYTES=1GiB", "SLUICE_COMPRESSION=none")
			eventually(t, 2*time.Minute, "all is read", []*process.Process{s.Process}, func() bool {
				return int(s.metric(t, "sluice_records_received_total")) == y.ledger.Len()
			})
			if y.count(t) == 0 {
				t.Error("no batch has ended early")
			}
			rss := s.metric(t, "process_resident_memory_bytes")
			t.Logf("the process has %.0f MB", rss/1e6)
			if rss > test.most {
				t.Errorf("the process has %.0f MB", rss/1e6)
			}
			y.finish(t, s)
		})
	}
}

// reserved is the address space, in KiB, that the process has at its start, of which it uses next to nothing.
func reserved(t *testing.T) int {
	t.Helper()
	s := launchIdle(t)
	defer s.Kill()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.ID()))
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmPeak:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb
}

// launchIdle starts a service that finds nobody at its endpoints, and is at it when this returns.
func launchIdle(t *testing.T) *runner {
	t.Helper()
	r := &runner{http: address(t)}
	nowhere := "http://" + address(t)
	r.Process = start(t, "idle", "sluice", append(world.Environment(nowhere, nowhere, nowhere), "SLUICE_STREAM="+world.Stream, "SLUICE_BUCKET="+world.Bucket,
		"SLUICE_HTTP_ADDR="+r.http), "run")
	eventually(t, 30*time.Second, "it serves its health", []*process.Process{r.Process}, func() bool { return r.notReady(t.Context()) != "" })
	return r
}

// The service needs no disk: no byte can be written to any file, its folder is none in which one could be made, and there
// is no folder for temporary files, and no home.
func TestNoDisk(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	y.put(t, 1000)
	s := y.runLimited(t, "one", "cd /proc; ulimit -f 0", "TMPDIR=/nowhere", "HOME=/nowhere",
		"SLUICE_ANOMALY_DETECTORS=keys", "SLUICE_ANOMALY_KEYS_KIND=rate", "SLUICE_ANOMALY_KEYS_KEY=key")
	y.all(t, s)
	y.finish(t, s)
}

// While a process has no file descriptor left, it waits. Here others hold all that it may have, by connections to the
// address of its metrics, and each connection that it has to the services is closed.
func TestNoFileDescriptorIsLeft(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	y.put(t, 500)
	s := y.runLimited(t, "one", "ulimit -n 40")
	y.all(t, s)

	var held []net.Conn
	release := func() {
		for _, c := range held {
			c.Close()
		}
	}
	defer release()
	for range 60 {
		c, err := net.Dial("tcp", s.http)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		if _, err := fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", s.http); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []*front{y.kinesis, y.dynamo, y.s3} {
		f.CloseClientConnections()
	}
	y.put(t, 500)
	eventually(t, time.Minute, "it has no descriptor left", []*process.Process{s.Process}, func() bool {
		return strings.Contains(s.Stderr.String(), "too many open files")
	})
	release()
	y.all(t, s)
	s.ready(t)
	y.finish(t, s)
}
