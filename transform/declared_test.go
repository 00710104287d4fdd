package transform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/columns"
)

func TestDeclarations(t *testing.T) {
	for name, test := range map[string]struct{ text, fault string }{
		"everything":               {`{"nested":"flatten","rescue":false,"fields":[{"name":"a","type":"decimal(18,0)","required":true},{"name":"t","type":"timestamp","format":"epoch_ms","source":"x.T"}]}`, ""},
		"a decimal without digits": {`{"fields":[{"name":"a","type":"decimal"}]}`, "a decimal is decimal(P,S)"},
		"too many digits":          {`{"fields":[{"name":"a","type":"decimal(19,2)"}]}`, "at most 18"},
		"more behind the point":    {`{"fields":[{"name":"a","type":"decimal(2,3)"}]}`, "no such column type"},
		"no digits at all":         {`{"fields":[{"name":"a","type":"decimal(0,0)"}]}`, "no such column type"},
		"not closed":               {`{"fields":[{"name":"a","type":"decimal(3,1"}]}`, "no such column type"},
		"digits of another type":   {`{"fields":[{"name":"a","type":"int64(3,1)"}]}`, "no such column type"},
		"a format of a string":     {`{"fields":[{"name":"a","format":"yyyy-MM-dd"}]}`, "a format is of a timestamp"},
		"an unknown key":           {`{"fields":[{"name":"a","nullable":true}]}`, "nullable"},
		"an unknown type":          {`{"fields":[{"name":"a","type":"date"}]}`, "no such column type"},
		"unknown nesting":          {`{"nested":"deep","fields":[{"name":"a"}]}`, "want json or flatten"},
		"a letter too many":        {`{"fields":[{"name":"a","type":"timestamp","format":"yyyy-MM-ddTHH:mm"}]}`, `"T" is not supported`},
		"a week":                   {`{"fields":[{"name":"a","type":"timestamp","format":"YYYY-'W'ww"}]}`, "is not supported"},
		"a named zone":             {`{"fields":[{"name":"a","type":"timestamp","format":"2006-01-02 15:04 MST"}]}`, `"MST" is not supported`},
		"no day":                   {`{"fields":[{"name":"a","type":"timestamp","format":"yyyy-MM"}]}`, "does not say the year, the month and the day"},
		"a month twice":            {`{"fields":[{"name":"a","type":"timestamp","format":"MMM yyyy-MM-dd"}]}`, "twice"},
		"a day twice":              {`{"fields":[{"name":"a","type":"timestamp","format":"2006-01-02 002"}]}`, "twice"},
		"half a day":               {`{"fields":[{"name":"a","type":"timestamp","format":"2006-01-02 03:04"}]}`, "AM and PM"},
		"an open apostrophe":       {`{"fields":[{"name":"a","type":"timestamp","format":"yyyy-MM-dd'T"}]}`, "not closed"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ParseSchema([]byte(test.text))
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Fatalf("the error is %v; want %q", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(s)
			var again Schema
			if err2 := json.Unmarshal(text, &again); err != nil || err2 != nil || !slices.Equal(s.Fields, again.Fields) || s.Form() != again.Form() {
				t.Errorf("%s reads back as %+v: %v %v", text, again, err, err2)
			}
		})
	}
}

// Patterns against what time.Parse makes of the same time; fixed digits are fixed.
func TestTimePatterns(t *testing.T) {
	for _, test := range []struct{ format, text, want string }{
		{"yyyy-MM-dd", "2024-02-29", "2024-02-29T00:00:00Z"},
		{"yyyy-MM-dd", "2023-02-29", ""},
		{"yyyy-MM-dd", "2024-2-29", ""},
		{"uuuu-M-d H:m:s", "2024-2-9 7:8:9", "2024-02-09T07:08:09Z"},
		{"yyyyMMddHHmmssSSS", "20240209070809123", "2024-02-09T07:08:09.123Z"},
		{"yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-02-09T07:08:09.120+05:30", "2024-02-09T01:38:09.12Z"},
		{"yyyy-MM-dd'T'HH:mm:ssXXX", "2024-02-09T07:08:09Z", "2024-02-09T07:08:09Z"},
		{"yyyy-MM-dd'T'HH:mm:ssX", "2024-02-09T07:08:09-03", "2024-02-09T10:08:09Z"},
		{"yyyy-MM-dd'T'HH:mm:ssX", "2024-02-09T07:08:09-0330", "2024-02-09T10:38:09Z"},
		{"yyyy-MM-dd'T'HH:mm:ssx", "2024-02-09T07:08:09Z", ""},
		{"EEE, dd MMM yyyy HH:mm:ss Z", "Fri, 09 Feb 2024 07:08:09 +0100", "2024-02-09T06:08:09Z"},
		{"d. MMMM yy 'o''clock' h a", "9. February 24 o'clock 12 AM", "2024-02-09T00:00:00Z"},
		{"yyyy-MM-dd''", "2024-02-09'", "2024-02-09T00:00:00Z"},
		{"yyyy-DDD", "2024-366", "2024-12-31T00:00:00Z"},
		{"yyyy-DDD", "2023-366", ""},
		{"dd/MM/yyyy", "31/12/9999", "9999-12-31T00:00:00Z"},
		{"Jan _2 2006", "Feb  9 2024", "refused"},
		{"Monday, 02-Jan-06 15:04:05 -0700", "Friday, 09-Feb-24 07:08:09 +0000", "2024-02-09T07:08:09Z"},
		{"2006-01-02T15:04:05.999999999Z07:00", "2024-02-09T07:08:09.5Z", "2024-02-09T07:08:09.5Z"},
		{"2006-01-02 03:04:05 PM", "2024-02-09 12:08:09 AM", "2024-02-09T00:08:09Z"},
		{"2006-002", "2024-060", "2024-02-29T00:00:00Z"},
		{"02.01.2006 15:04", "09.02.2024 24:00", ""},
		{"2006-01-02 15:04:05,000", "2024-02-09 07:08:09,001", "2024-02-09T07:08:09.001Z"},
	} {
		p, err := compileTime(test.format)
		if err != nil {
			if test.want != "refused" {
				t.Errorf("%s: %v", test.format, err)
			}
			continue
		}
		got := ""
		if ms, ok, whole := p.parse([]byte(test.text)); ok && whole {
			got = time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)
		}
		if got != test.want {
			t.Errorf("%s of %s: got %q; want %q", test.text, test.format, got, test.want)
		}
	}
}

// FuzzDecimal holds decimals against rational numbers of math/big.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0", "-0.00", "1.5", "123456789012345678", "1e17", "1E-18", "0.1e+2", "12345678901234567890.1", "1.000000000000000000000000", "0.00000000000000000000001e23", "9999999999999999999999e-10"} {
		f.Add(s, uint8(18), uint8(2))
	}
	f.Fuzz(func(t *testing.T, text string, precision, scale uint8) {
		precision = precision%columns.MaxPrecision + 1
		scale %= precision + 1
		s := scanner{data: []byte(text)}
		n, end := s.number(0)
		if end != len(text) || len(text) > 200 || n.exponent > 1000 || n.exponent < -1000 {
			return
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%q is a number here only", text)
		}
		power := func(n uint8) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
		exact.Mul(exact, new(big.Rat).SetInt(power(scale)))
		want := exact.IsInt() && new(big.Int).Abs(exact.Num()).Cmp(power(precision)) < 0
		v, fits := n.decimal(int(precision), int(scale))
		if fits != want || fits && exact.Num().Cmp(big.NewInt(v)) != 0 {
			t.Fatalf("%s as decimal(%d,%d) is %d, %t; want %v, %t", text, precision, scale, v, fits, exact, want)
		}
		if fits {
			shown, ok := new(big.Rat).SetString(string(columns.AppendDecimal(nil, v, scale)))
			if want, _ := new(big.Rat).SetString(text); !ok || shown.Cmp(want) != 0 {
				t.Fatalf("%s is shown as %v", text, shown)
			}
		}
	})
}

// upperHalves writes AM and PM as package time demands them; here they are read in any case, as strptime reads them.
var upperHalves = strings.NewReplacer("am", "AM", "aM", "AM", "Am", "AM", "pm", "PM", "pM", "PM", "Pm", "PM")

// FuzzTimePattern holds layouts of Go against time.Parse: what is read is what time.Parse reads, and what Go writes is read.
func FuzzTimePattern(f *testing.F) {
	for _, layout := range []string{time.DateTime, time.RFC1123Z, time.RFC3339Nano, "02/Jan/2006:15:04:05 -0700", "1/2/06 3:04 PM", "2006.002 15h04", "20060102150405", time.DateOnly, "2006-01-02T15:04:05.000Z0700"} {
		f.Add(layout, "2024-02-29 01:02:03", int64(1709168523456))
		f.Add(layout, time.UnixMilli(1709168523456).UTC().Format(layout), int64(-1))
	}
	f.Fuzz(func(t *testing.T, layout, text string, at int64) {
		p, err := compileTime(layout)
		if err != nil || p.since || strings.IndexFunc(layout, func(r rune) bool { return '0' <= r && r <= '9' }) < 0 || strings.Contains(layout, "'") {
			return
		}
		if ms, ok, whole := p.parse([]byte(text)); ok {
			want, err := time.Parse(upperHalves.Replace(layout), upperHalves.Replace(text))
			if err != nil || want.UnixMilli() != ms || whole != (want.Nanosecond()%1e6 == 0) {
				t.Fatalf("%q as %q is %v, whole %t; time.Parse has %v, %v", text, layout, time.UnixMilli(ms).UTC(), whole, want, err)
			}
		}
		moment := time.UnixMilli(minTime + (at%(endTime-minTime)+(endTime-minTime))%(endTime-minTime)).UTC()
		written := moment.Format(layout)
		want, err := time.Parse(layout, written)
		if err != nil {
			return // a layout that Go itself cannot read back
		}
		if ms, ok, _ := p.parse([]byte(written)); !ok || ms != want.UnixMilli() {
			t.Fatalf("%q as %q is %v, %t; want %v", written, layout, time.UnixMilli(ms).UTC(), ok, want)
		}
	})
}

// Declared values cost no allocation.
func TestDeclaredValuesAllocateNothing(t *testing.T) {
	for format, payload := range map[string]string{
		FormatJSON: `{"d":12.5,"s":"7.25","t":"2024-02-09 07:08:09","e":1704164645,"o":{"x":1,"y":{"z":"\u0041"}}}`,
		FormatCSV:  `12.5,7.25,2024-02-09 07:08:09,1704164645,1,A`,
	} {
		var s Schema
		err := json.Unmarshal(fmt.Appendf(nil, `{"nested":"flatten","format":%q,"fields":[{"name":"d","type":"decimal(9,2)","source":"d"},{"name":"s","type":"decimal(18,4)","source":"s"},
			{"name":"t","type":"timestamp","format":"yyyy-MM-dd HH:mm:ss","source":"t","required":true},{"name":"e","type":"timestamp","format":"epoch_s","source":"e"},
			{"name":"o_x","type":"int64","source":"o.x"},{"name":"o_y_z","type":"string","source":"o.y.z"}]}`, format), &s)
		if err != nil {
			t.Fatal(err)
		}
		d, line := newDecoder(s), []byte(payload)
		out := Output{Table: columns.NewTable(d.Fields())}
		once := func() {
			for i := range out.Table.Columns {
				out.Table.Columns[i].Truncate(0)
			}
			out.Reset()
			d.Decode(line, &out)
		}
		once()
		if len(out.Places) != 1 || out.Rescued != 0 || slices.ContainsFunc(out.Table.Columns[:6], func(c columns.Column) bool { return !c.Valid[0] }) {
			t.Fatalf("%s: %d rows, %d rescued", payload, len(out.Places), out.Rescued)
		}
		if n := testing.AllocsPerRun(100, once); n != 0 {
			t.Errorf("%q: %v allocations a record", format, n)
		}
	}
}

// FuzzFlatten holds the decoder that flattens against the one that does not: what is a line and what is a reject is the same,
// but for keys within objects that count. What is rescued is all that encoding/json finds, by paths.
func FuzzFlatten(f *testing.F) {
	for _, s := range []string{`{"a":{"b":1,"c":{"d":[1,{"e":2}]}},"x":"y"}`, `{"a":{}}{"a":{"b":{}}}`, "{\"a\":{\"b\":1\n{\"c\":1}", `{"a":{"b":1,"b":2},"A":{"B":3}}`,
		`{"\ud800":{"a":1},"b":{"\udc00":1}}`, `{"a":{"b" 1}}`, `{"a":{"b":1}`, `{"a":{"b":1,}}`, "{\n \"a\":{\n \"b\":\n}}\n{\"c\":{}}", nested(64), nested(65)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		s := schemaOf("q:string", "a_b:int64")
		s.Fields[1].Source = "a.b"
		plain, flat := NewJSON(s), NewJSON(Schema{Fields: s.Fields, Nested: NestedFlatten})
		want, got := Output{Table: columns.NewTable(plain.Fields())}, Output{Table: columns.NewTable(flat.Fields())}
		plain.Decode(bytes.Clone(payload), &want)
		flat.Decode(payload, &got)
		for i := range got.Rejects {
			if got.Rejects[i].Code == CodeTooManyKeys {
				return
			}
		}
		if !slices.Equal(got.Places, want.Places) || got.Lines != want.Lines || len(got.Rejects) != len(want.Rejects) {
			t.Fatalf("%q: rows %v of %d lines, flattened %v of %d", payload, want.Places, want.Lines, got.Places, got.Lines)
		}
		for i, r := range got.Rejects {
			if w := want.Rejects[i]; r.Place != w.Place || r.Code != w.Code || string(r.Raw) != string(w.Raw) {
				t.Fatalf("%q: rejects %q (%s) at %d, flattened %q (%s) at %d", payload, w.Raw, w.Code, w.Place, r.Raw, r.Code, r.Place)
			}
		}
		if len(got.Places) != 1 || got.Lines != 1 || bytes.Contains(payload, []byte(`\`)) || got.Duplicates+want.Duplicates > 0 {
			return // the paths are compared where they are plain
		}
		all, rest := map[string]string{}, map[string]json.RawMessage{}
		if last := &got.Table.Columns[2]; last.Valid[0] {
			if err := json.Unmarshal(last.TextAt(0), &rest); err != nil {
				t.Fatalf("%q: rescued is %s: %v", payload, last.TextAt(0), err)
			}
		}
		leaves(t, "", bytes.TrimPrefix(payload, []byte("\xef\xbb\xbf")), all)
		for path, literal := range all {
			lower, within := strings.ToLower(path), path
			if strings.HasPrefix(lower, "a.b.") {
				within = path[:len("a.b")] // an object where the column has a number is rescued as a whole
			}
			if lower != "q" && lower != "a.b" && rest[within] == nil && !strings.HasPrefix(lower, "q.") {
				t.Fatalf("%q: %s, which is %s, is not rescued", payload, path, literal)
			}
		}
	})
}
