package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Of a configuration that was read again a running service takes what can change, and is told of all that does.
func TestReload(t *testing.T) {
	const file = `
app: lab
anomaly: {detectors: {
  source: {kind: rate, key: [ip], threshold: 0.9, min_count: 7},
  amount: {kind: value, metric: amount}}}
`
	read := func(text string) *Config {
		t.Helper()
		c, err := Load([]string{"--config=f", "--bucket=bucket", "--stream=s"}, nil, func(string) ([]byte, error) { return []byte(text), nil })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	replaced := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(file) }
	for name, tt := range map[string]struct {
		next string
		want []string // KEY old new, and whether it is live
		same bool     // what the service goes on with is what it had
	}{
		"nothing":   {next: file, same: true},
		"the level": {next: file + "log_level: debug\n", want: []string{"SLUICE_LOG_LEVEL info debug true"}},
		"thresholds": {
			next: replaced("0.9", "0.5", ", min_count: 7", "", "metric: amount", "metric: amount, min_count: 3"),
			want: []string{"SLUICE_ANOMALY_SOURCE_THRESHOLD 0.9 0.5 true", "SLUICE_ANOMALY_SOURCE_MIN_COUNT 7  true", "SLUICE_ANOMALY_AMOUNT_MIN_COUNT  3 true"},
		},
		"what needs a restart": {
			next: replaced("app: lab", "app: other") + "flush_bytes: 8MiB\n", same: true,
			want: []string{"SLUICE_APP lab other false", "SLUICE_FLUSH_BYTES 64MiB 8MiB false"},
		},
		"a threshold for another window": {
			next: replaced("0.9", "0.5, window: 1m"), same: true,
			want: []string{"SLUICE_ANOMALY_SOURCE_WINDOW 5m 1m false", "SLUICE_ANOMALY_SOURCE_THRESHOLD 0.9 0.5 false"},
		},
		"a detector less": {
			next: "app: lab\nanomaly: {detectors: {source: {kind: rate, key: [ip], threshold: 0.8, min_count: 7}}}",
			want: []string{"SLUICE_ANOMALY_DETECTORS source,amount source false", "SLUICE_ANOMALY_SOURCE_THRESHOLD 0.9 0.8 true",
				"SLUICE_ANOMALY_AMOUNT_KIND value  false", "SLUICE_ANOMALY_AMOUNT_METRIC amount  false"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			running, next := read(file), read(tt.next)
			before := string(running.YAML())
			merged, changes := running.Reload(next)
			var got []string
			for _, c := range changes {
				got = append(got, fmt.Sprint(c.Key, " ", c.Old, " ", c.New, " ", c.Live))
			}
			for _, c := range tt.want {
				if !slices.Contains(got, c) {
					t.Errorf("the change %q is not among %q", c, got)
				}
			}
			if string(running.YAML()) != before {
				t.Error("the running configuration was changed itself")
			}
			if tt.same != (string(merged.YAML()) == before) {
				t.Errorf("the service goes on with\n%s", merged.YAML())
			}
			if len(merged.Detectors) != 2 || merged.App != "lab" {
				t.Errorf("taken over although it needs a restart: %+v", merged)
			}
			// What is taken over is a change no more; what is not is told each time.
			_, again := merged.Reload(next)
			if i := slices.IndexFunc(again, func(c Change) bool { return c.Live }); i >= 0 {
				t.Errorf("the change %v is told again", again[i])
			}
		})
	}
}

// Each live setting is taken over by its field, too.
func TestReloadFields(t *testing.T) {
	environ := []string{"SLUICE_ANOMALY_DETECTORS=a", "SLUICE_ANOMALY_A_KIND=rate", "SLUICE_ANOMALY_A_MIN_COUNT=9"}
	running := load(t, nil, environ)
	merged, _ := running.Reload(load(t, []string{"--log-level=error"}, append(environ[:2:2], "SLUICE_ANOMALY_A_THRESHOLD=0.25")))
	d := merged.Detectors[0]
	if merged.LogLevel != "error" || d.Threshold == nil || *d.Threshold != 0.25 || d.MinCount != nil {
		t.Errorf("%+v", merged)
	}
	if running.LogLevel != "info" || running.Detectors[0].Threshold != nil || *running.Detectors[0].MinCount != 9 {
		t.Errorf("the running one is now %+v", running)
	}
}
