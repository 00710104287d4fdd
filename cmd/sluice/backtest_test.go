package main

import (
	"crypto/sha256"
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
	dir, rows := t.TempDir(), filepath.Join(t.TempDir(), "part.parquet")
	series, other := filepath.Join(dir, "series.csv"), filepath.Join(dir, "other.csv")
	for path, text := range map[string]string{series: "timestamp,value\n2026-03-01 00:00:00,1\nyesterday,2\n", other: "a,b\n1,2\n", rows: "PAR1"} {
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
		{[]string{"s3://bucket/prefix"}, 2, "SLUICE_ANOMALY_DETECTORS"},
		{[]string{rows}, 2, "SLUICE_ANOMALY_DETECTORS"},
		{[]string{rows, "--anomaly-detectors", "d", "--anomaly-d-kind", "rate", "--anomaly-d-key", "a"}, 1, "no file of sluice"},
		{[]string{other, "--anomaly-detectors", "d", "--anomaly-d-kind", "rate", "--anomaly-d-key", "a", "--out", dir}, 2, "backfill --out"},
		{[]string{other, "--anomaly-detectors", "d", "--anomaly-d-kind", "rate", "--anomaly-d-key", "c", "--format", "csv"}, 1, `the nearest is "a"`},
	} {
		status, _, stderr := sluice(t, nil, append([]string{"backtest"}, tt.args...)...)
		if status != tt.status || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: status %d, %s; want %d, %s", tt.args, status, stderr, tt.status, tt.want)
		}
	}
}

// Records, the rows that a backfill makes of them, and what these were flagged as: all tell the same.
func TestBacktestRecordsAndRows(t *testing.T) {
	dir := t.TempDir()
	records, labels, rows := filepath.Join(dir, "payments.json"), filepath.Join(dir, "labels.json"), filepath.Join(dir, "rows")
	start := time.Now().UTC().Add(-time.Hour).Format(time.RFC3339) // backfill holds times against that of the file
	status, _, stderr := sluice(t, nil, "generate", "--template", "../../internal/kdg/transaction-normal.kdg@50", "--duration", "6m", "--seed", "7", "--start", start,
		"--inject", "flood@3m+20s", "--labels", labels, "--to", records)
	if status != 0 {
		t.Fatal(stderr)
	}
	environment := []string{
		"SLUICE_TIME_COLUMN=transactiontime", "SLUICE_ANOMALY_DETECTORS=source,amount",
		"SLUICE_ANOMALY_SOURCE_KIND=rate", "SLUICE_ANOMALY_SOURCE_KEY=sourceip", "SLUICE_ANOMALY_SOURCE_WINDOW=1m",
		"SLUICE_ANOMALY_AMOUNT_KIND=rule", "SLUICE_ANOMALY_AMOUNT_EXPRESSION=transactionamount < 140",
	}
	if status, _, stderr := sluice(t, environment, "backfill", "--out", rows, records); status != 0 {
		t.Fatal(stderr)
	}
	of, pictures := map[string]string{}, filepath.Join(dir, "pictures")
	for _, path := range []string{records, rows} {
		status, stdout, stderr := sluice(t, environment, "backtest", path, "--labels", labels, "--out", pictures, "--plot")
		if status != 0 {
			t.Fatal(stderr)
		}
		for _, name := range []string{"source.png", "source.svg", "source.html", "amount.png", "amount.svg", "amount.html"} {
			drawn, err := os.ReadFile(filepath.Join(pictures, name))
			if err != nil {
				t.Fatal(err)
			}
			of[path] += fmt.Sprintf("%s: %x\n", name, sha256.Sum256(drawn))
		}
		for line := range strings.Lines(stdout) {
			if strings.HasPrefix(line, "flagged when") || strings.Contains(line, "rows of") {
				continue // of rows that were written alone
			}
			of[path] += line
		}
		if path == records {
			contains(t, stdout, "19000 rows of 1 files", "0 lines were rejected", "1,000", "sourceip ", " in 1m0s; 99.9% of the other")
			continue
		}
		var before, now, both int
		for line := range strings.Lines(stdout) {
			if n, _ := fmt.Sscanf(line, "flagged when they were written: %d rows; now: %d; in both: %d", &before, &now, &both); n == 3 && (before == 0 || before != now || now != both) {
				t.Error(line)
			}
		}
		if before == 0 {
			t.Errorf("it is not told what was flagged before:\n%s", stdout)
		}
	}
	if of[records] != of[rows] {
		t.Errorf("of the records:\n%s\nof their rows:\n%s", of[records], of[rows])
	}
	found := false
	for line := range strings.Lines(of[records]) {
		// All alerts of the rate are right, and the one flood is found; wrong amounts come all the time.
		if f := strings.Fields(line); len(f) == 8 && f[0] == "0.999" && f[7] == "*" {
			found = f[3] == "1" && f[5] == "1.000" && f[6] == "1.000"
		}
	}
	if !found {
		t.Errorf("not one alert that is right:\n%s", of[records])
	}
}

// Without a time of their own records are taken to have come at once, which is told.
func TestBacktestWithoutTimes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.json")
	if err := os.WriteFile(file, []byte("{\"n\":1,\"key\":\"\\u001b[31mred\"}\n{\"n\":-1,\"key\":\"b\"}\n{\"n\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := sluice(t, []string{"SLUICE_ANOMALY_DETECTORS=sign", "SLUICE_ANOMALY_SIGN_KIND=rule", "SLUICE_ANOMALY_SIGN_EXPRESSION=n < 0", "SLUICE_ANOMALY_SIGN_KEY=key"}, "backtest", file)
	if status != 0 {
		t.Fatal(stderr)
	}
	contains(t, stdout, "2 rows of 1 files", "1 lines were rejected", "SLUICE_TIME_COLUMN is not set", "key \uFFFD[31mred  1")
}
