package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// TestOutputs writes the lab's access log as JSON lines, as the lines that came, and as Parquet that is sorted by the time and
// partitioned by it and by a column; all of them at once, as applications of their own. DuckDB has to find the same in each.
func TestOutputs(t *testing.T) {
	const count = 1500
	w := newWorld(t.Context(), t)
	aws := world.Environment(w.KinesisURL, w.DynamoURL, w.S3URL)
	dir := t.TempDir()
	template, log := filepath.Join(dir, "access-log.kdg"), filepath.Join(dir, "access.log")
	if err := os.WriteFile(template, []byte(accessLog), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now().Add(-90 * time.Minute).UTC()
	for _, to := range []string{log, "kinesis:" + world.Stream} { // the same records; the log spans 80 minutes
		p := start(t, "generate", "sluice", aws, "generate", "--template", template+"@0.3", "--count", fmt.Sprint(count), "--seed", "7",
			"--start", begin.Format(time.RFC3339), "--to", to)
		wait(t, p, time.Minute)
	}
	var services []*process.Process
	for app, settings := range map[string][]string{
		"json": {"SLUICE_OUTPUT=json"},
		"raw":  {"SLUICE_OUTPUT=raw"},
		"none": {"SLUICE_OUTPUT=json", "SLUICE_COMPRESSION=none"},
		"zstd": {"SLUICE_OUTPUT=json", "SLUICE_COMPRESSION=zstd"},
		"parquet": {"SLUICE_TIME_COLUMN=request_received_time", "SLUICE_PARTITION_TIME=event",
			"SLUICE_PREFIX=parquet/dt=!{timestamp:yyyy-MM-dd-HH}/status=!{partitionKeyFromQuery:status}/"},
	} {
		environment := append(aws[:len(aws):len(aws)], "SLUICE_STREAM="+world.Stream, "SLUICE_BUCKET="+world.Bucket, "SLUICE_HTTP_ADDR="+address(t), "SLUICE_APP="+app+"-app",
			"SLUICE_FLUSH_INTERVAL=2s", "SLUICE_FORMAT=apache", "SLUICE_APACHE_LOG_FORMAT=kdg", "SLUICE_PREFIX="+app+"/!{timestamp:yyyy}/!{firehose:random-string}/")
		services = append(services, start(t, app, "sluice", append(environment, settings...), "run"))
	}
	lines := func(pattern string) []string {
		found, err := filepath.Glob(filepath.Join(w.Bucket, pattern))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables := map[string]string{
		"json": "json/*/*/*.json.gz", "none": "none/*/*/*.json", "zstd": "zstd/*/*/*.json.zst", "raw": "raw/*/*/*.gz", "parquet": "parquet/*/*/*.parquet",
	}
	for name, pattern := range tables {
		path := filepath.Join(w.Bucket, pattern)
		switch name {
		case "raw":
			tables[name] = fmt.Sprintf(`read_csv('%s', delim = '', quote = '', escape = '', header = false, columns = {'line': 'VARCHAR'})`, path)
		case "parquet":
			tables[name] = fmt.Sprintf(`read_parquet('%s', hive_partitioning = true, hive_types_autocast = false)`, path)
		default:
			tables[name] = fmt.Sprintf(`read_json('%s', format = 'newline_delimited')`, path)
		}
		eventually(t, 2*time.Minute, "all lines are visible in "+name, services, func() bool {
			return len(lines(pattern)) > 0 && query(t, db, "SELECT count(*)::text FROM "+tables[name])[0] == fmt.Sprint(count)
		})
	}
	for _, s := range services {
		terminate(t, s)
	}

	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	slices.Sort(want)
	got := query(t, db, "SELECT line FROM "+tables["raw"])
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the raw lines are not those that came: the first are %q and %q", got[0], want[0])
	}
	const columns = `SELECT concat_ws(' ', client_ip, user_id, epoch_ms(request_received_time::timestamptz), client_request, resource, status::text, returned_obj_size,
		ingest_shard, ingest_seq, ingest_sub, epoch_ms(ingest_time::timestamptz), anomaly) FROM %s ORDER BY ALL`
	rows := query(t, db, fmt.Sprintf(columns, tables["parquet"]))
	for _, name := range []string{"json", "none", "zstd"} {
		if got := query(t, db, fmt.Sprintf(columns, tables[name])); !slices.Equal(got, rows) || len(rows) != count {
			t.Errorf("%d rows of %s are not the %d of Parquet: the first are %q and %q", len(got), name, len(rows), got[0], rows[0])
		}
		// The times are taken for such without being told.
		if got := query(t, db, "SELECT DISTINCT typeof(ingest_time) || typeof(request_received_time) || typeof(status) FROM "+tables[name]); got[0] != "TIMESTAMPTIMESTAMPBIGINT" {
			t.Errorf("the types of %s are %s", name, got)
		}
	}

	// Folders tell the hour and the status; rows are in the right ones, and in order.
	if got := query(t, db, `SELECT count(*)::text FROM `+tables["parquet"]+` WHERE dt <> strftime(request_received_time AT TIME ZONE 'UTC', '%Y-%m-%d-%H')`); got[0] != "0" {
		t.Errorf("%s rows are in the folder of another hour", got[0])
	}
	for _, file := range lines("parquet/*/*/*.parquet") {
		table := fmt.Sprintf("read_parquet('%s', hive_partitioning = false, file_row_number = true)", file)
		if got := query(t, db, `SELECT count(*)::text FROM (SELECT request_received_time AS told, lag(request_received_time) OVER (ORDER BY file_row_number) AS earlier FROM `+table+`) WHERE told < earlier`); got[0] != "0" {
			t.Errorf("%s rows of %s are out of order", got[0], file)
		}
		if got := query(t, db, "SELECT name FROM parquet_schema('"+file+"') WHERE name = 'status'"); len(got) != 0 {
			t.Errorf("%s has the column that its folder names", file)
		}
	}
	if len(lines("parquet/*/*")) < 4 {
		t.Errorf("folders: %v", lines("parquet/*/*"))
	}
}
