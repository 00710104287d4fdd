package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
)

// TestModules runs the lab's other modules, and lets DuckDB answer the lab's question from the files. Module 3 is TestLocal's.
func TestModules(t *testing.T) {
	t.Parallel()
	const day, hour = "/year=[0-9]*/month=[0-9]*/day=[0-9]*/", "/[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]/[0-9][0-9]/"
	const columns = `columns = {client_ip: 'VARCHAR', client_id: 'VARCHAR', user_id: 'VARCHAR', client_request: 'VARCHAR', resource: 'VARCHAR', version: 'VARCHAR',
		status: 'VARCHAR', returned_obj_size: 'VARCHAR'}`
	// What each module shows of a row, as one text; in each the status is a text, as in the lab.
	const parsed = `SELECT concat_ws(' ', client_ip, client_id, user_id, client_request, resource, version, status, returned_obj_size) AS row, status FROM `
	const lines = `SELECT line AS row, regexp_extract(line, '" (\d+) \d+$', 1) AS status FROM read_csv('%s', columns = {'line': 'VARCHAR'},
		delim = '\x01', quote = '', escape = '', header = false, auto_detect = false)`
	for number, m := range map[int]struct {
		files  string // a pattern below the bucket
		rows   string // a query: %s is that pattern
		counts string // the status that the lab asks for; empty: all
	}{
		1: {"data/webaccess" + day + "webaccess-*.gz", lines, ""},
		2: {"data/transactions" + day + "transactions-*.json.gz",
			`SELECT concat_ws(' ', customerid, transactionamount, sourceip, status) AS row, status FROM read_json('%s',
				columns = {customerid: 'VARCHAR', transactionamount: 'VARCHAR', sourceip: 'VARCHAR', status: 'VARCHAR'})`, ""},
		4: {"access-logs-tsv" + hour + "*.txt",
			lines, "404"},
		5: {"access-logs-json" + hour + "*.json", parsed + `read_json('%s', ` + columns + `)`, "404"},
		6: {"access-logs-parquet" + hour + "*.parquet", parsed + `read_parquet('%s')`, "404"},
	} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			dir, at := t.TempDir(), address(t)
			p := start(t, "sluice-local", "sluice-local", nil, "--module", fmt.Sprint(number), "--duration", "5s", "--dir", dir, "--seed", "3", "--json", "--http", at)
			if number == 1 { // the records come through the endpoint
				eventually(t, 30*time.Second, "Direct PUT has taken records in", []*process.Process{p}, func() bool {
					values, err := process.Metric(t.Context(), at, "sluice_intake_bytes_total")
					return err == nil && slices.Max(append(values, 0)) > 0
				})
			}
			wait(t, p, 60*time.Second)
			s, ledger := summarise(t, p), readLedger(t, dir)
			if ledger.Len() < 400 || s.Records != ledger.Len() || s.Rows != ledger.Len() || s.Rejected != 0 {
				t.Errorf("of %d records the summary tells %+v", ledger.Len(), s)
			}
			var want []string
			statuses := map[string]int{}
			for i := range ledger.Len() {
				row, status := moduleRow(t, number, string(ledger.Payload(i)))
				want = append(want, row)
				if m.counts == "" || status == m.counts {
					statuses[status]++
				}
			}
			slices.Sort(want)

			// All that lies in the bucket, but for the state and what the stand-in of S3 keeps there, lies where the lab has it.
			bucket := filepath.Join(dir, "s3", "sluice-local")
			files := filepath.Join(bucket, m.files)
			found, err := filepath.Glob(files)
			if err != nil || len(found) != s.Files || s.Files == 0 {
				t.Errorf("%d files match %s, %v; the summary tells of %d", len(found), m.files, err, s.Files)
			}
			folders, err := os.ReadDir(bucket)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range folders {
				if f.Name() != "_sluice" && f.Name() != ".sgwtmp" && !strings.HasPrefix(m.files, f.Name()+"/") {
					t.Errorf("%s lies in the bucket", f.Name())
				}
			}

			db, err := check.OpenDuckDB()
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			rows := "(" + fmt.Sprintf(m.rows, files) + ")"
			got := query(t, db, `SELECT row FROM `+rows)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%d rows are not the %d records; the first are %q and %q", len(got), len(want), got[:min(1, len(got))], want[0])
			}
			counted := map[string]int{}
			for _, line := range query(t, db, `SELECT status || ' ' || count(*) FROM `+rows+` GROUP BY status`) {
				var status string
				var n int
				if _, err := fmt.Sscan(line, &status, &n); err != nil {
					t.Fatal(err)
				}
				if m.counts == "" || status == m.counts {
					counted[status] = n
				}
			}
			if !maps.Equal(counted, statuses) || len(statuses) == 0 {
				t.Errorf("DuckDB counts %v; the records have %v", counted, statuses)
			}
			var told struct {
				Answer []struct {
					Value string
					Rows  int
				}
			}
			if err := json.Unmarshal(p.LastLine(), &told); err != nil {
				t.Fatal(err)
			}
			sum, asked := 0, 0
			for _, a := range told.Answer {
				sum += a.Rows
			}
			for _, n := range statuses {
				asked += n
			}
			if sum != asked {
				t.Errorf("the answer that it shows, %v, is about %d rows; want %d", told.Answer, sum, asked)
			}
		})
	}
}

// moduleRow is what a module must show of a record, and the record's status.
func moduleRow(t *testing.T, module int, record string) (row, status string) {
	t.Helper()
	if module == 2 {
		var r struct{ CustomerID, TransactionAmount, SourceIP, Status string }
		if err := json.Unmarshal([]byte(record), &r); err != nil {
			t.Fatal(err)
		}
		return strings.Join([]string{r.CustomerID, r.TransactionAmount, r.SourceIP, r.Status}, " "), r.Status
	}
	record = strings.TrimSuffix(record, "\n") // Direct PUT brings it
	m := accessLine.FindStringSubmatch(record)
	if m == nil {
		t.Fatalf("the template gave %q", record)
	}
	if module == 1 || module == 4 {
		return record, m[6]
	}
	return strings.Join([]string{m[1], m[2], m[4], m[5], m[6], m[7]}, " "), m[6]
}
