package picture

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/backtest"
)

const hostile = "</script><script>alert(1)</script>\x00\x1b]0;\u202e<img src=x onerror=alert(1)>&amp;'\"\xff]]>"

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// spikes is a chart of n values a second apart, one of which is flagged.
func spikes(n int, title string) *Chart {
	c := &Chart{
		Title: title, Value: title, Curve: backtest.NewCurve(), Thresholds: []float64{0.5, 0.9, 0.999}, Chosen: 2, Alerts: []int64{500, 20, 1}, Flags: []int64{9000, 300, 40},
		Keys: []backtest.Key{{Key: title, Count: 40, Score: 0.9999, At: start, Reason: title}}, Right: []backtest.Window{{From: start, To: start.Add(100 * time.Second)}},
	}
	for i := range n {
		p := backtest.Point{Value: 10 + math.Sin(float64(i)/600), Band: i > n/10, Lower: 8, Upper: 12, Score: 0.1}
		if i == n/2 && n > 1 {
			p.Value, p.Score, p.Flagged = 60, 0.9999, true
		}
		c.Curve.Add(start.UnixMilli()+int64(i)*1000, p)
	}
	return c
}

// extreme is a chart of the greatest values, times and numbers that there can be.
func extreme() *Chart {
	c := &Chart{Curve: backtest.NewCurve(), Thresholds: []float64{0.5, 1}, Alerts: []int64{math.MaxInt64, 0}, Keys: []backtest.Key{{At: time.UnixMilli(math.MaxInt64)}}}
	c.Curve.Add(math.MinInt64, backtest.Point{Value: -1e300, Band: true, Lower: -1e300, Upper: 1e300})
	c.Curve.Add(math.MaxInt64, backtest.Point{Value: 1e300})
	c.Curve.Add(0, backtest.Point{Value: math.NaN()})
	c.Curve.Add(1, backtest.Point{Value: 5e-324, Band: true, Lower: math.NaN(), Upper: math.Inf(1)})
	return c
}

// constant is a chart of one value.
func constant(x float64) *Chart {
	c := spikes(0, "constant")
	for i := range int64(100) {
		c.Curve.Add(i, backtest.Point{Value: x})
	}
	return c
}

// noise is a chart in which each line and each edge crosses the whole height.
func noise() *Chart {
	c := spikes(0, "noise")
	for i := range int64(10_000) {
		x := float64(i*i%977) + float64(i%2)*1000
		c.Curve.Add(start.UnixMilli()+1000*i, backtest.Point{Value: x, Band: i > 10, Lower: -2 * x, Upper: 2 * x})
	}
	return c
}

// red counts the points of a PNG in the part for the values that have the colour of flags.
func red(t *testing.T, body []byte) (n int) {
	t.Helper()
	image, err := png.Decode(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if size := image.Bounds().Size(); size.X != 1200 || size.Y != 720 {
		t.Errorf("the PNG has %v points", size)
	}
	for y := range 480 {
		for x := range 1200 {
			if r, g, b, _ := image.At(x, y).RGBA(); r > 0xa000 && g < 0x4000 && b < 0x4000 {
				n++
			}
		}
	}
	return n
}

// All pictures are whole, whatever a name is, and however many values there are: the one that is flagged is drawn.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]*Chart{
		"many": spikes(300_000, "ordinary"), "hostile": spikes(1000, hostile), "one": spikes(1, "one"), "none": spikes(0, "none"), "two": spikes(2, ""),
		"noise": noise(), "extreme": extreme(), "zero": constant(0), "great": constant(1e300), "uneven": constant(1.0/3 + 1e15), "nothing": {Curve: backtest.NewCurve()},
	} {
		path, before := filepath.Join(dir, "new", name), used(t)
		if err := c.Write(path); err != nil {
			t.Fatal(err)
		}
		if took := used(t) - before; took > 10*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		raster, err := os.ReadFile(path + ".png")
		if err != nil {
			t.Fatal(err)
		}
		if n, flagged := red(t, raster), name == "many" || name == "hostile" || name == "two"; flagged != (n > 10) {
			t.Errorf("%s: %d points are red", name, n)
		}
		vector, err := os.ReadFile(path + ".svg")
		if err != nil {
			t.Fatal(err)
		}
		elements(t, name, vector)
	}
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := spikes(1, "").Write(filepath.Join(blocked, "x")); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("below a file: %v", err)
	}
}

// used is for how long the process has been on a processor: that does not depend on what else the machine does.
func used(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// elements reads an SVG, which must be XML and have none that does things.
func elements(t *testing.T, name string, vector []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(vector)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%s: the SVG is no XML: %v", name, err)
		}
		if e, ok := token.(xml.StartElement); ok && (e.Name.Local == "script" || e.Name.Local == "img" || e.Name.Local == "image") {
			t.Errorf("%s: the SVG has an element %s", name, e.Name.Local)
		}
	}
}

var outside = regexp.MustCompile(`(?i)(src|href|action|url)\s*[=(]`)

// The page asks for nothing, and what is hostile stays text.
func TestPage(t *testing.T) {
	for name, c := range map[string]*Chart{"many": spikes(100_000, "ordinary"), "hostile": spikes(1000, hostile), "extreme": extreme(), "nothing": {Curve: backtest.NewCurve()}} {
		var out bytes.Buffer
		if err := c.page(&out); err != nil {
			t.Fatal(err)
		}
		page := out.String()
		if n := strings.Count(page, "</script>"); n != 3 {
			t.Errorf("%s: the page has %d ends of scripts; want 3", name, n)
		}
		begin, rest, _ := strings.Cut(page, `<script type="application/json" id="data">`)
		text, _, _ := strings.Cut(rest, "</script>")
		escaped := strings.ReplaceAll(begin, "&lt;img src=x", "")
		if found := outside.FindAllString(escaped, -1); len(found) > 0 {
			t.Errorf("%s: the page points elsewhere: %q", name, found)
		}
		if strings.Contains(begin, "<script") || strings.ContainsAny(text, "<>") {
			t.Errorf("%s: a text is part of the page as it is", name)
		}
		var data pageChart
		if err := json.Unmarshal([]byte(text), &data); err != nil {
			t.Fatal(err)
		}
		if name == "many" {
			flags := 0
			for _, f := range data.Flagged {
				if f != nil && *f == 60 {
					flags++
				}
			}
			if n := len(data.At); flags != 1 || n > 2*pageBins+1 || n < 1000 {
				t.Errorf("of 100,000 values the page has %d, and %d flags; want one", n, flags)
			}
		}
		if name == "hostile" && data.Keys[0].Key != strings.ToValidUTF8(hostile, "\uFFFD") {
			t.Errorf("the key is %q", data.Keys[0].Key)
		}
	}
}
