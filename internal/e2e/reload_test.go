package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/process"
)

// While records come, SIGHUP changes from when on they are flagged, and how much is logged: no record is lost or written twice,
// the process stays, and a configuration with a fault changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write := func(settings, minCount string) {
		t.Helper()
		text := settings + "\nanomaly: {detectors: {often: {kind: rate, key: [key], threshold: 0.01, min_count: " + minCount + "}}}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const never = "1000000000"
	write("log_level: info", never)
	s := y.run(t, "one", "SLUICE_CONFIG="+file)
	y.put(t, 2000)
	y.all(t, s)
	hangUp := func(answer string) {
		t.Helper()
		told := strings.Count(s.Stderr.String(), answer)
		if err := s.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		y.put(t, 1000)
		eventually(t, time.Minute, answer, []*process.Process{s.Process}, func() bool { return strings.Count(s.Stderr.String(), answer) > told })
		y.put(t, 1000)
		y.all(t, s)
	}
	flags := func() float64 { return s.metric(t, "sluice_anomalies_total") }

	write("log_level: loud", "1")
	hangUp("SLUICE_LOG_LEVEL")
	if n := flags(); n != 0 {
		t.Errorf("%v rows are flagged by a configuration with a fault", n)
	}
	write("log_level: debug\nflush_interval: 1h", "1")
	hangUp("the configuration is reloaded")
	for _, part := range []string{
		fmt.Sprintf(`"key":"SLUICE_ANOMALY_OFTEN_MIN_COUNT","old":"%s","new":"1"`, never), `"key":"SLUICE_LOG_LEVEL","old":"info","new":"debug"`,
	} {
		if !strings.Contains(s.Stderr.String(), part) {
			t.Errorf("the log does not tell %s", part)
		}
	}
	// SLUICE_FLUSH_INTERVAL is in its environment, which is stronger than the file: that is no change.
	if strings.Contains(s.Stderr.String(), "needs a restart") {
		t.Error("the log tells of a change that there is not")
	}
	eventually(t, time.Minute, "rows are flagged", []*process.Process{s.Process}, func() bool { y.put(t, 100); return flags() > 0 })
	y.all(t, s)
	y.finish(t, s)
}
