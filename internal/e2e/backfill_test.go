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
	"slices"
	"strconv"
	"strings"
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
	bring := func() (backfilled, int64) { return bringFile(t, log, "--out", out, "--format", "apache") }
	sums, resident := bring()
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
	if again, _ := bring(); again.Before != 1 || again.Rows != 0 {
		t.Errorf("the second time gave %+v", again)
	}
	if after := query(t, db, figures+rows); after[0] != got[0] {
		t.Errorf("the second time changed the rows: %s", after[0])
	}
}

// bringFile runs `sluice backfill` on a file, and gives its sums, and the most memory that it had at a time, in bytes.
func bringFile(t *testing.T, file string, args ...string) (sums backfilled, resident int64) {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(binaries, "sluice"), slices.Concat([]string{"backfill", "--json"}, args, []string{file})...)
	command.Env = []string{"HOME=" + t.TempDir()}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	text, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(last(text), &sums); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return sums, command.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// TestBackfillOfQuotedText brings CSV and TSV in which anything stands between quotes, and holds every value against what
// DuckDB reads from the same file.
func TestBackfillOfQuotedText(t *testing.T) {
	t.Parallel()
	const lines = 20_000
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for name, tt := range map[string]struct{ format, comma, newline string }{
		"CSV":                      {"csv", ",", "\n"},
		"CSV, lines end as in RFC": {"csv", ",", "\r\n"},
		"TSV":                      {"tsv", "\t", "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, out := filepath.Join(dir, "text"), filepath.Join(dir, "out")
			quoted := writeQuoted(t, file, seed(t), lines, tt.comma, tt.newline)
			sums, _ := bringFile(t, file, "--out", out, "--format", tt.format)
			if sums.Records != lines || sums.Rows != lines || sums.Rejects != 0 {
				t.Errorf("of %d lines came %+v", lines, sums)
			}
			// No value is DuckDB's word for null, and no column anything but text.
			text := fmt.Sprintf(`(SELECT n, a, b, c FROM read_csv('%s', columns = {'n': 'BIGINT', 'a': 'VARCHAR', 'b': 'VARCHAR', 'c': 'VARCHAR'}, header = true,
				delim = '%s', quote = '"', escape = '"', nullstr = '(null)', new_line = '%s', auto_detect = false, max_line_size = 1000000))`,
				file, escaped(tt.comma), escaped(tt.newline))
			rows := fmt.Sprintf(`(SELECT n, a, b, c FROM read_parquet('%s/data/*/*.parquet'))`, out)
			for what, q := range map[string]string{
				"values that are only in the rows": rows + ` EXCEPT ALL ` + text,
				"values that are only in the text": text + ` EXCEPT ALL ` + rows,
			} {
				if n := query(t, db, `SELECT count(*)::text FROM (`+q+`)`); n[0] != "0" {
					t.Errorf("%s lines with %s, as %q", n[0], what, query(t, db, `SELECT concat_ws('|', n, a, b, c) FROM (`+q+`) ORDER BY n LIMIT 3`))
				}
			}
			figures := query(t, db, `SELECT concat_ws(' ', count(*), count(*) FILTER (a LIKE '%"%'), count(*) FILTER (contains(b, chr(10))), count(*) FILTER (c = '')) FROM `+rows)
			t.Logf("rows, those with a quote in a, a newline in b, nothing in c: %s; %d values stood between quotes", figures[0], quoted)
		})
	}
}

// escaped is a text of control characters as read_csv wants them.
func escaped(text string) string {
	return strings.NewReplacer("\t", `\t`, "\r", `\r`, "\n", `\n`).Replace(text)
}

// writeQuoted writes lines of RFC 4180, with numbers before three values of any text, and tells how many values stand between
// quotes: all that must, and some others.
func writeQuoted(t *testing.T, name string, seed uint64, lines int, comma, newline string) (quoted int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	pieces := []string{`"`, `""`, comma, "\n", "\r\n", " ", "a", "Zürich", "東京", "'", `\`, "#", ";", "12", "-", "NULL", "\u00a0"}
	var text strings.Builder
	text.WriteString("n" + comma + "a" + comma + "b" + comma + "c" + newline)
	for n := range lines {
		text.WriteString(strconv.Itoa(n))
		for range 3 {
			length := r.IntN(8)
			if r.IntN(5000) == 0 {
				length = 20_000
			}
			var value strings.Builder
			for range length {
				value.WriteString(pieces[r.IntN(len(pieces))])
			}
			v := value.String()
			if r.IntN(4) == 0 || strings.ContainsAny(v, "\"\r\n"+comma) {
				v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
				quoted++
			}
			text.WriteString(comma + v)
		}
		text.WriteString(newline)
	}
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return quoted
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
