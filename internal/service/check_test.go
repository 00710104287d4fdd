package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/config"
)

// Records are not taken in from nobody, and a file of keys that is wrong is a fault of the configuration.
func TestIntakeKeys(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"good": "FIRST a-secret-of-sixteen\n", "bad": "FIRST\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		env   string
		fault string
		keys  bool
	}{
		"off":           {},
		"good":          {env: "INTAKE_ADDR=:0 INTAKE_KEYS_FILE=" + filepath.Join(dir, "good"), keys: true},
		"no file named": {env: "INTAKE_ADDR=:0", fault: "name a file"},
		"no such file":  {env: "INTAKE_ADDR=:0 INTAKE_KEYS_FILE=" + filepath.Join(dir, "none"), fault: "no such file"},
		"a bad file":    {env: "INTAKE_ADDR=:0 INTAKE_KEYS_FILE=" + filepath.Join(dir, "bad"), fault: "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			environ := []string{"SLUICE_STREAM=s", "SLUICE_BUCKET=bucket"}
			for _, setting := range strings.Fields(tt.env) {
				environ = append(environ, "SLUICE_"+setting)
			}
			cfg, err := config.Load(nil, environ, os.ReadFile)
			if err != nil {
				t.Fatal(err)
			}
			plan, faults := interpret(cfg)
			switch {
			case tt.fault == "":
				if len(faults) > 0 || (plan.keys != nil) != tt.keys {
					t.Errorf("keys %v, faults %v", plan.keys, faults)
				}
			case len(faults) != 1 || faults[0].Key != "SLUICE_INTAKE_KEYS_FILE" || !strings.Contains(faults[0].Message, tt.fault):
				t.Errorf("faults %v", faults)
			}
		})
	}
}

// What a prefix says of columns is checked at the start where they are known then.
func TestCheckPrefixes(t *testing.T) {
	for env, want := range map[string]string{
		"SLUICE_FORMAT=apache SLUICE_PREFIX=a/!{partitionKeyFromQuery:status}/":                     "",
		"SLUICE_FORMAT=apache SLUICE_PREFIX=a/!{partitionKeyFromQuery:ingest_shard}/":               "",
		"SLUICE_FORMAT=apache SLUICE_PREFIX=a/!{partitionKeyFromQuery:state}/":                      `SLUICE_PREFIX: there is no column "state"; there are client_ip,`,
		"SLUICE_PREFIX=a/!{partitionKeyFromQuery:city}/":                                            "",
		"SLUICE_PREFIX=a/!{partitionKeyFromLambda:city}/":                                           "SLUICE_PREFIX: at character 3",
		"SLUICE_FORMAT=apache SLUICE_TIME_COLUMN=request_received_time SLUICE_PARTITION_TIME=event": "",
		"SLUICE_FORMAT=apache SLUICE_TIME_COLUMN=ingest_time":                                       `SLUICE_TIME_COLUMN: the schema has no column "ingest_time"`,
		"SLUICE_PARTITION_TIME=event":                                                               "SLUICE_PARTITION_TIME: event needs a column",
		"SLUICE_TIME_COLUMN=at SLUICE_TIME_FORMAT=yyyy":                                             "SLUICE_TIME_FORMAT: the time format \"yyyy\" does not say the year, the month and the day",
		"SLUICE_ERROR_PREFIX=e/!{timestamp:yyyy}":                                                   "SLUICE_ERROR_PREFIX: !{firehose:error-output-type} is missing",
	} {
		cfg, err := config.Load(nil, append(strings.Fields(env), "SLUICE_STREAM=s", "SLUICE_BUCKET=bucket"), os.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		faults := Check(cfg)
		if want == "" && faults != nil || want != "" && (len(faults) != 1 || !strings.HasPrefix(faults[0].String(), want)) {
			t.Errorf("%s: %v; want %q", env, faults, want)
		}
	}
}
