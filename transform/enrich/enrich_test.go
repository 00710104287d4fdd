package enrich

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/columns"
)

// secret is the key of the tests: 32 bytes.
const secret = "0123456789abcdefghijklmnopqrstuv"

func testKey(t testing.TB) *Key {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := ReadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// testFields are the columns of most tests, and rescued after them.
var testFields = []columns.Field{
	{Name: "ip", Type: columns.String}, {Name: "agent", Type: columns.String}, {Name: "email", Type: columns.String},
	{Name: "status", Type: columns.Int64}, {Name: "price", Type: columns.Double}, {Name: "paid", Type: columns.Boolean},
	{Name: "at", Type: columns.Timestamp}, {Name: "in", Type: columns.String}, {Name: "other", Type: columns.Int64}, {Name: "count", Type: columns.Int64}, {Name: "len", Type: columns.String},
	{Name: "rescued", Type: columns.String},
}

func testColumns() Columns {
	return Columns{Fields: testFields, Rescued: len(testFields) - 1, Keys: func(column int) []string {
		if column == 0 {
			return []string{"IP", "%h"}
		}
		return []string{testFields[column].Name}
	}}
}

// line is a row by its columns' names; a column that is not named is null.
type line map[string]any

func fill(c *columns.Column, value any) {
	switch v := value.(type) {
	case nil:
		c.AppendNull()
	case string:
		c.AppendString(v)
	case int:
		c.AppendInt(int64(v))
	case float64:
		c.AppendDouble(v)
	case bool:
		c.AppendBool(v)
	case time.Time:
		c.AppendInt(v.UnixMilli())
	default:
		panic(fmt.Sprintf("a value of the type %T", v))
	}
}

func bind(t testing.TB, list string, r Resources) *Enricher {
	t.Helper()
	p, faults := Parse(list, r)
	if len(faults) > 0 {
		t.Fatalf("%s: %v", list, errors.Join(faults...))
	}
	e, err := p.Bind(testColumns())
	if err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	return e
}

// apply takes the steps for rows that the decoder added at once, as it does with the lines of a payload.
func apply(e *Enricher, rows ...line) *columns.Table {
	table := e.Table()
	for _, r := range rows {
		for i, f := range testFields {
			fill(&table.Columns[i], r[f.Name])
		}
	}
	keep := make([]bool, len(rows))
	for i := range rows {
		keep[i] = e.Row(table)
		table.EndRow()
	}
	table.Retain(0, func(row int) bool { return keep[row] })
	return table
}

// show writes a row's value: what a file would have.
func show(c *columns.Column, row int) string {
	if !c.Valid[row] {
		return "null"
	}
	return string(c.AppendValue(nil, row))
}

// added shows the columns that are no longer as the decoder filled them: new ones with their type, and - for each that is
// hidden.
func added(e *Enricher, table *columns.Table) string {
	var all []string
	for i := range table.Columns {
		c := &table.Columns[i]
		switch {
		case c.Hidden:
			all = append(all, "-"+c.Name)
		case i >= len(testFields):
			text := c.Name + ":" + c.Type.String()
			for row := range table.Rows() {
				text += " " + show(c, row)
			}
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}

func TestSteps(t *testing.T) {
	resources := Resources{Key: testKey(t), Databases: testDatabases(t)}
	noon := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		list   string
		rows   []line
		want   string
		faults int
	}{
		"none": {list: " \n", rows: []line{{}}},

		"network": {
			list: "network(IP)",
			rows: []line{
				{"ip": "203.0.113.77"}, {"ip": "203.0.113.77:8080"}, {"ip": "2001:db8:1:2::3"}, {"ip": "[2001:db8:1:2::3]:443"}, {"ip": "[::1]"},
				{"ip": "::ffff:203.0.113.77"}, {"ip": "fe80::1%eth0"},
			},
			want: "ip_network:string 203.0.113.0/24 203.0.113.0/24 2001:db8:1::/48 2001:db8:1::/48 ::/48 203.0.113.0/24 fe80::/48",
		},
		"no addresses": {
			list: "network(ip)",
			rows: []line{
				{"ip": "221.233.116.256"}, {"ip": "1.2.3"}, {"ip": "1.2.3.4.5"}, {"ip": "01.2.3.4"}, {"ip": "1.2.3.4:"}, {"ip": "1.2.3.4:http"}, {"ip": ""}, {"ip": "-"}, {"ip": "["},
				{"ip": "[::1"}, {"ip": "[::1]x"}, {"ip": "::1]"}, {"ip": "localhost"}, {"ip": strings.Repeat(":", 1<<16)}, {},
			},
			want: "ip_network:string" + strings.Repeat(" null", 15),
		},

		"geoip": {
			list: "geoip(ip)",
			rows: []line{{"ip": "192.0.2.1"}, {"ip": "192.0.2.200:99"}, {"ip": "::ffff:192.0.2.1"}, {"ip": "2001:db8::1"}, {"ip": "198.51.100.1"}, {"ip": "203.0.113.9"}, {"ip": "221.233.116.256"}, {}},
			want: "ip_country:string DE DE DE JP null null null null; ip_city:string Köln Köln Köln null null null null null; " +
				"ip_latitude:double 50.9 50.9 50.9 null -1.5 null null null; ip_longitude:double 6.9 6.9 6.9 null null null null null; " +
				"ip_asn:int64 64500 64500 64500 null null 64501 null null; ip_as_org:string Example Networks Example Networks Example Networks null null null null null",
		},

		"user agents": {
			list: "user_agent(agent)",
			rows: []line{
				{"agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"},
				{"agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"},
				{"agent": "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"},
				{"agent": "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko"},
				{"agent": "curl/8.5.0"}, {"agent": "-"}, {},
			},
			want: "agent_family:string Chrome Safari Bingbot Internet Explorer curl null null; agent_version:string 142.0.0.0 18.1 2.0 11.0 8.5.0 null null; " +
				"agent_os:string Windows iOS null Windows null null null; agent_device:string desktop mobile bot desktop null null null",
		},

		// printf 'ada@example.com' | openssl dgst -sha256 -hmac 0123456789abcdefghijklmnopqrstuv, and its first 32 digits.
		"hash": {
			list: "hash(email), hash(status)",
			rows: []line{{"email": "ada@example.com", "status": 200}, {"email": ""}, {}},
			want: "-email; -status; -rescued; rescued:string null null null; " +
				"email_" + keyID + ":string " + hashOfAda + " " + hashOfNothing + " null; status_" + keyID + ":string " + hashOf200 + " null null",
		},

		"drop": {
			list: "network(ip), drop(ip), drop(at)",
			rows: []line{{"ip": "203.0.113.77", "rescued": `{"at":"yesterday","more":1}`}},
			want: `-ip; -at; -rescued; rescued:string {"more":1}; ip_network:string 203.0.113.0/24`,
		},
		"what was rescued of hidden columns": {
			list: "drop(ip), hash(email)",
			rows: []line{
				{"rescued": `{"Ip":["203.0.113.77"]}`}, {"rescued": `{"a":"ip","IP":{"x":",}"},"%H":"\"}","b":[1,{"ip":2}]}`},
				{"rescued": `{"\u0045mail":7,"EMAIL":8,"e_mail":9}`}, {"rescued": `{"İP":1,"c":1}`}, {"rescued": "no object"}, {"rescued": "{"}, {"rescued": `{"a`}, {"rescued": `{"a"}`}, {"rescued": `{x:1}`}, {},
			},
			want: `-ip; -email; -rescued; rescued:string null {"a":"ip","b":[1,{"ip":2}]} {"e_mail":9} {"c":1} null null null null null null; ` +
				"email_" + keyID + ":string" + strings.Repeat(" null", 10),
		},
		"dropped all that was rescued": {
			list: "drop(rescued), drop(email)",
			rows: []line{{"rescued": `{"email":1}`}},
			want: "-email; -rescued; -rescued",
		},

		"compute": {
			list: `compute(total, price * other), compute(kind, status >= 500 ? "fault" : "fine"), compute(hour, at.Hour()), compute(day, date(string(status), "2006")),
				compute(twice, total * 2), compute(good, not (kind == "fault")), compute(host, split(email, "@")[1])`,
			rows: []line{{"price": 2.5, "other": 3, "status": 2026, "at": noon, "email": "ada@example.com"}, {}},
			want: "total:double 7.5 null; kind:string fault fine; hour:int64 12 null; day:timestamp 2026-01-01T00:00:00.000Z null; " +
				"twice:double 15 null; good:boolean false true; host:string example.com null",
		},
		"names that are words, and functions": {
			list: `compute(x, $env["in"] + "!"), compute(y, len($env["in"]))`,
			rows: []line{{"in": "abc"}},
			want: "x:string abc!; y:int64 3",
		},
		"columns that have names of functions, or of variables": {
			list: `compute(x, count([1, 2], # > 1) + len(email)), compute(y, let other = 5; other + status), compute(z, $env["other"] + 1)`,
			rows: []line{{"email": "ab", "status": 1, "other": 2}},
			want: "x:int64 3; y:int64 6; z:int64 3",
		},
		"faults of expressions are null": {
			list: `compute(a, other % status), compute(b, int(email)), compute(c, price / 0), compute(d, split(email, "@")[1]), compute(e, repeat(email, other * 100000000)), compute(f, price ?? 1.5)`,
			rows: []line{{"other": 1, "status": 0, "email": "x", "price": 1.0}},
			want: "a:int64 null; b:int64 null; c:double null; d:string null; e:string null; f:double 1", faults: 5,
		},
		"a text cut within a character": {
			list: `compute(a, email[0:2])`,
			rows: []line{{"email": "aé"}},
			want: "a:string a\uFFFD",
		},

		"null spreads": {
			list: `compute(a, status + other), compute(b, status == other), compute(c, upper(email)), compute(d, email contains "x"), compute(e, email in ["x", "y"]), compute(f, -status)`,
			rows: []line{{"status": 1}, {"other": 1}},
			want: "a:int64 null null; b:boolean null null; c:string null null; d:boolean null null; e:boolean null null; f:int64 -1 null",
		},
		"three values": {
			list: `compute(a, paid and status == 1), compute(b, status == 1 and paid), compute(c, paid or status == 1), compute(d, status == 1 || paid), compute(e, !paid)`,
			rows: []line{{"paid": true, "status": 1}, {"paid": false}, {"paid": true}, {"status": 1}, {"status": 2}, {}},
			want: "a:boolean true false null null false null; b:boolean true false null null false null; c:boolean true null true true null null; " +
				"d:boolean true null true true null null; e:boolean false true false null null null",
		},
		"null is looked at": {
			list: `compute(a, email == nil), compute(b, nil != email), compute(c, status ?? other ?? 7), compute(d, (status + 1) ?? 0), compute(e, upper(email ?? "none") + "!"),
				compute(f, email == nil ? "anonymous" : upper(email)), compute(g, any([1, 2], # == (status ?? 2))), compute(h, paid ? 1 : nil), compute(i, let s = status ?? 3; s * 2)`,
			rows: []line{{"email": "x", "status": 1, "paid": true}, {"other": 5}},
			want: "a:boolean false true; b:boolean true false; c:int64 1 5; d:int64 2 0; e:string X! NONE!; f:string X anonymous; g:boolean true true; h:int64 1 null; i:int64 2 6",
		},

		"where": {
			list: `where(status >= 400), compute(s, status)`,
			rows: []line{{"status": 404}, {"status": 200}, {}, {"status": 500}},
			want: "s:int64 404 500",
		},
		"where, of one that is null or the other": {
			list: `where(email == "x" or status == 404), compute(s, status), where(s != 0)`,
			rows: []line{{"status": 404}, {"email": "x"}, {"email": "x", "status": 0}, {"email": "x", "status": 2}},
			want: "s:int64 404 2",
		},
		"where, of what cannot be computed": {
			list: `where(int(email) > 1), compute(s, email)`,
			rows: []line{{"email": "x"}, {"email": "2"}},
			want: "s:string 2", faults: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := bind(t, tt.list, resources)
			if got := added(e, apply(e, tt.rows...)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if n := e.TakeFaults(); n != tt.faults || e.TakeFaults() != 0 {
				t.Errorf("%d faults; want %d, once", n, tt.faults)
			}
		})
	}
}

// The values of hash, as OpenSSL computes them.
const (
	keyID         = "73337f47"
	hashOfAda     = "07aa86d60b7213edd1452c5e3d7ddb95"
	hashOfNothing = "572c7461173e8915d1eb42f3968c90f8"
	hashOf200     = "82b9c8222254cdeaf81f1594594fd762"
)
