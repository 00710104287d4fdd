package transform

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The parts of the regular expressions that say what mod_log_config's documentation says of a line.
const (
	aWord   = `([^\x00- ]+)`
	aUser   = `([^ ]*(?: +[^ \[][^ ]*)* *)` // up to the first " ["
	aTime   = `\[([^\]]*)\]`
	aQuoted = `"((?:[^"\\]|\\.)*)"`
)

// logOracles are regular expressions for the lines of log formats, whose groups are the values of the directives.
var logOracles = map[string]*regexp.Regexp{
	`%h %l %u %t "%r" %>s %b`: regexp.MustCompile(`(?s)^` + aWord + ` ` + aWord + ` ` + aUser + ` ` + aTime + ` ` + aQuoted + ` ` + aWord + ` ` + aWord + `$`),
	`%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`: regexp.MustCompile(`(?s)^` + aWord + ` ` + aWord + ` ` + aUser + ` ` + aTime + ` ` + aQuoted + ` ` +
		aWord + ` ` + aWord + ` ` + aQuoted + ` ` + aQuoted + `$`),
	`%v:%p %h %t %{X}i`: regexp.MustCompile(`(?s)^([^\x00- ]+):([^\x00- :]+) ` + aWord + ` ` + aTime + ` (.*)$`),
	`%h|%l|%v %s`:       regexp.MustCompile(`(?s)^([^\x00- |]+)\|([^\x00- |]+)\|` + aWord + ` ` + aWord + `$`),
	`%D "%m %U %H" %f`:  regexp.MustCompile(`(?s)^` + aWord + ` "((?:[^"\\ ]|\\.)*) ((?:[^"\\ ]|\\.)*) ((?:[^"\\]|\\.)*)" (.*)$`),
	`%u|%{X}o; %f`:      regexp.MustCompile(`(?s)^([^|]*)\|([^;]*(?:;+[^ ;][^;]*)*;*); (.*)$`),
}

var (
	anEscape = regexp.MustCompile(`\\(?:x[0-9a-fA-F]{2}|["\\bnrtv])`)
	aRequest = regexp.MustCompile("(?s)^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (.*?)(?: (HTTP/[^ ]*))?$")
	aClock   = regexp.MustCompile(`^\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-](?:[01]\d|2[0-3])[0-5]\d$`)
	aNumber  = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)$`)
)

// unescapeLog undoes Apache's escapes.
func unescapeLog(s string) string {
	return anEscape.ReplaceAllStringFunc(s, func(escape string) string {
		switch escape[1] {
		case 'x':
			n, _ := strconv.ParseUint(escape[2:], 16, 8)
			return string([]byte{byte(n)})
		case 'v':
			return "\v"
		case '"', '\\':
			return escape[1:]
		}
		text, _ := strconv.Unquote(`"` + escape + `"`)
		return text
	})
}

// showLogText is what a string column shows of a text.
func showLogText(s string) string {
	if s == "-" {
		return "null"
	}
	return showLogPart(s)
}

// showLogPart is the same of a part of a request, where - means nothing else.
func showLogPart(s string) string { return quoteText(string([]rune(unescapeLog(s)))) }

func showLogNumber(s string) string {
	s = unescapeLog(s)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && aNumber.MatchString(s) {
		return strconv.FormatInt(n, 10)
	}
	return "null"
}

func showLogRequest(s string) []string {
	m := aRequest.FindStringSubmatch(s)
	if m == nil || m[1] == "-" || s == m[1]+" " {
		return []string{"null", "null", "null"}
	}
	version := "null"
	if m[3] != "" {
		version = showLogPart(m[3])
	}
	return []string{showLogPart(m[1]), showLogPart(m[2]), version}
}

// showLogTime is not known where the text has another form than Apache gives it.
func showLogTime(s string) (text string, known bool) {
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", s)
	if !aClock.MatchString(s) {
		return "", s == "-"
	}
	if err != nil || at.UTC().Year() < 0 || at.UTC().Year() > 9999 {
		return "null", true
	}
	return strconv.FormatInt(at.UnixMilli(), 10), true
}

// expectLog gives what the columns show of a line, with an empty text where that is not known; nil if it does not match.
func expectLog(format, line string) (values []string) {
	m := logOracles[format].FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	items, _, _ := parseLogFormat(format)
	for i, it := range items {
		switch it.letter {
		case "r":
			values = append(values, showLogRequest(m[i+1])...)
		case "t":
			text, known := showLogTime(m[i+1])
			if known && text == "" {
				text = "null"
			}
			values = append(values, text)
		case "s", "b", "p", "D":
			values = append(values, showLogNumber(m[i+1]))
		default:
			values = append(values, showLogText(m[i+1]))
		}
	}
	return values
}

// FuzzApache holds the scanner against regular expressions: the same lines match, with the same values.
func FuzzApache(f *testing.F) {
	for _, s := range []string{
		`127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326`,
		`::1 - John Q. [x [10/Oct/2000:13:55:36 -0700] "GET /\"a\" HTTP/1.0" 404 - "http://\\" "\x16\x03 \xff"` + "\r\n\r\nx",
		`[::1]:443 ::2 [31/Dec/9999:23:59:59 -0100] a "b"`, `a:b:c d [] `, `a|b|c 200`, `1 "GET /a?b HTTP/1.1" /var/www/a b`, `1 "G\" /\ a H" -`,
		`user name|a;b; c`, `- - - [-] "-" - -`, `- - - [29/Feb/2001:00:00:60 +0000] "" 007 1.5`, "\xef\xbb\xbf a b  [[] \"\\\" 1 1\n\x00 \t", `a b [ [] "GET  HTTP/1.1" 1 1`,
		`- - - [] "- - -" - -`,
	} {
		f.Add([]byte(s))
	}
	formats := slices.Sorted(maps.Keys(logOracles)) // the same way each time, for the fuzzer
	var decoders []decoder
	for _, format := range formats {
		s, err := ApacheSchema(format, false)
		if err != nil {
			f.Fatal(err)
		}
		decoders = append(decoders, newDecoder(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		for i, format := range formats {
			out := decodeBy(decoders[i], string(payload))
			checkOutput(t, out, payload)
			row, place := 0, 0
			for line := range strings.SplitSeq(strings.TrimPrefix(string(payload), "\ufeff"), "\n") {
				if line = strings.Trim(line, " \t\r"); line == "" {
					continue
				}
				matches := row < len(out.Places) && int(out.Places[row]) == place
				place++
				want := expectLog(format, line)
				if matches != (want != nil) {
					t.Fatalf("%s: %q: matches %v, by the regular expression %v", format, line, matches, want != nil)
				}
				if !matches {
					continue
				}
				for i, text := range want {
					if got := show(&out.Table.Columns[i], row); text != "" && got != text {
						t.Fatalf("%s: %q: %s is %s, want %s", format, line, out.Table.Columns[i].Name, got, text)
					}
				}
				row++
			}
		}
	})
}

// FuzzLogFormat compiles any format, and decodes any line by it.
func FuzzLogFormat(f *testing.F) {
	for name, n := range nicknames {
		f.Add(name, "a b c")
		f.Add(n.format+n.later, "10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] \"GET / HTTP/1.1\" 200 1")
	}
	f.Add(`%!200,304{Referer}i%%%{end:%c %p}t`, `- -`)
	f.Add(`"%h" %U%q`, `"a" /b?c`)
	f.Fuzz(func(t *testing.T, format, line string) {
		for _, text := range []bool{false, true} {
			s, err := ApacheSchema(format, text)
			if err != nil {
				return
			}
			checkOutput(t, decode(s, line), []byte(line))
		}
	})
}

// FuzzStrftime holds times against the standard library.
func FuzzStrftime(f *testing.F) {
	f.Add(int64(971211336042), 7*60)
	f.Add(int64(-62167219200000), -90)
	f.Fuzz(func(t *testing.T, ms int64, minutes int) {
		at := time.UnixMilli(ms).UTC()
		if at.Year() < 1 || at.Year() > 9998 || minutes <= -24*60 || minutes >= 24*60 {
			return
		}
		at = at.In(time.FixedZone("", minutes*60))
		for pattern, layout := range map[string]string{
			"%d/%b/%Y:%H:%M:%S %z": "02/Jan/2006:15:04:05 -0700", "%c %z": "Mon Jan _2 15:04:05 2006 -07:00", "%A, %e %B %Y %I:%M:%S %p %z": "Monday, _2 January 2006 03:04:05 PM Z07:00",
			"%Y-%j %T %z": "2006-002 15:04:05 Z0700", "%F %r %z": "2006-01-02 03:04:05 PM -0700",
		} {
			list, ok := strftime(pattern)
			if !ok {
				t.Fatal(pattern)
			}
			text := at.Format(layout)
			var m moment
			if !m.parse(list, []byte(text)) {
				t.Fatalf("%s does not read %q", pattern, text)
			}
			if got, ok := m.time(); !ok || got != at.Truncate(time.Second).UnixMilli() {
				t.Fatalf("%s: %q is %d, %v; want %d", pattern, text, got, ok, at.Truncate(time.Second).UnixMilli())
			}
		}
	})
}

// FuzzDelimited holds CSV and TSV against encoding/csv, up to the first line that it refuses. The two differ where that is
// meant: here a quote may stand within a value that does not begin with one, and \r\n within quotes stays.
func FuzzDelimited(f *testing.F) {
	for _, s := range []string{
		"a,b,c\n1,2,3\r\n", "\"a\nb\",\"c \"\"d\"\"\"\n\n\r\n,", "\"a\"b\nc", "\"\r\n\"\r\nx\r", "\"", "a\"b,c", "\xff,\"\xff\\\"\n", "1\t\"2\t\"\t3\t4\t5", "\"\"\"\"\n\"x\ny\"z", "\r\r\n,\r", "\xef\xbb\xbf\"a\"",
		"more than there are columns" + strings.Repeat(",", maxColumns),
	} {
		f.Add([]byte(s))
	}
	fields := schemaOf("first:string", "second:string", "third:string").Fields
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, format := range []string{FormatCSV, FormatTSV} {
			out := decode(Schema{Format: format, Fields: fields}, string(payload))
			checkOutput(t, out, payload)
			checkDelimited(t, out, payload, rune(NewDelimited(Schema{Format: format}).comma))

			d := NewHeaderDetector(format)
			d.Add(payload)
			found := decode(d.Schema(), string(payload))
			checkOutput(t, found, payload)
			if d.Records() != len(found.Places) {
				t.Fatalf("%q: %d records in the sample, and %d rows", payload, d.Records(), len(found.Places))
			}
		}
	})
}

func checkDelimited(t *testing.T, out *Output, payload []byte, comma rune) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(payload, []byte("\ufeff"))))
	r.Comma, r.FieldsPerRecord = comma, -1
	for row := 0; ; {
		record, err := r.Read()
		switch {
		case errors.Is(err, csv.ErrBareQuote):
			return
		case errors.Is(err, io.EOF):
			if row != len(out.Places) || len(out.Rejects) > 0 && (row > 0 || out.Rejects[0].Code == CodeInvalidCSV) {
				t.Fatalf("%q: encoding/csv finds %d lines; got %d rows and %v", payload, row, len(out.Places), out.Rejects)
			}
			return
		case err != nil:
			if len(out.Rejects) == 0 || out.Rejects[0].Place != row {
				t.Fatalf("%q: encoding/csv refuses line %d: %v; rejects %v", payload, row, err, out.Rejects)
			}
			return
		}
		if strings.Join(record, ",") == "first,second,third" {
			continue
		}
		if row == len(out.Places) || int(out.Places[row]) != row {
			t.Fatalf("%q: line %d is no row, but %q", payload, row, record)
		}
		if got := delimitedRow(t, out, row, len(record)); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", record) {
			t.Fatalf("%q: got %q, want %q", payload, got, record)
		}
		row++
	}
}

// delimitedRow gives the values of a row as they came, by its columns and what is rescued.
func delimitedRow(t *testing.T, out *Output, row, n int) (values []string) {
	t.Helper()
	rescued := map[string]string{}
	if c := &out.Table.Columns[3]; c.Valid[row] {
		if err := json.Unmarshal(c.TextAt(row), &rescued); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		key := strconv.Itoa(i + 1)
		if i < 3 {
			key = out.Table.Columns[i].Name
		}
		text, kept := rescued[key]
		if text = unescapeLog(text); !kept {
			text = string(out.Table.Columns[i].TextAt(row))
		} else if i < 3 && utf8.ValidString(text) {
			t.Fatalf("%q is rescued, and fits", text)
		}
		values = append(values, strings.ReplaceAll(text, "\r\n", "\n"))
	}
	return values
}

// FuzzRaw puts the lines together again.
func FuzzRaw(f *testing.F) {
	for _, s := range []string{"", "a\nb\r\n\nc", "\xff\\\n\x00\"\u2028", "\r\r\n", "\xef\xbb\xbf\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		out := decode(RawSchema(), string(payload))
		checkOutput(t, out, payload)
		var got strings.Builder
		for row := range out.Places {
			text := string(out.Table.Columns[0].TextAt(row))
			if c := &out.Table.Columns[1]; c.Valid[row] {
				var rescued map[string]string
				if err := json.Unmarshal(c.TextAt(row), &rescued); err != nil {
					t.Fatal(err)
				}
				text = unescapeLog(rescued["line"])
			}
			got.WriteString(text + "\n")
		}
		want := strings.TrimPrefix(string(payload), "\ufeff")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if want = strings.ReplaceAll(want, "\r\n", "\n"); got.String() != want {
			t.Fatalf("%q: got %q, want %q", payload, got.String(), want)
		}
	})
}
