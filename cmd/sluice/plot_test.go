package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// redColumns are the places, from left to right, at which the part of a PNG that shows values has the colour of flags, and the PNG's width.
func redColumns(t *testing.T, path string) (columns []int, width int) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	image, err := png.Decode(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	size := image.Bounds().Size()
	for x := range size.X {
		for y := range size.Y * 2 / 3 {
			if r, g, b, _ := image.At(x, y).RGBA(); r > 0xa000 && g < 0x4000 && b < 0x4000 {
				columns = append(columns, x)
				break
			}
		}
	}
	return columns, size.X
}

// wellFormed fails the test if a file is no XML.
func wellFormed(t *testing.T, path string) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(body)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
}

// draws skips a test where time is short: pictures are computed for seconds, by one goroutine.
func draws(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("pictures take seconds under the race detector; they are drawn without -short, as by the README's test command")
	}
}

// Each series is drawn beside its copy: what is flagged is red where it lies in time, and nothing else is.
func TestBacktestPlotsSeries(t *testing.T) {
	draws(t)
	in, out := t.TempDir(), filepath.Join(t.TempDir(), "new")
	hum(t, filepath.Join(in, "a", "one.csv"), 2000, map[int]string{1500: "300", 1800: "-50", 1900: "NaN"})
	hum(t, filepath.Join(in, "two.csv"), 1000, nil)
	hum(t, filepath.Join(in, "none.csv"), 0, nil)
	status, stdout, stderr := sluice(t, nil, "backtest", in, "--out", out, "--plot")
	if status != 0 {
		t.Fatal(stderr)
	}
	for name, flagged := range map[string][]float64{"a/one": {0.75, 0.9}, "two": nil, "none": nil} {
		path := filepath.Join(out, name)
		contains(t, stdout, "drawn: "+path+".png, .svg and .html\n")
		wellFormed(t, path+".svg")
		seen := map[float64]bool{}
		columns, width := redColumns(t, path+".png")
		for _, x := range columns {
			const left, right = 0.075, 0.99 // where the time begins and ends, of the width
			at := (float64(x)/float64(width) - left) / (right - left)
			near := slices.IndexFunc(flagged, func(f float64) bool { return math.Abs(at-f) < 0.02 })
			if near < 0 {
				t.Fatalf("%s: it is red at %.3f of the time", name, at)
			}
			seen[flagged[near]] = true
		}
		if len(seen) != len(flagged) {
			t.Errorf("%s: red is %v; want %v", name, seen, flagged)
		}
		page, err := os.ReadFile(path + ".html")
		if err != nil {
			t.Fatal(err)
		}
		contains(t, string(page), "<title>"+name+".csv - sluice backtest</title>", "default-src 'none'")
	}
}

// For each detector there is a picture, in the folder that is named; and a place where none can be is told.
func TestBacktestPlotsDetectors(t *testing.T) {
	draws(t)
	dir := t.TempDir()
	records, out := filepath.Join(dir, "records.json"), filepath.Join(dir, "out")
	var text strings.Builder
	for i := range 2800 {
		fmt.Fprintf(&text, `{"at":"2026-03-01T%02d:%02d:00Z","item":"%d","price":%d}`+"\n", i/120, i/2%60, i%2, 10+i%5+1000*(i%2)+500*(i/2500*(1-i%2)))
	}
	if err := os.WriteFile(records, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := []string{"SLUICE_TIME_COLUMN=at", "SLUICE_ANOMALY_DETECTORS=price,often,sums", "SLUICE_ANOMALY_PRICE_KIND=value", "SLUICE_ANOMALY_PRICE_METRIC=price", "SLUICE_ANOMALY_PRICE_KEY=item",
		"SLUICE_ANOMALY_OFTEN_KIND=rate", "SLUICE_ANOMALY_OFTEN_KEY=item", "SLUICE_ANOMALY_SUMS_KIND=rule", "SLUICE_ANOMALY_SUMS_EXPRESSION=price < 2000"}
	status, stdout, stderr := sluice(t, environment, "backtest", records, "--out", out, "--plot")
	if status != 0 {
		t.Fatal(stderr)
	}
	for name, title := range map[string]string{"price": "price (value of price by item in 5m0s): item 0", "often": "at each time the strangest of all keys", "sums": "sums (rule price &lt; 2000)"} {
		path := filepath.Join(out, name)
		contains(t, stdout, "drawn: "+path+".png")
		wellFormed(t, path+".svg")
		if columns, _ := redColumns(t, path+".png"); (len(columns) > 0) != (name == "price") {
			t.Errorf("%s: red are %v", name, columns)
		}
		page, err := os.ReadFile(path + ".html")
		if err != nil {
			t.Fatal(err)
		}
		contains(t, string(page), title)
		var data struct{ Values, Flagged []*float64 }
		_, content, _ := strings.Cut(string(page), `id="data">`)
		content, _, _ = strings.Cut(content, "</script>")
		if err := json.Unmarshal([]byte(content), &data); err != nil {
			t.Fatal(err)
		}
		if name != "price" {
			continue
		}
		other := func(x *float64) bool { return *x > 1000 }
		if n := len(data.Values); n != 1400 || !slices.ContainsFunc(data.Flagged, func(x *float64) bool { return x != nil && *x > 500 }) || slices.ContainsFunc(data.Values, other) {
			t.Errorf("of 1,400 prices of the item there are %d, without the flags, or with prices of the other item", n)
		}
	}
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--plot"}, 2, "--out"},
		{[]string{"--plot", "--out", filepath.Join(records, "below")}, 1, records},
	} {
		if status, _, stderr := sluice(t, environment, append([]string{"backtest", records}, tt.args...)...); status != tt.status || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: status %d, %s", tt.args, status, stderr)
		}
	}
	if err := os.Remove(filepath.Join(out, "price.svg")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(out, "price.svg"), 0o700); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := sluice(t, environment, "backtest", records, "--out", out, "--plot"); status != 1 || !strings.Contains(stderr, filepath.Join(out, "price.svg")) {
		t.Errorf("a folder in the picture's place: status %d, %s", status, stderr)
	}
}

// commandEnv makes the test binary be sluice: shells of tests call it.
const commandEnv = "TEST_BINARY_IS_SLUICE"

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// example types the commands of docs/anomalies.md that draw pictures into a shell, in a folder in which the project's templates are, and gives what
// they print.
func example(t *testing.T, dir string) (stdout string) {
	t.Helper()
	_, script, found := strings.Cut(anomaliesPage(t), "```sh\nsluice generate ")
	script, _, closed := strings.Cut(script, "```")
	if !found || !closed || !strings.Contains(script, "--out pictures --plot") {
		t.Fatalf("docs/anomalies.md has no commands that draw pictures:\n%s", script)
	}
	internal, err := filepath.Abs("../../internal")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(internal, filepath.Join(dir, "internal")); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	programs := t.TempDir()
	if err := os.Symlink(self, filepath.Join(programs, "sluice")); err != nil {
		t.Fatal(err)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-ec", "sluice generate "+script)
	shell.Dir = dir
	shell.Env = []string{"PATH=" + programs, commandEnv + "=1"}
	var out, errs bytes.Buffer
	shell.Stdout, shell.Stderr = &out, &errs
	if err := shell.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	return out.String()
}

func anomaliesPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/anomalies.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// What docs/anomalies.md shows of its example is what the commands print and draw.
func TestBacktestExample(t *testing.T) {
	draws(t)
	dir := t.TempDir()
	stdout := example(t, dir)
	_, shown, _ := strings.Cut(anomaliesPage(t), "```text\ndrawn: ")
	shown, _, _ = strings.Cut(shown, "```")
	lines := 0
	for line := range strings.Lines("drawn: " + shown) {
		if line = strings.TrimRight(line, " \n"); line != "" && strings.TrimSpace(line) != "..." {
			contains(t, stdout, line)
			lines++
		}
	}
	if lines < 5 {
		t.Errorf("the page shows %d lines of what is printed; that is not the example", lines)
	}
	const name = "backtest.png"
	drawn, err := os.ReadFile(filepath.Join(dir, "pictures", "amount.png"))
	if err != nil {
		t.Fatal(err)
	}
	if shots := os.Getenv(shotsEnv); shots != "" {
		if err := os.WriteFile(filepath.Join(shots, name), drawn, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(filepath.Join("../../docs/images", name))
	if err != nil {
		t.Fatal(err)
	}
	if share := differing(t, drawn, kept); share > 0.002 { // processors do not round alike
		t.Errorf("docs/images/%s is stale, %.1f%% of it: %s=docs/images go test ./cmd/sluice -run BacktestExample", name, 100*share, shotsEnv)
	}
}

// differing is the share of the points in which two PNGs are not the same.
func differing(t *testing.T, a, b []byte) float64 {
	t.Helper()
	x, err := png.Decode(bytes.NewReader(a))
	if err != nil {
		t.Fatal(err)
	}
	y, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if x.Bounds() != y.Bounds() {
		return 1
	}
	n, size := 0, x.Bounds().Size()
	for i := range size.X {
		for j := range size.Y {
			if x.At(i, j) != y.At(i, j) {
				n++
			}
		}
	}
	return float64(n) / float64(size.X*size.Y)
}

// browserEnv is that of internal/status/browser_test.go: the folder with playwright-core.
const browserEnv = "STATUS_BROWSER"

// shotsEnv names a folder for pictures of the example, such as docs/images; the path of it is absolute, or from here.
const shotsEnv = "SLUICE_BACKTEST_SHOTS"

// The walk over the pages is testdata/backtest.js.
func TestBacktestPlotsInABrowser(t *testing.T) {
	modules := os.Getenv(browserEnv)
	if modules == "" {
		t.Skipf("%s names no folder with playwright-core (npm ci in a copy of internal/status/browser)", browserEnv)
	}
	browser, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Skipf("there is no browser: install Debian's chromium-headless-shell: %v", err)
	}
	if testing.Short() {
		t.Skip("a browser takes long under the race detector")
	}
	dir := t.TempDir()
	example(t, dir)
	var keys strings.Builder
	for i, key := range []string{
		`<img src=x onerror="window.stolen=1">`, `</script><script>window.stolen=1</script>`, `</title><svg onload=window.stolen=1>`, "\u202e\u2066gnitirw\u2067", `"><svg onload=window.stolen=1>`,
		"\x00", strings.Repeat("long", 1000), `<!--<script>`, "javascript:window.stolen=1",
	} {
		line, err := json.Marshal(map[string]any{"at": fmt.Sprintf("2026-03-01T00:00:0%dZ", i), "key": key, "n": -1})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 - i { // the first is flagged most
			keys.Write(append(line, '\n'))
		}
	}
	hostile := filepath.Join(dir, "hostile.json")
	if err := os.WriteFile(hostile, []byte(keys.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := []string{"SLUICE_TIME_COLUMN=at", "SLUICE_ANOMALY_DETECTORS=sign", "SLUICE_ANOMALY_SIGN_KIND=rule", "SLUICE_ANOMALY_SIGN_EXPRESSION=n > 0", "SLUICE_ANOMALY_SIGN_KEY=key"}
	if status, _, stderr := sluice(t, environment, "backtest", hostile, "--out", filepath.Join(dir, "hostile"), "--plot"); status != 0 {
		t.Fatal(stderr)
	}
	series := filepath.Join(dir, "series")
	hum(t, filepath.Join(series, "none.csv"), 0, nil)
	hum(t, filepath.Join(series, "one.csv"), 1, nil)
	hum(t, filepath.Join(series, "extreme.csv"), 300, map[int]string{100: "1e150", 200: "-1e150", 250: "-Inf", 251: "nan"})
	if status, _, stderr := sluice(t, nil, "backtest", series, "--out", filepath.Join(dir, "drawn"), "--plot"); status != 0 {
		t.Fatal(stderr)
	}
	shots := os.Getenv(shotsEnv)
	if shots != "" {
		if shots, err = filepath.Abs(shots); err != nil {
			t.Fatal(err)
		}
	}
	walk, err := os.ReadFile("testdata/backtest.js")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{
		"example": "pictures/amount.html", "hostile": "hostile/sign.html", "none": "drawn/none.html", "one": "drawn/one.html", "extreme": "drawn/extreme.html",
	}
	for name, path := range pages {
		pages[name] = "file://" + filepath.ToSlash(filepath.Join(dir, path))
	}
	argument, err := json.Marshal(map[string]any{"pages": pages, "browser": browser, "shots": shots})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", "-e", string(walk), "walk", string(argument))
	node.Dir = modules
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
