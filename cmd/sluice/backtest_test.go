package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hum writes a series that is 100 and a little more or less, but for some rows, and tells the time of a row.
func hum(t *testing.T, path string, rows int, odd map[int]string) (at func(row int) string) {
	t.Helper()
	at = func(row int) string {
		return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(row) * time.Minute).Format(time.DateTime)
	}
	var text strings.Builder
	text.WriteString("timestamp,value,note\n")
	for i := range rows {
		value := fmt.Sprint(100 + i%7)
		if o, ok := odd[i]; ok {
			value = o
		}
		fmt.Fprintf(&text, "%s,%s,\"row, %d\"\n", at(i), value, i)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestBacktest(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	at := hum(t, filepath.Join(in, "a", "one.csv"), 2000, map[int]string{1500: "300", 1700: "", 1800: "-50"})
	hum(t, filepath.Join(in, "two.csv"), 1000, nil)
	labels := filepath.Join(out, "labels.json")
	text := fmt.Sprintf(`{"a/one.csv": [[%q, %q], [%q, %q]], "two.csv": []}`, at(1490), at(1520), at(1900), at(1920)+".000000")
	if err := os.WriteFile(labels, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := sluice(t, nil, "backtest", in, "--out", out, "--labels", labels, "--threshold", "0.35")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	// One alert of two is within a window, one window of two has an alert.
	contains(t, stdout, "3000 rows, 1 of them without a number", "precision")
	for line := range strings.Lines(stdout) {
		if f := strings.Fields(line); len(f) == 6 && f[0] == "0.35" && strings.Join(f, " ") != "0.35 2 0.667 0.500 0.500 *" {
			t.Errorf("at the threshold: %s", line)
		}
	}
	for name, want := range map[string]string{"a/one.csv": "1500 1800", "two.csv": ""} {
		f, err := os.Open(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(rows[0], " "); got != "timestamp value note anomaly_score anomaly" {
			t.Errorf("%s has the columns %s", name, got)
		}
		var flagged []string
		for i, row := range rows[1:] {
			if row[4] == "true" {
				flagged = append(flagged, fmt.Sprint(i))
			}
			if row[2] != fmt.Sprintf("row, %d", i) {
				t.Fatalf("%s: row %d is %v", name, i, row)
			}
		}
		if got := strings.Join(flagged, " "); got != want {
			t.Errorf("%s: flagged are the rows %s; want %s", name, got, want)
		}
	}
}

// A row is judged by those before it alone: without the later ones the result is the same.
func TestBacktestLooksBackOnly(t *testing.T) {
	results := map[int]string{}
	for _, rows := range []int{1501, 3000} {
		in, out := t.TempDir(), t.TempDir()
		hum(t, filepath.Join(in, "s.csv"), rows, map[int]string{1500: "300", 2000: "1e9", 2500: "0"})
		if status, _, stderr := sluice(t, nil, "backtest", filepath.Join(in, "s.csv"), "--out", out); status != 0 {
			t.Fatal(stderr)
		}
		text, err := os.ReadFile(filepath.Join(out, "s.csv"))
		if err != nil {
			t.Fatal(err)
		}
		results[rows] = string(text)
	}
	if !strings.HasPrefix(results[3000], results[1501]) || !strings.Contains(results[1501], ",true") {
		t.Error("later rows change what is said of earlier ones, or nothing is flagged")
	}
}

func TestBacktestRefuses(t *testing.T) {
	dir := t.TempDir()
	series, other := filepath.Join(dir, "series.csv"), filepath.Join(dir, "other.csv")
	for path, text := range map[string]string{series: "timestamp,value\n2026-03-01 00:00:00,1\nyesterday,2\n", other: "a,b\n1,2\n"} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{nil, 2, "name the files"},
		{[]string{series, "--threshold", "2"}, 2, "--threshold"},
		{[]string{series}, 1, "line 3"},
		{[]string{other}, 1, "timestamp and value"},
		{[]string{t.TempDir()}, 1, "no file *.csv"},
		{[]string{series, "--out", dir}, 2, "would replace"},
		{[]string{filepath.Join(dir, "missing.csv")}, 1, "missing.csv"},
		{[]string{series, series}, 1, "another file is called"},
	} {
		status, _, stderr := sluice(t, nil, append([]string{"backtest"}, tt.args...)...)
		if status != tt.status || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: status %d, %s; want %d, %s", tt.args, status, stderr, tt.status, tt.want)
		}
	}
}
