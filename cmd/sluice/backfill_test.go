package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBackfill(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	var files []string
	for name, text := range map[string]string{
		"first.log":  "203.0.113.9 - ada [25/Nov/2026:19:07:33 +0000] \"GET /a HTTP/1.1\" 200 12 \"-\" \"-\"\nno line\n",
		"second.log": "2001:db8::1 - - [25/Nov/2026:19:07:34 +0000] \"GET /b HTTP/1.1\" 404 - \"-\" \"-\"\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	sums := func(args ...string) (s backfillSums) {
		t.Helper()
		status, stdout, stderr := sluice(t, []string{"SLUICE_FORMAT=apache"}, append([]string{"backfill", "--out", out, "--json"}, args...)...)
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); status != 0 || err != nil || len(lines) != len(args)+1 {
			t.Fatalf("status %d, %v:\n%s%s", status, err, stdout, stderr)
		}
		return s
	}
	first := sums(files...)
	if first.Inputs != 2 || first.Before != 0 || first.Records != 3 || first.Rows != 2 || first.Rejects != 1 || first.Files != 3 || first.Bytes == 0 || first.CPU <= 0 {
		t.Errorf("two files gave %+v", first)
	}
	for pattern, want := range map[string]int{"data/dt=*/sluice-backfill-*-e1-c1-0.parquet": 2, "errors/processing-failed/dt=*/sluice-backfill-*-e1-c1-1.json.gz": 1} {
		if found, err := filepath.Glob(filepath.Join(out, pattern)); err != nil || len(found) != want {
			t.Errorf("%s: %v, %v; want %d", pattern, found, err, want)
		}
	}
	if again := sums(files...); again.Before != 2 || again.Rows != 0 {
		t.Errorf("the same files gave %+v", again)
	}
	status, stdout, _ := sluice(t, []string{"SLUICE_FORMAT=apache"}, "backfill", "--out", out, files[0])
	if status != 0 {
		t.Errorf("status %d", status)
	}
	contains(t, stdout, "was brought before", "nothing to do", "CPU seconds")
}
