package pipeline

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/sluice-etl/sluice/transform"
)

// timed makes a column the rows' time.
func timed(t *testing.T, column, format string, partition bool) func(*Config, *fakeShard) {
	t.Helper()
	f, err := transform.ParseTimeFormat(format)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config, _ *fakeShard) {
		c.EventTime = EventTime{Column: column, Format: f, Partition: partition, MaxSkew: 24 * time.Hour}
	}
}

// Rows go to the partition of the time that they tell; those that tell none, or one that is too far from their arrival, to
// that of the arrival, and the latter are marked. Files are sorted by the time, rows of equal times as they came.
func TestEventTime(t *testing.T) {
	iso := func(ms int) string {
		return noon.Add(time.Duration(ms) * time.Millisecond).Format(`"2006-01-02T15:04:05.000Z"`)
	}
	for name, write := range map[string]func(ms int) string{
		"timestamps": iso,
		"texts": func(ms int) string {
			return noon.Add(time.Duration(ms) * time.Millisecond).Format(`"Mon 02.01.2006 15:04:05.000"`)
		},
		"numbers": func(ms int) string { return fmt.Sprint(noon.UnixMilli() + int64(ms)) },
	} {
		t.Run(name, func(t *testing.T) {
			format := "auto"
			if name == "texts" {
				format = "EEE dd.MM.yyyy HH:mm:ss.SSS"
			}
			const hour, day = 3_600_000, 24 * 3_600_000
			l := newLab(t, timed(t, "at", format, true))
			line := func(id string, at string) string { return fmt.Sprintf(`{"id":%q,"at":%s}`, id, at) }
			l.give(
				l.record(line("a", write(5000)), line("b", write(3000))),
				l.record(line("c", write(-hour))+line("old", write(-2*day))+line("d", write(3000))+line("future", strings.TrimSuffix(write(2*day), "}"))),
				l.record(`{"id":"e","at":null}{"id":"f"}`),
				l.record(`{"id":"g","at":`+write(-3*day)+`,"note":"\ud800"}`),
			)
			l.stop()
			want := map[string]string{
				"data/dt=2026-03-01-12/": "g old b d a future e f", "data/dt=2026-03-01-11/": "c",
			}
			for _, f := range l.rowFiles() {
				file, err := parquet.OpenFile(bytes.NewReader(f.Body), int64(len(f.Body)))
				if err != nil {
					t.Fatal(err)
				}
				sorting := file.Metadata().RowGroups[0].SortingColumns
				if (len(sorting) == 1) != (name != "texts") || len(sorting) == 1 && (sorting[0].ColumnIdx != 1 || sorting[0].Descending || sorting[0].NullsFirst) {
					t.Errorf("the file says that it is sorted by %+v", sorting)
				}
				rows, err := parquet.Read[any](bytes.NewReader(f.Body), int64(len(f.Body)))
				if err != nil {
					t.Fatal(err)
				}
				var ids []string
				for _, r := range rows {
					r := r.(map[string]any)
					id := r["id"].(string)
					ids = append(ids, id)
					rescued, _ := r["rescued"].(string)
					if marked := strings.Contains(rescued, `"at":"20`); marked != slices.Contains([]string{"g", "old", "future"}, id) {
						t.Errorf("rescued of %s is %s", id, rescued)
					}
					if id == "g" && rescued != `{"at":"2026-02-26T12:00:00.000Z","note":"\ud800"}` {
						t.Errorf("rescued of g is %s", rescued)
					}
				}
				if got := strings.Join(ids, " "); got != want[f.Prefix] {
					t.Errorf("%s has the rows %s; want %s", f.Prefix, got, want[f.Prefix])
				}
				delete(want, f.Prefix)
			}
			if len(want) > 0 || l.counts.skewed != 3 || l.counts.rescued < 3 {
				t.Errorf("no files of %v; %d rows are skewed, %d rescued", want, l.counts.skewed, l.counts.rescued)
			}
		})
	}
}

// Without PARTITION_TIME=event the prefix shows the arrival, and a column that there is not is told.
func TestEventTimeForOrderAlone(t *testing.T) {
	l := newLab(t, timed(t, "at", "auto", false))
	l.give(l.record(`{"id":"a","at":"2026-03-01T12:00:00.000Z"}{"id":"b","at":"2026-03-01T09:00:00.000Z"}`))
	l.stop()
	files := l.rowFiles()
	rows, _ := read(t, l.shard.batches)
	if len(files) != 1 || files[0].Prefix != "data/dt=2026-03-01-12/" || rows[0]["id"] != "b" || rows[1]["id"] != "a" {
		t.Errorf("%d files, rows %v", len(files), rows)
	}
	for column, want := range map[string]string{"when": `SLUICE_TIME_COLUMN: there is no column "when"; there are id, yes, rescued`, "yes": "is boolean", "ingest_time": "there is no column"} {
		l := newLab(t, timed(t, column, "auto", false))
		l.give(l.record(`{"id":"a","yes":true}`))
		close(l.shard.stopping)
		if err := <-l.done; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", column, err)
		}
	}
}
