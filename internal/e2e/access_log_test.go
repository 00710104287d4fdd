package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// accessLog is the lab's template of modules 1 and 4 to 6.
const accessLog = `{{internet.ip}} - {{name.firstName}} [{{date.now("DD/MMM/YYYY:HH:mm:ss ZZ")}}] ` +
	`"{{random.weightedArrayElement({"weights":[0.6,0.1,0.1,0.2],"data":["GET","POST","DELETE","PUT"]})}} ` +
	`{{random.arrayElement(["/list","/wp-content","/wp-admin","/explore","/search/tag/list","/app/main/posts","/posts/posts/explore"])}}" ` +
	`{{random.weightedArrayElement({"weights": [0.9,0.04,0.02,0.04], "data":["200","404","500","301"]})}} {{random.number(10000)}}`

// accessLine is a line that the template gives.
var accessLine = regexp.MustCompile(`^(\S+) - (\S+) \[([^\]]+)\] "([A-Z]+) (\S+)" (\d+) (\d+)$`)

// TestAccessLog brings the lab's access log from its template into Parquet, and asks the lab's question.
func TestAccessLog(t *testing.T) {
	const count = 2000
	w := newWorld(t.Context(), t)
	aws := world.Environment(w.KinesisURL, w.DynamoURL, w.S3URL)
	dir := t.TempDir()
	template, log := filepath.Join(dir, "access-log.kdg"), filepath.Join(dir, "access.log")
	if err := os.WriteFile(template, []byte(accessLog), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{log, "kinesis:" + world.Stream} { // the same records
		p := start(t, "generate", "sluice", aws, "generate", "--template", template+"@1000", "--count", fmt.Sprint(count), "--seed", "7",
			"--start", "2026-11-25T12:00:00Z", "--to", to)
		wait(t, p, time.Minute)
	}
	service := start(t, "service", "sluice", append(aws, "SLUICE_STREAM="+world.Stream, "SLUICE_BUCKET="+world.Bucket, "SLUICE_HTTP_ADDR="+address(t),
		"SLUICE_FLUSH_INTERVAL=2s", "SLUICE_FORMAT=apache", "SLUICE_APACHE_LOG_FORMAT=kdg"), "run")
	visible := world.Visible{}
	eventually(t, 2*time.Minute, "all lines are visible", []*process.Process{service}, func() bool { return visibleRows(t, visible, w) >= count })
	terminate(t, service)

	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	missing := 0
	for line := range bytes.Lines(text) {
		m := accessLine.FindStringSubmatch(strings.TrimSpace(string(line)))
		if m == nil {
			t.Fatalf("the template gave %q", line)
		}
		at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[3])
		if err != nil {
			t.Fatal(err)
		}
		if m[6] == "404" {
			missing++
		}
		want = append(want, strings.Join([]string{m[1], m[2], fmt.Sprint(at.UnixMilli()), m[4], m[5], m[6], m[7]}, " "))
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	table := fmt.Sprintf(`read_parquet('%s/data/**/*.parquet')`, w.Bucket)
	if got := query(t, db, `SELECT count(*)::text FROM `+table+` WHERE status = '404'`); got[0] != fmt.Sprint(missing) || missing == 0 {
		t.Errorf("%s rows of the status 404; want %d", got[0], missing)
	}
	got := query(t, db, `SELECT concat_ws(' ', client_ip, user_id, epoch_ms(request_received_time), client_request, resource, status, returned_obj_size)
		FROM `+table+` WHERE client_id IS NULL AND version IS NULL AND rescued IS NULL`)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d rows are not the %d lines: the first are %q and %q", len(got), len(want), got[:min(1, len(got))], want[0])
	}
}
