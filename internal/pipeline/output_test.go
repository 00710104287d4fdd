package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
)

// output sets what the files are.
func output(kind, compression string) func(*Config, *fakeShard) {
	return func(c *Config, _ *fakeShard) { c.Output, c.Compression = kind, compression }
}

// lines gives the lines of all files of rows, whose extension has to be the given one.
func (l *lab) lines(extension string) []string {
	l.t.Helper()
	var all []string
	for _, f := range l.rowFiles() {
		if f.Extension != extension {
			l.t.Fatalf("a file has the extension %s; want %s", f.Extension, extension)
		}
		body := f.Body
		if strings.HasSuffix(extension, "gz") {
			r, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				l.t.Fatal(err)
			}
			if body, err = io.ReadAll(r); err != nil {
				l.t.Fatal(err)
			}
		}
		all = append(all, slices.Collect(strings.Lines(string(body)))...)
	}
	return all
}

// rowFiles are the files that are not of rejects.
func (l *lab) rowFiles() []consumer.File {
	var files []consumer.File
	for _, b := range l.shard.batches {
		for _, f := range b.Files {
			if !strings.HasPrefix(f.Prefix, "errors/") {
				files = append(files, f)
			}
		}
	}
	return files
}

func TestJSONOutput(t *testing.T) {
	l := newLab(t, output(sink.OutputJSON, "gzip"))
	l.give(l.record(`{"Name":"a","n":1,"x":null}`+"\n"), l.record("oops\n"), l.record(`{"name":"b","n":"2"}{"name":"é\n"}`))
	l.stop()
	lines := l.lines("json.gz")
	const origin = `"ingest_shard":"shardId-000000000007","ingest_seq":"0000000000000000000000000000000000000000000000000000000`
	want := []string{
		`{"name":"a","n":"1","ingest_time":"2026-03-01T12:00:00.000Z",` + origin + `0","ingest_sub":0,"anomaly":false}`,
		`{"name":"b","n":"2","ingest_time":"2026-03-01T12:00:02.000Z",` + origin + `2","ingest_sub":0,"anomaly":false}`,
		`{"name":"é\n","ingest_time":"2026-03-01T12:00:02.000Z",` + origin + `2","ingest_sub":1,"anomaly":false}`,
	}
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\n")
		if !json.Valid([]byte(lines[i])) {
			t.Errorf("no JSON: %s", lines[i])
		}
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if len(l.counts.rejected) != 1 || l.counts.rejected[transform.CodeInvalidJSON] != 1 {
		t.Errorf("rejected: %v", l.counts.rejected)
	}
}

// Raw lines are those that came, byte for byte, whatever they are taken for, and a newline ends each.
func TestRawOutput(t *testing.T) {
	declared := func(s transform.Schema) func(*Config, *fakeShard) {
		return func(c *Config, _ *fakeShard) { c.Schema = &s }
	}
	csv := transform.Schema{Version: 1, Format: transform.FormatCSV, Fields: []transform.Field{{Source: "id"}, {Source: "note"}}}
	csv.Fields[0].Name, csv.Fields[1].Name = "id", "note"
	for name, test := range map[string]struct {
		change   func(*Config, *fakeShard)
		payloads []string
		want     []string
		rejected int
	}{
		"any text": {declared(transform.RawSchema()),
			[]string{"a\n", "b", "c\r\nd\r\n", "\xff\xfe\x00\n", "\n", "\xef\xbb\xbfe\n f ", ""},
			[]string{"a\n", "b\n", "c\r\n", "d\r\n", "\xff\xfe\x00\n", "\n", "\xef\xbb\xbfe\n", " f \n"}, 1},
		"JSON": {func(*Config, *fakeShard) {},
			[]string{"{\"a\" : 1}\n", ` {"a":1.50}{"b":2} `, "no", "{\"a\":\n3}"},
			[]string{"{\"a\" : 1}\n", "{\"a\":1.50}\n", "{\"b\":2}\n", "{\"a\":\n", "3}\n"}, 1},
		"CSV": {declared(csv),
			[]string{"id,note\r\n\r\n1,\"a\nb\"\r\n2,c", "\"", "id,note\n"},
			[]string{"1,\"a\n", "b\"\r\n", "2,c\n"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, output(sink.OutputRaw, "gzip"), test.change)
			var records []consumer.Record
			for _, p := range test.payloads {
				records = append(records, l.record(p))
			}
			l.give(records...)
			l.stop()
			if got := l.lines("gz"); !slices.Equal(got, test.want) {
				t.Errorf("got %q; want %q", got, test.want)
			}
			rejected := 0
			for _, n := range l.counts.rejected {
				rejected += n
			}
			if rejected != test.rejected {
				t.Errorf("%d lines are rejected: %v", rejected, l.counts.rejected)
			}
		})
	}
}

// prefix sets the prefix of data.
func prefix(t *testing.T, expression string) func(*Config, *fakeShard) {
	t.Helper()
	p, err := sink.ParsePrefix(expression)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config, _ *fakeShard) { c.Prefix = p }
}

// Rows go to the partitions of their columns, and the files do not repeat what the folders say.
func TestPartitionsByColumns(t *testing.T) {
	for _, kind := range []string{sink.OutputJSON, sink.OutputParquet} {
		l := newLab(t, output(kind, "none"), prefix(t, "data/city=!{partitionKeyFromQuery:city}/!{partitionKeyFromQuery:n}/"))
		l.give(l.record(`{"city":"Seoul","n":1}{"city":"a/b","n":2}`), l.record(`{"city":null,"n":1}`), l.record(`{"city":"Seoul","n":"one"}{"city":"Seoul","n":1}`))
		l.stop()
		want := map[string]int{
			"data/city=Seoul/1/": 2, "data/city=a%2Fb/2/": 1, "data/city=__HIVE_DEFAULT_PARTITION__/1/": 1, "data/city=Seoul/one/": 1,
		}
		for _, f := range l.rowFiles() {
			if want[f.Prefix] != f.Rows {
				t.Errorf("%s: %d rows in %s", kind, f.Rows, f.Prefix)
			}
			delete(want, f.Prefix)
			if kind == sink.OutputJSON && (bytes.Contains(f.Body, []byte(`"city"`)) || !bytes.Contains(f.Body, []byte(`"n":`))) {
				t.Errorf("a file has %s", f.Body)
			}
		}
		if len(want) > 0 {
			t.Errorf("%s: no file in %v", kind, want)
		}
		if kind == sink.OutputParquet {
			rows, _ := read(t, l.shard.batches)
			for _, r := range rows {
				if _, there := r["city"]; there || r["n"] == nil || len(rows) != 5 {
					t.Errorf("%d rows, one of them %v", len(rows), r)
				}
			}
		}
	}
}

// However many partitions the rows of a record have, a batch has no more files than a commit can list, and what has no
// partition is rejected as it came.
func TestPartitionsAreCapped(t *testing.T) {
	l := newLab(t, prefix(t, "data/id=!{partitionKeyFromQuery:id}/"))
	var sent []string
	give := func(n int, id func(i int) string) {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprintf(`{"id": %q}`, id(i)))
		}
		sent = append(sent, lines...)
		l.give(l.record(strings.Join(lines, "\n")))
	}
	give(1, func(int) string { return strings.Repeat("x", 600) })
	for r := range 20 {
		give(30, func(i int) string { return fmt.Sprint("few ", r, " ", i) })
	}
	give(500, func(i int) string { return fmt.Sprint("many ", i) })
	give(50, func(i int) string { return fmt.Sprint("same ", i%2) })
	l.stop()
	rejected := 0
	rows, rejects := read(t, l.shard.batches)
	for _, b := range l.shard.batches {
		if len(b.Files) > consumer.MaxFiles {
			t.Errorf("a batch has %d files", len(b.Files))
		}
	}
	for _, r := range rejects {
		if r.ErrorCode != codePartition || !slices.Contains(sent, string(r.RawData)) {
			t.Errorf("rejected as %s: %s", r.ErrorCode, r.RawData)
		}
		rejected++
	}
	if len(rows)+rejected != len(sent) || rejected < 400 || rejected > 480 || l.counts.rejected[codePartition] != rejected {
		t.Errorf("%d rows and %d rejects of %d lines", len(rows), rejected, len(sent))
	}
	for _, r := range rows {
		if r["ingest_seq"] == fmt.Sprintf("%056d", 0) {
			t.Error("the row with too long a value is there")
		}
	}
}

// A column that the records turn out not to have is told when the schema is settled.
func TestNoSuchPartitionColumn(t *testing.T) {
	l := newLab(t, prefix(t, "data/!{partitionKeyFromQuery:city}/"))
	l.give(l.record(`{"town":"Seoul"}`))
	close(l.shard.stopping)
	if err := <-l.done; err == nil || !strings.Contains(err.Error(), "SLUICE_PREFIX: !{partitionKeyFromQuery:city} is for a column that there is not; there are town, rescued") {
		t.Errorf("the end is %v", err)
	}
}
