package e2e

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// backtested runs sluice backtest over the rows of a service, for the detectors of the environment, which are the service's: it must flag
// the rows that are flagged, all of them and no others, and draw each detector. It gives what is printed.
func backtested(t *testing.T, environment []string, place string) string {
	t.Helper()
	pictures := filepath.Join(t.TempDir(), "pictures")
	p := start(t, "backtest", "sluice", environment, "backtest", place, "--out", pictures, "--plot")
	wait(t, p, time.Minute)
	out := p.Stdout.String()
	told, drawn := false, 0
	for line := range strings.Lines(out) {
		if _, path, ok := strings.Cut(strings.TrimSuffix(line, ".png, .svg and .html\n"), "drawn: "); ok {
			drawn++
			picture(t, path)
		}
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
	if drawn == 0 {
		t.Errorf("%s: nothing is drawn:\n%s", place, out)
	}
	return out
}

// picture holds that there are a PNG, an SVG and a page of a name.
func picture(t *testing.T, path string) {
	t.Helper()
	read := func(extension string) []byte {
		body, err := os.ReadFile(path + extension)
		if err != nil {
			t.Error(err)
		}
		return body
	}
	if _, err := png.Decode(bytes.NewReader(read(".png"))); err != nil {
		t.Errorf("%s.png: %v", path, err)
	}
	if err := xml.Unmarshal(read(".svg"), new(struct{ XMLName xml.Name })); err != nil {
		t.Errorf("%s.svg: %v", path, err)
	}
	if !bytes.Contains(read(".html"), []byte("</html>")) {
		t.Errorf("%s.html has no end", path)
	}
}
