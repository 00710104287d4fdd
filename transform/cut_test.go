package transform

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCut(t *testing.T) {
	for name, tt := range map[string]struct {
		format, text string
		want         string // what comes before the cut
	}{
		"log lines":                    {FormatApache, "a\nb\nc", "a\nb\n"},
		"no end of line":               {FormatRaw, "abc", ""},
		"JSON lines":                   {FormatJSON, "{\"a\":1}\n{\"a\":2}\n{\"a\":3", "{\"a\":1}\n{\"a\":2}\n"},
		"JSON with CRLF":               {FormatJSON, "{\"a\":1}\r\n{\"a\":2}\r\n", "{\"a\":1}\r\n"},
		"pretty-printed JSON":          {FormatJSON, "{\n \"a\": [\n  {\n  }\n ]\n}\n{\n \"a\": [\n  {\n  },\n  {", "{\n \"a\": [\n  {\n  }\n ]\n}\n"},
		"objects in an array":          {FormatJSON, "{\"a\":[\n{},\n{},\n{", ""},
		"objects on one line":          {FormatJSON, `{"a":"}"} {"a":2}{"a":`, `{"a":"}"} {"a":2}`},
		"a truncated line":             {FormatJSON, "{\"a\":1}\n{\"a\":\n{\"a\":3", "{\"a\":1}\n"},
		"CSV":                          {FormatCSV, "a,b\n1,2\n3", "a,b\n1,2\n"},
		"CSV with newlines in values":  {FormatCSV, "a,\"b\nc\"\nd,\"e\nf", "a,\"b\nc\"\n"},
		"CSV with a quote in a value":  {FormatCSV, "5\" pipe,1\nx", "5\" pipe,1\n"},
		"TSV: a comma separates not":   {FormatTSV, "a,\"b\nc\t\"d\ne", "a,\"b\n"},
		"a quote that may be doubled":  {FormatCSV, "a\n\"b\n\"", "a\n"},
		"text after the closing quote": {FormatCSV, "\"a\nb\"c\nd\ne", "\"a\nb\"c\nd\n"},
	} {
		if got := tt.text[:Cut(tt.format, []byte(tt.text))]; got != tt.want {
			t.Errorf("%s: cut behind %q, want %q", name, got, tt.want)
		}
	}
}

// FuzzCut decodes a text whole and in two pieces: it must come to the same.
func FuzzCut(f *testing.F) {
	for _, s := range []string{
		"{\"a\":1}\n{\"a\":2}\n{\"a\":3}", "{\n\"a\":{\"b\":1}\n{\"a\":2}\n}\n{}\n{", "[{}\n{}\n]\n{}", "{\"a\":1} x {\"a\":2}\n  {\n{}\n{}", "1,\"a\nb\"\n\"\"\"\n,2\"\n3",
		"\"a\nb\"c\n\"d\ne\"\nf", "a\t\"b\nc\"\td\n", "\"a\n\"\"b\"\n\"c", nested(65) + "\n{}\n{}", "\xef\xbb\xbf{}\n{}\n{}",
	} {
		f.Add([]byte(s), uint16(len(s)))
		f.Add([]byte(s), uint16(len(s)/2))
	}
	f.Fuzz(func(t *testing.T, text []byte, n uint16) {
		for _, s := range []Schema{
			schemaOf("a:int64"),
			{Format: FormatCSV, Fields: schemaOf("x:string", "y:string").Fields}, {Format: FormatTSV, Fields: schemaOf("x:string", "y:string").Fields}, RawSchema(),
		} {
			cut := Cut(s.Format, text[:min(int(n), len(text))])
			if cut < 0 || cut > int(n) {
				t.Fatalf("cut %d of %d bytes", cut, n)
			}
			first, rest := text[:cut], text[cut:]
			// A payload begins with a mark that is passed over, and is a reject when it holds no line: pieces do not.
			if cut == 0 || bytes.HasPrefix(rest, []byte("\xef\xbb\xbf")) {
				continue
			}
			want, got := outcome(s, text), slices.Concat(outcome(s, first), outcome(s, rest))
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %q and %q give %q; together %q", s.Format, first, rest, got, want)
			}
		}
	})
}

// outcome lists the rows and rejects of a payload, in their order, but for one that says that there is no line.
func outcome(s Schema, payload []byte) []string {
	out := decode(s, string(payload))
	lines := make([]string, out.Lines)
	for row, place := range out.Places {
		var values []string
		for i := range out.Table.Columns {
			values = append(values, show(&out.Table.Columns[i], row))
		}
		lines[place] = strings.Join(values, " | ")
	}
	for _, r := range out.Rejects {
		if r.Code != CodeEmpty && r.Code != CodeHeader {
			lines[r.Place] = fmt.Sprintf("%s %q", r.Code, r.Raw)
		}
	}
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}
