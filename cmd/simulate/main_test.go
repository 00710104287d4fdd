package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	for _, test := range []struct {
		args   string
		status int
		want   string // in standard output
	}{
		{"--seeds 200", 0, "200 runs without a fault"},
		{"--seeds 2000 --mutation nofence", 2, ""},
		{"--seeds many", 2, ""},
		{"all", 2, ""},
		{"--help", 0, ""},
		{"--from 7 --seeds 1 --trace", 0, "the faults end"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), strings.Fields(test.args), &stdout, &stderr); status != test.status || !strings.Contains(stdout.String(), test.want) {
			t.Errorf("simulate %s ends with %d:\n%s%s", test.args, status, stdout.String(), stderr.String())
		}
	}
}

// The first fault is told with its seed and its story, whatever the order in which runs end.
func TestAFaultIsTold(t *testing.T) {
	var told string
	for range 3 {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), []string{"--mutation", "no left"}, &stdout, &stderr); status != 1 {
			t.Fatalf("the status is %d; want 1: %s", status, stderr.String())
		}
		text := stdout.String()
		lines := strings.Split(strings.TrimSpace(text), "\n")
		last := lines[len(lines)-1]
		if len(lines) < 100 || !strings.HasPrefix(last, "seed ") || !strings.Contains(lines[len(lines)-2], "FAULT: ") {
			t.Fatalf("no story with a seed: %s", text)
		}
		if told != "" && text != told {
			t.Errorf("two calls tell different stories: %s, and %s", told[max(0, len(told)-100):], last)
		}
		told = text
	}
}
