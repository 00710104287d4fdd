package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluice-etl/sluice/internal/columns"
)

// FuzzDecode holds the decoder against encoding/json on any bytes.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		``, `{}`, "{\"a\":1}\n{\"b\":2}", `{"a":"\ud83d\ude00\ud800","A":1}`, `{"a":{"b":[1,2,{"c":null}]}}`, "\xef\xbb\xbf{\"a\":-0}",
		`{"a":1e400,"b":12345678901234567890,"c":0.1234567890123456789}`, "{\"a\":\n{\"b\":1}\r\n", `[1,2]{"a":true}`, `{"a":"\u0000"}`,
		"{\"a\":\"\xff\"}\n{\"a\":\"x\"}", `{"t":"2024-01-02T03:04:05Z","t":"x"}`, nested(64), nested(65), `1 {"a":1}`, `{"a":"12345678\n"}`,
	} {
		f.Add([]byte(s))
	}
	fixed := schemaOf("a:int64", "b:double", "c:boolean", "t:timestamp", "s:string")
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		s := detect(payload)
		for _, schema := range []Schema{s, fixed, {}} {
			out := decode(schema, string(payload))
			checkOutput(t, out, payload)
			want := reference(payload)
			if want == nil {
				if len(out.Rejects) == 0 {
					t.Fatalf("encoding/json or a limit refuses %q, which has no reject", payload)
				}
				continue
			}
			if len(out.Rejects) > 0 || len(out.Places) != len(want) {
				t.Fatalf("%q: encoding/json finds %d objects; got %d rows and %v", payload, len(want), len(out.Places), out.Rejects)
			}
			for row, record := range want {
				checkRow(t, schema, out.Table, row, record)
			}
		}
		if !bytes.Equal(before, payload) {
			t.Fatal("the payload was changed")
		}
	})
}

// checkOutput checks what holds for every payload.
func checkOutput(t *testing.T, out *Output, payload []byte) {
	t.Helper()
	if out.Lines == 0 || len(out.Places)+len(out.Rejects) != out.Lines {
		t.Fatalf("%q: %d rows and %d rejects of %d lines", payload, len(out.Places), len(out.Rejects), out.Lines)
	}
	places := make([]int, out.Lines)
	for _, p := range out.Places {
		places[p]++
	}
	for _, r := range out.Rejects {
		places[r.Place]++
		if r.Code == "" || r.Message == "" || r.Raw == nil || !bytes.Contains(payload, r.Raw) {
			t.Fatalf("%q: reject %+v", payload, r)
		}
	}
	for p, n := range places {
		if n != 1 {
			t.Fatalf("%q: place %d is there %d times", payload, p, n)
		}
	}
	for i := range out.Table.Columns {
		c := &out.Table.Columns[i]
		if c.Len() != len(out.Places) {
			t.Fatalf("%q: column %s has %d values in %d rows", payload, c.Name, c.Len(), len(out.Places))
		}
		for row := range c.Len() {
			if c.Type == columns.String && !utf8.Valid(c.TextAt(row)) {
				t.Fatalf("%q: column %s holds %q", payload, c.Name, c.TextAt(row))
			}
			if c.Name == RescuedColumn && c.Valid[row] {
				var v map[string]any
				if err := json.Unmarshal(c.TextAt(row), &v); err != nil || len(v) == 0 {
					t.Fatalf("%q: rescued %q: %v", payload, c.TextAt(row), err)
				}
			}
		}
	}
}

// reference gives the records of a payload as encoding/json reads them, or nil if any of it is no record.
func reference(payload []byte) []map[string]json.RawMessage {
	if !utf8.Valid(payload) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(payload, []byte("\ufeff"))))
	var list []map[string]json.RawMessage
	for {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			return list
		} else if err != nil || raw[0] != '{' || depth(raw) > maxDepth {
			return nil
		}
		if keys(raw) > maxKeys {
			return nil
		}
		record := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &record); err != nil {
			return nil
		}
		list = append(list, record)
	}
}

func depth(raw []byte) int {
	deepest, now := 0, 0
	walk(raw, func(token json.Token) {
		switch token {
		case json.Delim('{'), json.Delim('['):
			now++
			deepest = max(deepest, now)
		case json.Delim('}'), json.Delim(']'):
			now--
		}
	})
	return deepest
}

// keys counts the keys at the top of an object.
func keys(raw []byte) int {
	tokens, now := 0, 0
	walk(raw, func(token json.Token) {
		switch token {
		case json.Delim('{'), json.Delim('['):
			if now == 1 {
				tokens++
			}
			now++
		case json.Delim('}'), json.Delim(']'):
			now--
		default:
			if now == 1 {
				tokens++
			}
		}
	})
	return tokens / 2
}

func walk(raw []byte, visit func(json.Token)) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return
		}
		visit(token)
	}
}

// checkRow compares the values of a row with those that encoding/json finds, as far as keys are there once.
func checkRow(t *testing.T, s Schema, table *columns.Table, row int, record map[string]json.RawMessage) {
	t.Helper()
	rescued := map[string]json.RawMessage{}
	if c := &table.Columns[len(s.Fields)]; c.Valid[row] {
		if err := json.Unmarshal(c.TextAt(row), &rescued); err != nil {
			t.Fatal(err)
		}
	}
	folded := map[string]int{} // lone surrogates become U+FFFD in encoding/json, and are other keys here
	for key := range record {
		folded[string(appendLower(nil, []byte(key)))]++
	}
	for i, f := range s.Fields {
		c := &table.Columns[i]
		raw, present := record[f.Source]
		if strings.ContainsRune(f.Source, utf8.RuneError) || folded[string(appendLower(nil, []byte(f.Source)))] > 1 {
			continue
		}
		if !present {
			continue
		}
		if string(raw) == "null" {
			if c.Valid[row] {
				t.Fatalf("%s: null became %s", f.Source, show(c, row))
			}
			continue
		}
		if !c.Valid[row] && rescued[f.Source] == nil {
			t.Fatalf("%s: %s is neither in its column nor rescued", f.Source, raw)
		}
		if c.Valid[row] {
			checkValue(t, c, row, raw, rescued[f.Source])
		}
	}
}

func checkValue(t *testing.T, c *columns.Column, row int, raw, rescued []byte) {
	t.Helper()
	want := ""
	switch c.Type {
	case columns.String:
		want = string(raw)
		if raw[0] == '"' {
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
		} else if raw[0] == '{' || raw[0] == '[' {
			var b bytes.Buffer
			if err := json.Compact(&b, raw); err != nil {
				t.Fatal(err)
			}
			want = b.String()
		}
		if got := string(c.TextAt(row)); got != want {
			t.Fatalf("%s: got %q of %s, want %q", c.Name, got, raw, want)
		}
		return
	case columns.Int64:
		v, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		want = strconv.FormatInt(v, 10)
	case columns.Double:
		v, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || math.Float64bits(v) != math.Float64bits(c.Doubles[row]) {
			t.Fatalf("%s: got %v of %s, %v", c.Name, c.Doubles[row], raw, err)
		}
		if mantissa, _, _ := strings.Cut(strings.ToLower(string(raw)), "e"); rescued == nil && v != 0 &&
			len(strings.TrimLeft(strings.ReplaceAll(mantissa, ".", ""), "-0")) > 15 {
			t.Fatalf("%s: the digits of %s are lost", c.Name, raw)
		}
		return
	case columns.Boolean:
		want = string(raw)
	case columns.Timestamp:
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			t.Fatal(err)
		}
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || v.Nanosecond()%1e6 != 0 {
			t.Fatalf("%s: %s: %v", c.Name, raw, err)
		}
		want = strconv.FormatInt(v.UnixMilli(), 10)
	}
	if got := show(c, row); got != want {
		t.Fatalf("%s: got %s of %s", c.Name, got, raw)
	}
}

// FuzzTime holds parseTime against the form, and against the standard library for the calendar.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2024-01-02T03:04:05Z", "0000-01-01T00:00:00.1+00:00", "9999-12-31T23:59:59.999-23:59", "2000-02-29T12:00:00.12+05:30", "1900-02-29T00:00:00Z", "2024-01-01T0:00:00Z"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	f.Fuzz(func(t *testing.T, text string) {
		ms, ok := parseTime([]byte(text))
		want, err := time.Parse(time.RFC3339Nano, text)
		strict := err == nil && form.MatchString(text) && want.UTC().Year() >= 0 && want.UTC().Year() <= 9999
		if ok != strict || ok && ms != want.UnixMilli() {
			t.Fatalf("%q: got %d, %v; want %v, %v", text, ms, ok, want, err)
		}
	})
}

// FuzzNumber holds numbers against strconv.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "1.5", "123456789012345678", "9223372036854775808", "-9223372036854775808", "1e22", "999999999999999e22", "1.5E-22", "0.1e-300", "1e400", "01", "1.", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := scanner{data: []byte(text)}
		n, end := s.number(0)
		valid := end == len(text)
		if want := json.Valid([]byte(text)) && len(text) > 0 && (text[0] == '-' || text[0]-'0' <= 9) && !strings.ContainsAny(text, " \r\n\t"); valid != want {
			t.Fatalf("%q: valid %v, encoding/json says %v", text, valid, want)
		}
		if !valid {
			return
		}
		i, err := strconv.ParseInt(text, 10, 64)
		if got, fits := n.int64(); fits != (err == nil) || fits && got != i {
			t.Fatalf("%q: int64 %d, %v; want %d, %v", text, got, fits, i, err)
		}
		d, err := strconv.ParseFloat(text, 64)
		got, finite, exact := n.double()
		if finite != (err == nil) || finite && math.Float64bits(got) != math.Float64bits(d) {
			t.Fatalf("%q: double %v, %v; want %v, %v", text, got, finite, d, err)
		}
		if exact && n.digits > 0 {
			// All digits come back from the double.
			s := scanner{data: strconv.AppendFloat(nil, math.Abs(got), 'e', n.digits-1, 64)}
			if back, _ := s.number(0); back.mantissa != n.mantissa || back.exponent != n.exponent {
				t.Fatalf("%q: %s is what a double keeps", text, s.data)
			}
		}
	})
}

// TestTimeOfEveryDay compares times with the standard library: every day of the years around ours, and every 37th of all.
func TestTimeOfEveryDay(t *testing.T) {
	day := time.Date(0, 1, 1, 13, 14, 15, 167e6, time.UTC)
	for step := 0; day.Year() <= 9999; day = day.AddDate(0, 0, step) {
		step = 37
		if year := day.Year(); year >= 1890 && year < 2110 {
			step = 1
		}
		text := day.Format("2006-01-02T15:04:05.000Z07:00")
		if ms, ok := parseTime([]byte(text)); !ok || ms != day.UnixMilli() {
			t.Fatalf("%s: got %d, %v; want %d", text, ms, ok, day.UnixMilli())
		}
	}
}

// FuzzNeighbours puts any bytes between two good lines, which must stay rows.
func FuzzNeighbours(f *testing.F) {
	for _, s := range []string{``, `{`, `[`, `{"a":`, "{\"a\":[\n", "  {\"a\":\n    [", `"`, `{"a":"`, "\\", `{"a":1}}`, "\xff", `]`, nested(65), "{\"a\":\n1,\n", "\r"} {
		f.Add([]byte(s))
	}
	first, last := `{"n":"first"}`, `{"n":"last"}`
	f.Fuzz(func(t *testing.T, middle []byte) {
		payload := first + "\n" + string(middle) + "\n" + last
		out := decode(schemaOf("n:string"), payload)
		checkOutput(t, out, []byte(payload))
		n := len(out.Places)
		if n < 2 || out.Places[0] != 0 || int(out.Places[n-1]) != out.Lines-1 {
			t.Fatalf("%q: rows at %v of %d lines", payload, out.Places, out.Lines)
		}
		c := &out.Table.Columns[0]
		if got := string(c.TextAt(0)) + " " + string(c.TextAt(n-1)); got != "first last" {
			t.Fatalf("%q: %s", payload, got)
		}
	})
}
