package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
)

const (
	abnormal    = "221.233.116.256" // the address that the lab's abnormal transactions come from
	localStream = "TicketTransactionStreamingData"
)

// summary is what sluice-local --json prints last.
type summary struct {
	Records      int    `json:"records"`
	Rows         int    `json:"rows"`
	Rejected     int    `json:"rejected"`
	Anomalies    int    `json:"anomalies"`
	Commits      int    `json:"commits"`
	Files        int    `json:"files"`
	Bytes        int64  `json:"bytes"`
	DataDir      string `json:"data_dir"`
	TopAnomalies []struct {
		Detector string  `json:"detector"`
		Key      string  `json:"key"`
		Count    int     `json:"count"`
		MaxScore float64 `json:"max_score"`
	} `json:"top_anomalies"`
}

// summarise reads the summary of a process that ended, strictly: every field must be there, and be of the documented type.
func summarise(t *testing.T, p *process.Process) summary {
	t.Helper()
	var s summary
	var members map[string]json.RawMessage
	line := p.LastLine()
	if err := errors.Join(json.Unmarshal(line, &s), json.Unmarshal(line, &members)); err != nil {
		t.Fatalf("the last line of standard output is no summary: %v: %s", err, line)
	}
	for _, name := range []string{"records", "rows", "rejected", "anomalies", "commits", "files", "bytes", "data_dir", "top_anomalies"} {
		if _, ok := members[name]; !ok {
			t.Errorf("the summary has no %q: %s", name, line)
		}
	}
	return s
}

// localOutput is where sluice-local wrote, given the data_dir of its summary.
func localOutput(dataDir string) check.Output {
	dir := filepath.Clean(dataDir)
	if filepath.Base(dir) == localStream {
		dir = filepath.Dir(dir)
	}
	return check.Output{
		Dir: dir, Stream: localStream,
		Prefix: localStream + "/ingest_year=!{timestamp:yyyy}/ingest_month=!{timestamp:MM}/" +
			"ingest_day=!{timestamp:dd}/ingest_hour=!{timestamp:HH}/",
		ErrorPrefix: "errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/",
		StatePrefix: "_sluice/",
	}
}

// exact checks an output by both readers, and fails the test if it is not what the ledger says.
func exact(t *testing.T, output check.Output, ledger *check.Ledger) check.Report {
	t.Helper()
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	duck := check.DuckDB(db)
	report, err := output.Exact(ledger, duck)
	if err != nil {
		t.Fatal(err)
	}
	if report.Acknowledged == 0 {
		t.Fatal("nothing was acknowledged: there is nothing to check")
	}
	rows, err := output.SameInBoth(duck, check.Arrow)
	if err != nil {
		t.Fatal(err)
	}
	if rows != report.Rows {
		t.Fatalf("%d rows, then %d: somebody still writes", report.Rows, rows)
	}
	t.Logf("exact: %+v", report)
	return report
}

func readLedger(t *testing.T, dir string) *check.Ledger {
	t.Helper()
	ledger, err := check.ReadLedger(filepath.Join(dir, "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return ledger
}

// TestLocal runs the lab's job for 20 s, and asks the lab's questions.
func TestLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "sluice-local", "sluice-local", nil, "--duration", "20s", "--dir", dir, "--seed", "1", "--json", "--http", address(t))
	wait(t, p, 60*time.Second)
	s := summarise(t, p)
	if len(s.TopAnomalies) == 0 || s.TopAnomalies[0].Key != abnormal {
		t.Errorf("the top anomalies are %+v; want %s first", s.TopAnomalies, abnormal)
	}
	output, ledger := localOutput(s.DataDir), readLedger(t, dir)
	report := exact(t, output, ledger)
	if ledger.Torn != 0 || report.Unacknowledged != 0 {
		t.Errorf("%d torn lines and %d unacknowledged records in a run that nobody killed", ledger.Torn, report.Unacknowledged)
	}
	if least := 20 * 101 * 9 / 10; ledger.Len() < least {
		t.Errorf("%d records in 20 s; want %d at least", ledger.Len(), least)
	}
	if s.Records != ledger.Len() || s.Rows != report.Rows || s.Rejected != report.Rejects || s.Anomalies != report.Flagged || s.Commits < report.Commits {
		t.Errorf("the summary says %+v; there are %d records, and %+v", s, ledger.Len(), report)
	}
	files, size := visible(t, output.Dir)
	if s.Files != files || s.Bytes != size {
		t.Errorf("the summary says %d files and %d bytes; there are %d and %d", s.Files, s.Bytes, files, size)
	}
	askTheLabsQuestions(t, output.Dir, ledger)
	checkTopAnomaly(t, output.Dir, s)
	backtested(t, []string{"SLUICE_ANOMALY_DETECTORS=source_rate", "SLUICE_ANOMALY_SOURCE_RATE_KIND=rate", "SLUICE_ANOMALY_SOURCE_RATE_KEY=sourceip"}, s.DataDir)
}

// visible counts the objects that hold records, and their bytes.
func visible(t *testing.T, dir string) (files int, size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".parquet") && !strings.HasSuffix(path, ".gz") {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files++
			size += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, size
}

// transaction is a record of the lab's generator.
type transaction struct {
	CustomerID string `json:"customerId"`
	Amount     int64  `json:"transactionAmount"`
	SourceIP   string `json:"sourceIp"`
}

// askTheLabsQuestions runs the lab's two Athena queries: which address comes how often, and what did that one do.
func askTheLabsQuestions(t *testing.T, dir string, ledger *check.Ledger) {
	t.Helper()
	byAddress, ofAbnormal := map[string]int{}, []string(nil)
	for i := range ledger.Len() {
		var one transaction
		if err := json.Unmarshal(ledger.Payload(i), &one); err != nil {
			t.Fatal(err)
		}
		byAddress[one.SourceIP]++
		if one.SourceIP == abnormal {
			ofAbnormal = append(ofAbnormal, fmt.Sprint(one.CustomerID, " ", one.Amount))
		}
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The hours that there are: the run may have begun in one and ended in the next.
	table := fmt.Sprintf(`read_parquet('%s/*/*/*/*/*.parquet', hive_partitioning = true, hive_types_autocast = false)`, filepath.Join(dir, localStream))
	hours := query(t, db, `SELECT DISTINCT ingest_year || '-' || ingest_month || '-' || ingest_day || ' ' || ingest_hour FROM `+table+` ORDER BY 1`)
	if n := len(hours); n < 1 || n > 2 {
		t.Errorf("rows of the hours %v; want one or two", hours)
	}
	counted := map[string]int{}
	var first string
	for i, row := range query(t, db, `SELECT sourceip || ' ' || count(*) FROM `+table+
		` WHERE ingest_year || '-' || ingest_month || '-' || ingest_day || ' ' || ingest_hour IN ('`+strings.Join(hours, "','")+`')
		GROUP BY sourceip ORDER BY count(*) DESC`) {
		var ip string
		var n int
		if _, err := fmt.Sscan(row, &ip, &n); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = ip
		}
		counted[ip] = n
	}
	if first != abnormal {
		t.Errorf("the first query leads with %s; want %s", first, abnormal)
	}
	if !maps.Equal(counted, byAddress) {
		t.Errorf("the first query gives %d addresses, the ledger has %d, or their counts differ", len(counted), len(byAddress))
	}
	listed := query(t, db, `SELECT customerid || ' ' || transactionamount FROM `+table+` WHERE sourceip = '`+abnormal+`'`)
	slices.Sort(listed)
	slices.Sort(ofAbnormal)
	if !slices.Equal(listed, ofAbnormal) {
		t.Errorf("the second query gives %v; want %v", listed, ofAbnormal)
	}
}

// checkTopAnomaly holds the first of the summary's abnormal keys against the rows.
func checkTopAnomaly(t *testing.T, dir string, s summary) {
	t.Helper()
	if len(s.TopAnomalies) == 0 {
		return
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	top := s.TopAnomalies[0]
	rows := query(t, db, fmt.Sprintf(`SELECT count(*) || ' ' || max(anomaly_score) FROM read_parquet('%s/**/*.parquet')
		WHERE anomaly AND sourceip = '%s' AND list_contains(string_split(anomaly_detector, ','), '%s')`, filepath.Join(dir, localStream), top.Key, top.Detector))
	if want := fmt.Sprint(top.Count); len(rows) != 1 || strings.Fields(rows[0])[0] != want {
		t.Errorf("flagged rows of %s and their highest score: %v; the summary says %+v", top.Key, rows, top)
	}
}

// query gives the one column of text that a query has.
func query(t *testing.T, db *sql.DB, text string) []string {
	t.Helper()
	rows, err := db.Query(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	defer rows.Close()
	var values []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return values
}

// often makes batches end soon, and a dead process's shards change hands soon: so that random moments hit all that
// happens around a commit.
func often() []string {
	return []string{"SLUICE_FLUSH_INTERVAL=300ms", "SLUICE_FAILOVER_TIME=1s"}
}

// TestKill ends the process at random moments, as a crash does, and goes on in the same folder.
func TestKill(t *testing.T) {
	t.Parallel()
	const kills = 20
	random := rand.New(rand.NewPCG(seed(t), 0))
	dir := t.TempDir()
	grown := 0
	for n := range kills {
		before := ledgerSize(t, dir)
		p := start(t, fmt.Sprintf("run %d", n), "sluice-local", often(), "--duration", "0", "--dir", dir, "--rate", "10", "--http", address(t))
		time.Sleep(time.Duration(random.Int64N(int64(4 * time.Second))))
		if p.Ended() {
			t.Fatalf("run %d ended by itself: %s", n, p.State())
		}
		p.Kill()
		if ledgerSize(t, dir) > before {
			grown++
		}
	}
	if grown < kills/2 {
		t.Errorf("only %d of %d runs came so far as to have a record acknowledged: the moments hit nothing", grown, kills)
	}
	p := start(t, "the last run", "sluice-local", often(), "--duration", "3s", "--dir", dir, "--rate", "10", "--json", "--http", address(t))
	wait(t, p, 60*time.Second)
	s := summarise(t, p)
	ledger := readLedger(t, dir)
	if ledger.Torn > kills {
		t.Errorf("%d torn lines in the ledger after %d kills", ledger.Torn, kills)
	}
	report := exact(t, localOutput(s.DataDir), ledger)
	if report.Commits < kills/2 {
		t.Errorf("only %d commits: the moments hit nothing", report.Commits)
	}
	t.Logf("%d of %d runs had a record acknowledged; %d torn lines", grown, kills, ledger.Torn)
}

func ledgerSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "ledger.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestTerm asks the process to stop while it is at work: all that was acknowledged must be visible when it is gone.
func TestTerm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "sluice-local", "sluice-local", nil, "--duration", "0", "--dir", dir, "--rate", "10", "--json", "--http", address(t))
	eventually(t, 30*time.Second, "3,000 lines in the ledger", []*process.Process{p}, func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
		return err == nil && bytes.Count(text, []byte("\n")) >= 3000
	})
	terminate(t, p)
	exact(t, localOutput(summarise(t, p).DataDir), readLedger(t, dir))
}

// TestRate holds 10,100 records a second, with the stand-ins in the same process.
func TestRate(t *testing.T) {
	if os.Getenv("SLUICE_E2E_RATE") != "1" {
		t.Skip("needs the machine for itself: .ci/run sets SLUICE_E2E_RATE=1")
	}
	duration := 2 * time.Minute
	if text := os.Getenv("SLUICE_E2E_RATE_DURATION"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	dir, http := t.TempDir(), address(t)
	p := start(t, "sluice-local", "sluice-local", nil, "--rate", "100", "--duration", duration.String(), "--dir", dir, "--seed", "1", "--json", "--http", http)
	lag, samples := worstLag(t, p, http, duration)
	wait(t, p, time.Minute)
	ledger := readLedger(t, dir)
	rate := float64(ledger.Len()) / duration.Seconds()
	t.Logf("%.0f records a second, lag at most %.2f s in %d samples", rate, lag, samples)
	if rate < 10_000 {
		t.Errorf("%.0f records a second were acknowledged; want 10,000", rate)
	}
	if lag >= 5 || samples < int(duration.Seconds()/2) {
		t.Errorf("the lag came to %.2f s in %d samples; want less than 5 s", lag, samples)
	}
	exact(t, localOutput(summarise(t, p).DataDir), ledger)
}

// worstLag reads the lag twice a second until the process ends.
func worstLag(t *testing.T, p *process.Process, http string, duration time.Duration) (worst float64, samples int) {
	t.Helper()
	deadline := time.Now().Add(duration + time.Minute)
	for !p.Ended() && time.Now().Before(deadline) {
		values, err := process.Metric(context.Background(), http, "sluice_lag_seconds")
		if err == nil && len(values) > 0 { // it is not there before the first record, and after the end
			worst = max(worst, slices.Max(values))
			samples++
		}
		time.Sleep(500 * time.Millisecond)
	}
	return worst, samples
}
