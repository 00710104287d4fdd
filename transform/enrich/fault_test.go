package enrich

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/columns"
)

// Every fault tells the step, its place, and what would be right.
func TestParseFaults(t *testing.T) {
	resources := Resources{Reserved: []string{"anomaly", "rescued"}}
	for list, want := range map[string]string{
		"ip":                                   "at character 3: want an opening parenthesis after ip",
		"network(ip) drop(ip)":                 "at character 13: want a comma before the next step",
		"network(ip),":                         "at character 13: want the name of a step",
		",network(ip)":                         "at character 1: want the name of a step",
		"network(ip":                           "at character 8: the parenthesis after network is not closed",
		"where((a]":                            "at character 9: ] closes nothing; want ) first",
		`where(a == "x)`:                       "at character 12: the quote is not closed",
		`where(a == "\")`:                      "at character 12: the quote is not closed",
		"wher(a)":                              "wher at character 1: there is no such step; there are geoip",
		"network()":                            `network at character 1: want the name of one column, not ""`,
		"network(a, b)":                        `want the name of one column, not "a, b"`,
		"drop(a b)":                            `want the name of one column, not "a b"`,
		"drop(é), wher(x)":                     "wher at character 10: there is no such step",
		"geoip(ip)":                            "geoip at character 1: it needs a database: set SLUICE_GEOIP_DATABASE",
		"drop(x),\nhash(ip)":                   "hash at character 10: it needs a key: set SLUICE_HASH_KEY_FILE",
		"compute(x)":                           "want the name of the new column, a comma and an expression",
		"compute(x, )":                         "compute at character 1: want an expression",
		"compute(x y, 1)":                      `"x y" is no name for a column`,
		"compute(X, 1)":                        `"X" is no name for a column`,
		"compute(anomaly, 1)":                  "a column cannot be called anomaly",
		"where()":                              "where at character 1: want an expression",
		"where(a +)":                           "unexpected token EOF, at character 9",
		`where("é" == x), where("é" == now())`: "where at character 18: there is no function now, at character 31",
		"where(values({}) == 1)":               "there is no function values",
		"where(a matches b)":                   "want the pattern of matches as a text in quotes, which is compiled once, at character 17",
		`where(at.Local().Hour() > 3)`:         "the local time is another on each machine",
		"where(a == 1) , compute(b, sleep(1))": "there is no function sleep, at character 28",
	} {
		_, faults := Parse(list, resources)
		var all []string
		for _, f := range faults {
			all = append(all, f.Error())
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, want) {
			t.Errorf("%s\ngot  %s\nwant %s", list, got, want)
		}
	}
	if _, faults := Parse("wher(a), drop(), geoip(ip)", resources); len(faults) != 3 {
		t.Errorf("want three faults at once: %v", faults)
	}
}

func TestBindFaults(t *testing.T) {
	resources := Resources{Key: testKey(t), Databases: testDatabases(t), Reserved: []string{"anomaly", "ip_network"}}
	twice := resources
	twice.Databases = append(twice.Databases, twice.Databases[0])
	for _, tt := range []struct {
		list string
		want string
		r    Resources
	}{
		{list: "drop(at), user_agent(x)", want: "user_agent at character 11: there is no column x; there are ip, agent, email, status, price, paid, in, other, count, len, rescued"},
		{list: "network(status)", want: "the column status is of the type int64, and must be a string"},
		{list: "geoip(at)", want: "the column at is of the type timestamp, and must be a string"},
		{list: "drop(ip), geoip(ip)", want: "geoip at character 11: the column ip is not there any more, after drop(ip); steps that need it go before"},
		{list: "hash(ip), hash(ip)", want: "the column ip is not there any more, after hash(ip)"},
		{list: "network(ip)", want: "a column cannot be called ip_network"},
		{list: "compute(ip, 1)", want: "it adds the column ip, and there is one already"},
		{list: "drop(ip), compute(ip, 1)", want: "it adds the column ip, and there is one already"},
		{list: "compute(x, 1), compute(x, 1)", want: "compute at character 16: it adds the column x, and there is one already"},
		{list: "geoip(ip)", r: twice, want: "it adds the column ip_country, and there is one already (of the database "},
		{list: "where(x > 1)", want: "where at character 1: unknown name x, at character 7; the columns are ip, agent"},
		{list: "drop(ip), where(ip == nil)", want: "unknown name ip, at character 17"},
		{list: "where(status)", want: "the expression gives int, and must give a boolean"},
		{list: "where(fromJSON(email).x)", want: "the expression gives a value whose type is not known beforehand, and must give a boolean"},
		{list: `where(status > "1")`, want: "invalid operation: > (mismatched types int and string), at character 14"},
		{list: "compute(x, status + email)", want: "mismatched types int and string"},
		{list: "compute(x, at - at)", want: "the expression gives a duration; take a number of it"},
		{list: "compute(x, fromJSON(email).x)", want: "say it with int(...), float(...) or string(...)"},
		{list: "compute(x, [1])", want: "a column holds strings, numbers, booleans or times"},
		{list: "compute(x, paid ? 1 : email)", want: "the type of the expression is not known beforehand"},
		{list: "compute(x, email ?? 1)", want: "the type of the expression is not known beforehand"},
		{list: `where(email matches "(")`, want: "error parsing regexp"},
		{list: "compute(x, nil)", want: "the type of the expression is not known beforehand"},
	} {
		if tt.r.Key == nil {
			tt.r = resources
		}
		p, faults := Parse(tt.list, tt.r)
		if len(faults) > 0 {
			t.Errorf("%s: %v", tt.list, faults)
			continue
		}
		if _, err := p.Bind(testColumns()); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\ngot  %v\nwant %s", tt.list, err, tt.want)
		}
	}
}

// A column that is hidden cannot be found by its name, nor by the name that Fields gives it.
func TestHiddenFields(t *testing.T) {
	e := bind(t, "hash(email), drop(ip)", Resources{Key: testKey(t)})
	var names []string
	for _, f := range e.Fields() {
		if isName(f.Name) {
			names = append(names, f.Name)
		}
	}
	if got := strings.Join(names, " "); got != "agent status price paid at in other count len rescued email_"+keyID {
		t.Errorf("fields that may be used: %s", got)
	}
	table := e.Table(columns.Field{Name: "after", Type: columns.Int64})
	if n := len(table.Columns); n != len(e.Fields())+1 || !table.Columns[0].Hidden || table.Columns[1].Hidden || table.Columns[n-1].Hidden || table.Columns[0].Name != "ip" {
		t.Errorf("table %+v", table.Columns)
	}
}

func TestKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for content, want := range map[string]string{
		secret[:31]:              "the key in the file has 31 bytes",
		secret[:31] + "\n":       "the key in the file has 31 bytes",
		"":                       "the key in the file has 0 bytes",
		strings.Repeat("x", 100): "one character again and again",
		secret + secret + "\r\n": "",
		secret:                   "",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := ReadKey(file)
		if want == "" {
			if err != nil || string(key.secret) != strings.TrimSpace(content) {
				t.Errorf("%q: %v, %v", content, key, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || content != "" && strings.Contains(err.Error(), content) {
			t.Errorf("%q: %v; want %s", content, err, want)
		}
	}
	if _, err := ReadKey(file + "s"); err == nil {
		t.Error("a file that is not there is read")
	}
}

func TestDatabaseFaults(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.mmdb")
	if err := os.WriteFile(broken, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		broken: "is no MaxMind DB file",
		writeDatabase(t, "GeoIP2-Domain", object{"192.0.2.0/24": object{"domain": "example.com"}}): `is of the type "GeoIP2-Domain"; want City, Enterprise, Country, ASN or ISP`,
		broken + ".none": "no such file",
	} {
		if _, err := OpenDatabase(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", file, err, want)
		}
	}
	country, err := OpenDatabase(writeDatabase(t, "GeoLite2-Country", object{"192.0.2.0/24": object{"country": object{"iso_code": "FR"}}}))
	if err != nil {
		t.Fatal(err)
	}
	e := bind(t, "geoip(ip)", Resources{Databases: []Database{country}})
	if got := added(e, apply(e, line{"ip": "192.0.2.1"})); got != "ip_country:string FR" {
		t.Errorf("of a database of countries: %s", got)
	}
}
