package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// backtested runs sluice backtest over the rows of a service, for the detectors of the environment, which are the service's: it must flag
// the rows that are flagged, all of them and no others. It gives what is printed.
func backtested(t *testing.T, environment []string, place string) string {
	t.Helper()
	p := start(t, "backtest", "sluice", environment, "backtest", place)
	wait(t, p, time.Minute)
	out := p.Stdout.String()
	told := false
	for line := range strings.Lines(out) {
		var before, now, both int
		if n, _ := fmt.Sscanf(line, "flagged when they were written: %d rows; now: %d; in both: %d", &before, &now, &both); n == 3 {
			told = true
			if before == 0 || now != before || both != before {
				t.Errorf("%s: %s", place, line)
			}
		}
	}
	if !told {
		t.Errorf("%s: it is not told what was flagged:\n%s", place, out)
	}
	return out
}
