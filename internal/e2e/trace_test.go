package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// traced is what `sluice trace --json` prints.
type traced struct {
	State  string
	Places []struct {
		Sub, Row     int64
		Object, Code string
	}
	Gone, Raw []string
}

// TestTrace asks where records went, and holds the answers against where DuckDB finds them: rows and rejects, records of several
// lines, files of both formats, and one that was deleted since.
func TestTrace(t *testing.T) {
	t.Parallel()
	for _, output := range []string{"parquet", "json"} {
		t.Run(output, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 2)
			r := y.run(t, "one", "SLUICE_OUTPUT="+output)
			for round := range 3 {
				y.put(t, 200)
				put(t, y.producer, []world.Record{recordOf(fmt.Sprint("lines-", round), "{\"key\":\"a\"}\nno JSON\n{\"key\":\"b\"}")})
				eventually(t, time.Minute, "they are visible", nil, func() bool { return y.count(t) >= (round+1)*203 })
			}
			terminate(t, r.Process)

			ask := func(shard, sequence string, more ...string) (got traced) {
				t.Helper()
				p := start(t, "trace", "sluice", environment(y.World), append([]string{"trace", "--json", shard, sequence}, more...)...)
				wait(t, p, time.Minute)
				if err := json.Unmarshal([]byte(p.Stdout.String()), &got); err != nil {
					t.Fatalf("%v: %s", err, p.Stdout.String())
				}
				return got
			}
			db, err := check.OpenDuckDB()
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			// A line: shard, sequence number, place, row or reject, object, number of the row where DuckDB tells it.
			rows := fmt.Sprintf(`read_parquet('%s/data/**/*.parquet', filename = true, file_row_number = true)`, y.Bucket)
			number := "file_row_number"
			if output == "json" {
				rows = fmt.Sprintf(`read_json('%s/data/**/*.json.gz', filename = true)`, y.Bucket)
				number = "'-'"
			}
			have := query(t, db, fmt.Sprintf(`SELECT concat_ws(' ', ingest_shard, ingest_seq, ingest_sub, 'row', replace(filename, '%[1]s/', ''), %[3]s) FROM %[2]s
				UNION ALL SELECT concat_ws(' ', shardId, sequenceNumber, subSequenceNumber, errorCode, replace(filename, '%[1]s/', ''), '-')
				FROM read_json('%[1]s/errors/**/*.json.gz', filename = true)`, y.Bucket, rows, number))
			bySequence := map[string][]string{}
			for _, line := range have {
				shard, rest, _ := strings.Cut(line, " ")
				sequence, rest, _ := strings.Cut(rest, " ")
				bySequence[shard+" "+sequence] = append(bySequence[shard+" "+sequence], rest)
			}
			asked, lines := 0, 0
			var object string
			for name, want := range bySequence {
				// All that are more than a row, and some of the others.
				if len(want) == 1 && strings.Contains(want[0], " row ") && asked >= 8 {
					continue
				}
				asked++
				shard, sequence, _ := strings.Cut(name, " ")
				var got []string
				for _, p := range ask(shard, sequence).Places {
					row := fmt.Sprint(p.Row)
					if output == "json" || p.Code != "" {
						row = "-"
					}
					if p.Code == "" {
						p.Code, object = "row", p.Object
					}
					got = append(got, fmt.Sprint(p.Sub, " ", p.Code, " ", p.Object, " ", row))
				}
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%s: it is told of\n%s\nand there are\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if len(want) == 3 {
					lines++
				}
			}
			if asked < 8 || lines < 3 {
				t.Errorf("%d records were looked for, %d of them of three lines", asked, lines)
			}

			shard := "shardId-000000000000"
			if got := ask("0", strings.Repeat("9", 56)); got.State != "not committed" {
				t.Errorf("of a record that is still to come: %+v", got)
			}
			if got := ask(shard, "1"); got.State != "visible" || len(got.Places) != 0 {
				t.Errorf("of a number before all: %+v", got)
			}
			// Of a deleted object it is told that the record may have been in it.
			if err := os.Remove(filepath.Join(y.Bucket, object)); err != nil {
				t.Fatal(err)
			}
			for _, line := range have {
				if part := strings.Fields(line); part[4] == object {
					got := ask(part[0], part[1], "--sub", part[2])
					if got.State != "visible" || !slices.Contains(got.Gone, object) {
						t.Errorf("of a row of an object that was deleted: %+v", got)
					}
					break
				}
			}
		})
	}
}
