package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// backfilled is the last line of `sluice backfill --json`.
type backfilled struct {
	Inputs  int     `json:"inputs"`
	Before  int     `json:"inputs_brought_before"`
	Records int     `json:"records"`
	Rows    int     `json:"rows"`
	Rejects int     `json:"rejects"`
	Files   int     `json:"files"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
}

// TestBackfill brings a million lines of an access log to a folder, and holds the rows against what DuckDB reads from the text.
func TestBackfill(t *testing.T) {
	const lines = 1_000_000
	dir := t.TempDir()
	log, out := filepath.Join(dir, "access.log"), filepath.Join(dir, "out")
	broken := writeLog(t, log, seed(t), lines)
	var resident int64 // bytes of the last run, at most
	bring := func() backfilled {
		command := exec.CommandContext(t.Context(), filepath.Join(binaries, "sluice"), "backfill", "--json", "--out", out, "--format", "apache", log)
		command.Env = []string{"HOME=" + dir}
		var stderr bytes.Buffer
		command.Stderr = &stderr
		text, err := command.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		var sums backfilled
		if err := json.Unmarshal(last(text), &sums); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		resident = command.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
		return sums
	}
	sums := bring()
	// Linux counts what this process had when it made the other: DuckDB, which needs more, comes later.
	t.Logf("%+v, at most %d MiB resident", sums, resident>>20)
	if resident > 256<<20 {
		t.Errorf("%d bytes were resident; want at most 256 MiB", resident)
	}
	if sums.Records != lines || sums.Rejects != broken || broken == 0 || sums.Rows != lines-broken || sums.CPU <= 0 {
		t.Errorf("of %d lines, %d of them broken, came %+v", lines, broken, sums)
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const figures = `SELECT concat_ws(' ', count(*), count(user_id), count(size), sum(status), sum(size), min(size), max(size), min(status), max(status),
		min(ms), max(ms), sum(ms), count(DISTINCT host), count(DISTINCT resource), count(referer), sum(length(referer)), sum(length(agent))) FROM `
	text := fmt.Sprintf(`(SELECT host, nullif("user", '-') AS user_id, try_cast(size AS BIGINT) AS size, status::BIGINT AS status,
			epoch_ms(strptime(time, '%%d/%%b/%%Y:%%H:%%M:%%S %%z')) AS ms, split_part(request, ' ', 2) AS resource,
			replace(nullif(referer, '-'), '\"', '"') AS referer, replace(agent, '\"', '"') AS agent
		FROM (SELECT unnest(regexp_extract(line,
				'^(\S+) (\S+) (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"$',
				['host', 'ident', 'user', 'time', 'request', 'status', 'size', 'referer', 'agent']))
			FROM read_csv('%s', columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', header = false, auto_detect = false))
		WHERE host <> '')`, log)
	rows := fmt.Sprintf(`(SELECT client_ip AS host, user_id, returned_obj_size AS size, status, epoch_ms(request_received_time) AS ms, resource, referer, user_agent AS agent
		FROM read_parquet('%s/data/*/*.parquet'))`, out)
	want, got := query(t, db, figures+text), query(t, db, figures+rows)
	if want[0] != got[0] {
		t.Errorf("the figures of the rows are %s; of the text %s", got[0], want[0])
	}
	t.Logf("counts, sums and extremes of both: %s", got[0])
	// A row is told from all others by where it stood.
	if n := query(t, db, fmt.Sprintf(`SELECT count(DISTINCT (ingest_shard, ingest_seq, ingest_sub))::text FROM read_parquet('%s/data/*/*.parquet')`, out)); n[0] != fmt.Sprint(sums.Rows) {
		t.Errorf("%s places of %d rows", n[0], sums.Rows)
	}
	if again := bring(); again.Before != 1 || again.Rows != 0 {
		t.Errorf("the second time gave %+v", again)
	}
	if after := query(t, db, figures+rows); after[0] != got[0] {
		t.Errorf("the second time changed the rows: %s", after[0])
	}
}

// TestBackfillIntoTheBucket brings a file beside the rows of a stream, whose columns it must have, and audits what is there then.
func TestBackfillIntoTheBucket(t *testing.T) {
	t.Parallel()
	const lines = 1000
	y := newYard(t, 1)
	running := y.run(t, "service")
	put(t, y.producer, []world.Record{recordOf("1", `{"n":1,"old":true}`)})
	eventually(t, time.Minute, "the row of the stream is visible", []*process.Process{running.Process}, func() bool { return y.count(t) == 1 })
	terminate(t, running.Process)

	var text bytes.Buffer
	zip := gzip.NewWriter(&text)
	for n := range lines {
		fmt.Fprintf(zip, "{\"n\":%d,\"old\":false}\n", n)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "old.json.gz")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for before := range 2 {
		p := start(t, "backfill", "sluice", environment(y.World), "backfill", "--json", file)
		wait(t, p, time.Minute)
		var sums backfilled
		if err := json.Unmarshal(p.LastLine(), &sums); err != nil || sums.Before != before || sums.Inputs != 1 {
			t.Errorf("after %d times: %+v, %v", before, sums, err)
		}
		got := query(t, db, fmt.Sprintf(`SELECT concat_ws(' ', count(*), sum(n), count(*) FILTER (old), count(DISTINCT ingest_shard)) FROM read_parquet('%s/data/*/*.parquet')`, y.Bucket))
		if want := fmt.Sprintf("%d %d 1 2", lines+1, lines*(lines-1)/2+1); got[0] != want {
			t.Errorf("rows, their sum, those of the stream, and shards: %s; want %s", got[0], want)
		}
	}
	if differences, _ := audit(t, y.World, 0); len(differences) > 0 {
		t.Errorf("the audit tells of %v", differences)
	}
}

func last(text []byte) []byte {
	text = bytes.TrimSpace(text)
	return text[bytes.LastIndexByte(text, '\n')+1:]
}

// writeLog writes lines of Apache's combined format, about one in a thousand of them broken, and tells how many.
func writeLog(t *testing.T, name string, seed uint64, lines int) (broken int) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(file, 1<<20)
	r := rand.New(rand.NewPCG(seed, 0))
	pick := func(texts ...string) string { return texts[r.IntN(len(texts))] }
	for range lines {
		host := fmt.Sprintf("%d.%d.%d.%d", r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(256))
		if r.IntN(4) == 0 {
			host = fmt.Sprintf("2001:db8::%x:%x", r.IntN(65536), r.IntN(65536))
		}
		at := time.Unix(1_700_000_000+r.Int64N(100_000_000), 0).In(time.FixedZone("", 3600*(r.IntN(25)-12)))
		size := pick("-", fmt.Sprint(r.IntN(1<<20)), fmt.Sprint(r.Int64N(1<<40)))
		line := fmt.Sprintf(`%s - %s [%s] "%s /articles/%d HTTP/1.1" %d %s "%s" "%s"`, host, pick("-", "-", "ada", "grace"),
			at.Format("02/Jan/2006:15:04:05 -0700"), pick("GET", "GET", "POST"), r.IntN(5000), []int{200, 200, 301, 404, 500}[r.IntN(5)], size,
			pick("-", `https://example.org/?q=\"exact words\"`, "https://example.org/"),
			pick(`Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0`, `the \"best\" crawler/2.1 (+https://example.org/bot)`, "curl/8.9.1"))
		if r.IntN(1000) == 0 {
			broken++
			line = pick(line[:20+r.IntN(20)], "not a line of a log", `{"host": "`+host+`"}`)
		}
		fmt.Fprintln(w, line)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return broken
}
