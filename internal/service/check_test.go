package service

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/config"
)

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
		"SLUICE_TIME_COLUMN=at SLUICE_TIME_FORMAT=yyyy":                                             "SLUICE_TIME_FORMAT: want auto, or a pattern that tells the day",
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
