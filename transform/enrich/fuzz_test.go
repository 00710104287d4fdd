package enrich

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluice-etl/sluice/internal/columns"
)

// FuzzParse looks for lists that are taken apart wrongly: what stands between the steps is nothing but commas and white space,
// and faults tell a place.
func FuzzParse(f *testing.F) {
	for _, list := range []string{
		"", "network(ip)", "geoip(ip), hash(email),drop( ip )", `where(a == ")" and b in ['(', "\")"])`, "compute(x, {\"a\": [1, (2)]}.a[0])", "where(`\\`)", "a(", "é(", "a())", "a(]", "drop(a) b",
	} {
		f.Add(list)
	}
	resources := Resources{Key: testKey(f), Databases: testDatabases(f)}
	f.Fuzz(func(t *testing.T, list string) {
		calls, err := parseCalls(list)
		if err == nil {
			rest, from := "", 0
			for _, c := range calls {
				if list[c.at:c.at+len(c.text)] != c.text || list[c.inside.at:c.inside.at+len(c.inside.text)] != c.inside.text {
					t.Fatalf("%q: %+v is not where it says", list, c)
				}
				if !strings.HasPrefix(c.text, c.name) || !strings.HasSuffix(c.text, "("+c.inside.text+")") {
					t.Fatalf("%q: %+v is no call", list, c)
				}
				for _, comma := range c.commas {
					if c.inside.text[comma] != ',' {
						t.Fatalf("%q: %+v has no comma at %d", list, c, comma)
					}
				}
				rest += list[from:c.at]
				from = c.at + len(c.text)
			}
			rest += list[from:]
			if strings.Trim(rest, space+",") != "" || len(calls) > 0 && strings.Count(rest, ",") != len(calls)-1 {
				t.Fatalf("%q: between the steps stands %q", list, rest)
			}
		}
		p, faults := Parse(list, resources)
		if (p == nil) == (len(faults) == 0) || err != nil && len(faults) != 1 {
			t.Fatalf("%q: %v, %v", list, p, faults)
		}
		for _, fault := range faults {
			if !strings.Contains(fault.Error(), "at character ") {
				t.Fatalf("%q: %v tells no place", list, fault)
			}
		}
		if p != nil {
			if _, err := p.Bind(testColumns()); err != nil && !strings.Contains(err.Error(), "at character ") {
				t.Fatalf("%q: %v tells no place", list, err)
			}
		}
	})
}

// FuzzRow looks for expressions and values that make a row fail, or give a column something that it cannot hold.
func FuzzRow(f *testing.F) {
	for _, expression := range []string{
		"status", "status + other", "1 / other", "status % other", "email[status:other]", "split(email, ip)[status]", "int(email)", "float(email) * price", "date(email)", "at.Add(duration(email))",
		"email matches '^a+$' ? ip : email", "paid and status > 1 or email == nil", "(status ?? other) ?? 1", "any(split(email, ''), # == ip)", "let x = status; x * x", "map(1..5, # * status)[0]",
		"string(price)", "toJSON({'a': email})", "fromJSON(email).a == 1", "upper(email) + lower(ip)", "$env['in'] ?? ''", "repeat(email, status)", "sum([status, other])", "median([price, float(status)])", "at == nil or at.Year() > status",
		"not paid", "!(paid ?? false)", "at.UnixNano() % other", "-status", "status ** other", "price ^ price", "bitshl(status, other)", "first(split(email, 'x'))", "price in [1.5, price]", "email startsWith ip", "ceil(price)", "round(price) ?? 0.0",
	} {
		f.Add(expression, "a@b", "192.0.2.1", int64(7), int64(0), 1.5, true, int64(1))
		f.Add(expression, "\u00e9{\"a\":1}", "", int64(-1)<<63, int64(-1), 1e308, false, int64(1)<<62)
	}
	f.Fuzz(func(t *testing.T, expression, email, ip string, status, other int64, price float64, paid bool, at int64) {
		if len(expression) > 200 || !utf8.ValidString(email) || !utf8.ValidString(ip) {
			return
		}
		p, faults := Parse("compute(x, "+expression+"), where(x == x), compute(y, x == nil)", Resources{})
		if len(faults) > 0 {
			return
		}
		e, err := p.Bind(testColumns())
		if err != nil {
			return
		}
		table := e.Table()
		for null := range 4 { // none, some, others, all
			c := table.Columns
			has := func(i int) bool { return null == 0 || null < 3 && (i^null)&1 == 0 }
			for i := range testFields {
				switch {
				case !has(i):
					c[i].AppendNull()
				case testFields[i].Name == "email" || testFields[i].Name == "in":
					c[i].AppendString(email)
				case c[i].Type == columns.String:
					c[i].AppendString(ip)
				case testFields[i].Name == "status":
					c[i].AppendInt(status)
				case testFields[i].Name == "other":
					c[i].AppendInt(other)
				case c[i].Type == columns.Double:
					c[i].AppendDouble(price)
				case c[i].Type == columns.Boolean:
					c[i].AppendBool(paid)
				case c[i].Type == columns.Timestamp:
					c[i].AppendInt(at)
				}
			}
			begun := time.Now()
			kept := e.Row(table)
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("%s took %v", expression, took)
			}
			x := &table.Columns[len(testFields)]
			row := table.Rows()
			if x.Type == columns.String && !utf8.Valid(x.TextAt(row)) {
				t.Errorf("%s gives a text that is not UTF-8: %q", expression, x.TextAt(row))
			}
			if kept && !x.Valid[row] {
				t.Errorf("%s is null, and x == x keeps the row", expression)
			}
			table.EndRow()
		}
	})
}

// FuzzAddress holds parseAddress against the standard library.
func FuzzAddress(f *testing.F) {
	for _, text := range []string{"192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80", "2001:db8::1", "::ffff:192.0.2.1", "221.233.116.256", "fe80::1%eth0", "01.2.3.4", "1.2.3.4.", "[]", "[::]:99999", "0.0.0.0:000000"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseAddress([]byte(text))
		bare, err := netip.ParseAddr(text)
		port, err2 := netip.ParseAddrPort(text)
		switch {
		case len(text) > 100:
		case err == nil:
			if !ok || got != bare.Unmap().WithZone("") {
				t.Errorf("%q: %v, %t; want %v", text, got, ok, bare)
			}
		case err2 == nil:
			if !ok || got != port.Addr().Unmap().WithZone("") {
				t.Errorf("%q: %v, %t; want %v", text, got, ok, port.Addr())
			}
		case ok && !strings.ContainsAny(text, "[:"): // brackets without a port, and ports that are too large, are taken, too
			t.Errorf("%q: %v", text, got)
		}
		if ok && (!got.IsValid() || got.Is4In6() || got.Zone() != "") {
			t.Errorf("%q: %v", text, got)
		}
	})
}

// FuzzCleaning holds what is left of an object against encoding/json.
func FuzzCleaning(f *testing.F) {
	for _, object := range []string{`{"ip":1}`, `{"a":{"ip":[1,"}"]},"IP":"\"","b":null}`, `{"\u0069p":"x"}`, `{"ıp":1,"İp":2}`, `{`, `{"a":1,}`, `{}`, `{"ip":"a\\","c":2}`} {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object string) {
		c := &cleaning{}
		c.hide([]string{"IP"})
		left := c.without(nil, []byte(object))
		var compact bytes.Buffer
		if json.Compact(&compact, []byte(object)) != nil || compact.String() != object || object[0] != '{' {
			return // no decoder writes it
		}
		var want, got map[string]json.RawMessage
		if err := json.Unmarshal([]byte(object), &want); err != nil {
			t.Fatal(err)
		}
		for key := range want {
			if lower(key) == "ip" {
				delete(want, key)
			}
		}
		if len(left) > 0 {
			if err := json.Unmarshal(left, &got); err != nil {
				t.Fatalf("%s became %s: %v", object, left, err)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%s became %s", object, left)
		}
		for key, value := range want {
			if string(got[key]) != string(value) {
				t.Fatalf("%s became %s", object, left)
			}
		}
	})
}
