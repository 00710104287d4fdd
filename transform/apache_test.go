package transform

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/columns"
)

func TestLogFormatsThatAreNone(t *testing.T) {
	for format, want := range map[string]string{
		"":                    "it has no directive",
		"common log":          "it has no directive",
		"%h %y":               "byte 3: there is no directive %y",
		"%h %{Referer":        "byte 3: there is no directive %{Referer",
		"%h %":                "byte 3: there is no directive %",
		"%h %{x}h":            "byte 3: there is no directive %{x}h",
		"%h %{Referer}^t":     "byte 3: there is no directive %{Referer}^t",
		"%h %{size:int32}n":   "byte 3: there is no directive %{size:int32}n",
		"%h%l":                "nothing stands between %h and %l to tell where one ends",
		`%h "%r%{Referer}i"`:  "nothing stands between %r and %{Referer}i to tell where one ends",
		`%h\n%l`:              "byte 4: a newline within the format; a record is one line",
		"%h %{%H:%M%n%S}t":    "%{%H:%M%n%S}t: a newline; a record is one line",
		"%h %!200,304{Host}z": "byte 3: there is no directive %!200,304{Host}z",
	} {
		if _, err := ApacheSchema(format, false); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", format, err, want)
		}
	}
}

func TestNicknames(t *testing.T) {
	for name := range nicknames {
		s, err := ApacheSchema(name, false, "status")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := NewApache(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if fields := describe(s); !strings.Contains(fields, `source_status:int64<"status"`) {
			t.Errorf("%s: %s", name, fields)
		}
	}
}

// The format may come from Apache's configuration, where quotes within quotes are escaped.
func TestEscapedQuotesOfTheConfiguration(t *testing.T) {
	s, err := ApacheSchema(`%h \"%r\"\t%>s`, false)
	if err != nil {
		t.Fatal(err)
	}
	if out := decode(s, "a \"GET / HTTP/1.1\"\t200"); len(out.Places) != 1 {
		t.Errorf("rejects %v", out.Rejects)
	}
}

func TestMismatchesTellTheirPlace(t *testing.T) {
	for line, want := range map[string]string{
		`10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 1 "-" "curl`:         `at byte 74: want '"' after %{User-Agent}i, found the end`,
		`10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 1`:                   `at byte 64: want " " after %b, found the end`,
		`10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET "/" HTTP/1.1" 200 1 "-" "-"`:         `at byte 48: want " " after %r, found "/"`,
		`10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] GET / HTTP/1.1 200 1 "-" "-"`:             `at byte 42: want '"' before %r, found "G"`,
		`10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 1 "-" "-" "-"`:       `at byte 72: want the end of the line after %{User-Agent}i, found " "`,
		`10.0.0.1 -  - [10/Oct/2000:13:55:36 +0000 "GET / HTTP/1.1" 200 1 "-" "-"`:           `at byte 72: want ']' after %t, found the end`,
		`10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1"  1 "-" "-"`:              `at byte 59: want a value for %>s, found " "`,
		`10.0.0.1 - user 10/Oct/2000:13:55:36 "GET / HTTP/1.1" 200 1 "-" "-"`:                `at byte 67: want " [" after %u, found the end`,
		"10.0.0.1\t- user [10/Oct/2000:13:55:36 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"": `at byte 8: want " " after %h, found "\t"`,
	} {
		s, err := ApacheSchema("combined", false)
		if err != nil {
			t.Fatal(err)
		}
		out := decode(s, line)
		if len(out.Rejects) != 1 || out.Rejects[0].Code != CodeNoMatch || out.Rejects[0].Message != want {
			t.Errorf("%s\ngot:  %+v\nwant: %s", line, out.Rejects, want)
		}
	}
}

func showRow(out *Output, row int) string {
	var values []string
	for i := range out.Table.Columns {
		values = append(values, show(&out.Table.Columns[i], row))
	}
	return strings.Join(values, " ")
}

// As the lab's function gives them: all strings.
func TestStringTypes(t *testing.T) {
	s, err := ApacheSchema("kdg", true)
	if err != nil {
		t.Fatal(err)
	}
	want := "client_ip:string client_id:string user_id:string request_received_time:string client_request:string " +
		"resource:string version:string status:string returned_obj_size:string"
	if got := describe(s); got != want {
		t.Errorf("got %s", got)
	}
	out := decode(s, `1.2.3.4 - Ada [25/Nov/2026:19:07:33 +0000] "POST /list" 0404 -`)
	if got := showRow(out, 0); got != "`1.2.3.4` null `Ada` `25/Nov/2026:19:07:33 +0000` `POST` `/list` null `0404` null null" {
		t.Errorf("got %s", got)
	}
}

// A declared schema takes the values that it names, and the rest is rescued.
func TestDeclaredColumns(t *testing.T) {
	s, err := ParseSchema([]byte(`{"fields":[{"name":"code","source":"status","type":"double"},{"name":"client_ip"},{"name":"request_received_time"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	s.Format, s.LogFormat = FormatApache, `%h %t "%r" %s`
	out := decode(s, `::1 [now] "GET /" 404`)
	if got := showRow(out, 0); got != "404 `::1` `now` `{\"client_request\":\"GET\",\"resource\":\"/\"}`" {
		t.Errorf("got %s", got)
	}
}

func TestDeclaredColumnsThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                                 "declares no column",
		`{"fields":[{"name":"A"}]}`:                          `cannot be called "A"`,
		`{"fields":[{"name":"a-b"}]}`:                        `"a_b" would do`,
		`{"fields":[{"name":"extra"}]}`:                      `"source_extra" would do`,
		`{"fields":[{"name":"rescued"}]}`:                    `"source_rescued" would do`,
		`{"fields":[{"name":"a"},{"name":"a"}]}`:             `"a_2" would do`,
		`{"fields":[{"name":"a","type":"int"}]}`:             "no such column type",
		`{"columns":[{"name":"a"}]}`:                         "unknown field",
		`{"fields":[{"name":"a","type":"int64","typ":"x"}]}`: "unknown field",
	} {
		if _, err := ParseSchema([]byte(text), "extra"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestLogDetector(t *testing.T) {
	combined := `10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`
	common := `10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 1`
	for _, tt := range []struct {
		name    string
		sample  []string
		want    string
		records int
	}{
		{"nothing", nil, "vhost_combined", 0},
		{"nonsense", []string{"a b c", ""}, "vhost_combined", 0},
		{"combined", []string{combined, common, combined}, "combined", 2},
		{"IPv6", []string{strings.Replace(combined, "10.0.0.1", "2001:db8::1", 1)}, "combined", 1},
		{"common, several in a payload", []string{combined, common + "\r\n\n" + common}, "common", 2},
		{"with virtual hosts", []string{"www.example.com:443 " + combined}, "vhost_combined", 1},
		{"nginx", []string{strings.Replace(combined, "- -", "- joe", 1)}, "combined", 1},
		{"s3", []string{`79a5 bucket [06/Feb/2019:00:00:38 +0000] - svc:s3 3E57 S3.EXPIRE.OBJECT key "-" - - - 113 - - "-" "-" v1`}, "s3", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := NewLogDetector(false)
			for _, p := range tt.sample {
				d.Add([]byte(p))
			}
			if s := d.Schema(); s.LogFormat != tt.want || d.Records() != tt.records || s.Format != FormatApache || s.Version != 1 {
				t.Errorf("%d records of %s; want %d of %s", d.Records(), s.LogFormat, tt.records, tt.want)
			}
		})
	}
}

func TestHeaderDetector(t *testing.T) {
	for _, tt := range []struct {
		name    string
		format  string
		sample  []string
		want    string
		records int
	}{
		{"nothing", FormatCSV, []string{"", "\n"}, "", 0},
		{"a header alone", FormatCSV, []string{"a,b"}, "a:string b:string", 0},
		{"types", FormatCSV, []string{"s,i,d,b,t,n\nx,1,1,true,2024-01-02T03:04:05Z,\n", "s,i,d,b,t,n\n,-2,1.5,,,,more"},
			"s:string i:int64 d:double b:boolean t:timestamp n:string", 2},
		{"text that looks like a number", FormatCSV, []string{"a,b,c\n007,1x,-0"}, `a:string b:string c:double`, 1},
		{"names", FormatTSV, []string{"Client IP\tclient-ip\t\"rescued\"\t\tx,y\n1\t2"},
			`client_ip:int64<"Client IP" client_ip_2:int64<"client-ip" source_rescued:string<"rescued" _:string<"" x_y:string<"x,y"`, 1},
		{"lines that are none", FormatCSV, []string{"\"a\nb,c\n\"d\"e,f\n1,2"}, "b:int64 c:int64", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := NewHeaderDetector(tt.format)
			for _, p := range tt.sample {
				d.Add([]byte(p))
			}
			if s := d.Schema(); describe(s) != tt.want || d.Records() != tt.records || s.Format != tt.format {
				t.Errorf("%d records\ngot:  %s\nwant: %s", d.Records(), describe(s), tt.want)
			}
		})
	}
}

// accessLog makes lines of about 190 bytes, each a payload.
func accessLog(n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil, `203.0.%d.%d - user%d [10/Oct/2026:13:%02d:%02d +0200] "GET /posts/%d/explore?page=%d HTTP/1.1" %d %d `+
			`"https://www.example.com/start?q=%d" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0"`,
			i%256, i*7%256, i%50, i/60%60, i%60, i*31%10000, i%9, []int{200, 404, 500, 301}[i%4], i*997%10000, i, 90+i%30)
	}
	return list
}

func TestLinesCostNoAllocation(t *testing.T) {
	log := accessLog(50)
	apache, err := ApacheSchema("combined", false)
	if err != nil {
		t.Fatal(err)
	}
	times, err := ApacheSchema(`%{%b %e %H:%M:%S}t.%{usec_frac}t %{%Y %z}t %{msec}t "%m %U%q %H" %v:%p`, false)
	if err != nil {
		t.Fatal(err)
	}
	csv := Schema{Format: FormatCSV, Fields: schemaOf("a:int64", "b:string", "c:timestamp").Fields}
	for name, tt := range map[string]struct {
		schema Schema
		lines  [][]byte
		rows   int
	}{
		"apache": {apache, append(log, bytes.Join(log, []byte("\n")),
			[]byte(`h - \xff [now] "\x16\x03" abc - "\"\\" "\xff"`)), 101},
		"times": {times, [][]byte{[]byte(`Oct  5 13:55:36.123456 2026 +0200 971211336042 "GET /\"?q=1 HTTP/1.1" ::1:80`)}, 1},
		"csv":   {csv, [][]byte{[]byte("1,x,2024-01-02T03:04:05Z\na,b,c\n\"1\",\"a \"\"b\"\"\n\",x,more,\"than \"\"that\"\"\"\n\n")}, 2},
		"raw":   {RawSchema(), [][]byte{[]byte("a\n\xff\n")}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDecoder(tt.schema)
			out := Output{Table: columns.NewTable(d.Fields())}
			fill := func() {
				out.Reset()
				for i := range out.Table.Columns {
					out.Table.Columns[i].Truncate(0)
				}
				for _, p := range tt.lines {
					d.Decode(p, &out)
				}
			}
			fill()
			if len(out.Places) != tt.rows || len(out.Rejects) > 0 {
				t.Fatalf("%d rows, rejects %v", len(out.Places), out.Rejects)
			}
			if n := testing.AllocsPerRun(20, fill); n != 0 {
				t.Errorf("%v allocations for %d rows", n, tt.rows)
			}
		})
	}
}

// The work for hostile input grows with its length, not with its square: otherwise this takes a minute.
func TestHostileLinesAreDecodedSoon(t *testing.T) {
	const size = 1 << 18
	combined, err := ApacheSchema("combined", false)
	if err != nil {
		t.Fatal(err)
	}
	csv := Schema{Format: FormatCSV, Fields: schemaOf("a:string", "b:string").Fields}
	for _, s := range []Schema{combined, csv, RawSchema()} {
		for _, line := range []string{
			`"`, `""`, "\"\n", "\"x\n", "x\",\"\n", `"a",`, `,"`, "a\",\"\nb", "\"\"\"\n", `\`, `\"`, "\n", "- - - [\n", `- - - [] "\`, " [", " ",
		} {
			for _, end := range []string{"", `"x`} {
				out := decode(s, strings.Repeat(line, size/len(line))+end)
				if out.Lines == 0 || out.Lines != len(out.Places)+len(out.Rejects) {
					t.Errorf("%s %q: %d lines, %d rows, %d rejects", s.Format, line, out.Lines, len(out.Places), len(out.Rejects))
				}
			}
		}
	}
}

// Servers log requests of any length that they take, and scanners try them.
func TestAVeryLongRequest(t *testing.T) {
	s, err := ApacheSchema("combined", false)
	if err != nil {
		t.Fatal(err)
	}
	path := "/?" + strings.Repeat("%41", 300<<10)
	out := decode(s, `192.0.2.1 - - [10/Jan/2015:19:17:08 +0900] "GET `+path+` HTTP/1.1" 414 248 "-" "`+strings.Repeat(`\"`, 100<<10)+`"`)
	if len(out.Places) != 1 || len(out.Rejects) != 0 || out.Rescued != 0 {
		t.Fatalf("%d rows, %d rejects, %d rescued", len(out.Places), len(out.Rejects), out.Rescued)
	}
	for name, want := range map[string]string{"resource": path, "version": "HTTP/1.1", "user_agent": strings.Repeat(`"`, 100<<10)} {
		i := slices.IndexFunc(s.Fields, func(f Field) bool { return f.Name == name })
		if got := string(out.Table.Columns[i].TextAt(0)); got != want {
			t.Errorf("%s has %d bytes, from %.20q; want %d", name, len(got), got, len(want))
		}
	}
}
