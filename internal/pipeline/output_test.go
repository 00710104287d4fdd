package pipeline

import (
	"bytes"
	"encoding/json"
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
