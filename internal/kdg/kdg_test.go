package kdg

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var someTime = time.Date(2026, time.March, 3, 14, 5, 9, 123456789, time.FixedZone("CET", 3600))

func generatorFor(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

func mustParse(t testing.TB, text string) *Template {
	t.Helper()
	template, err := Parse("test.kdg", text)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// values makes n records of a template, without their newlines.
func values(t testing.TB, text string, n int) []string {
	t.Helper()
	template, r := mustParse(t, text), generatorFor(1)
	var made []string
	for range n {
		record := string(template.Append(nil, r, someTime))
		line, ok := strings.CutSuffix(record, "\n")
		if !ok || strings.Contains(line, "\n") {
			t.Fatalf("%q is not one line", record)
		}
		made = append(made, line)
	}
	return made
}

const accessLog = `{{internet.ip}} - {{name.firstName}} [{{date.now("DD/MMM/YYYY:HH:mm:ss ZZ")}}] "{{random.weightedArrayElement({"weights":[0.6,0.1,0.1,0.2],"data":["GET","POST","DELETE","PUT"]})}} {{random.arrayElement(["/list","/wp-content"])}}" {{random.number(10000)}}
`

func TestGolden(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{TransactionNormal, goldenNormal},
		{TransactionAbnormal, goldenAbnormal},
		{accessLog, goldenLog},
		{"{\"browseraction\":\"Click\", \"site\": \"yourwebsiteurl.domain.com\"}\n", "{\"browseraction\":\"Click\", \"site\": \"yourwebsiteurl.domain.com\"}\n"},
	} {
		template := mustParse(t, c.text)
		if got := string(template.Append(nil, generatorFor(7), someTime)); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestTransactions(t *testing.T) {
	type transaction struct {
		CustomerID        string `json:"customerId"`
		TransactionAmount int    `json:"transactionAmount"`
		SourceIP          string `json:"sourceIp"`
		Status            string `json:"status"`
		TransactionTime   string `json:"transactionTime"`
	}
	for _, text := range []string{TransactionNormal, TransactionAbnormal} {
		abnormal := text == TransactionAbnormal
		customers, addresses, statuses := map[string]int{}, map[string]int{}, map[string]int{}
		const n = 10_000
		for _, line := range values(t, text, n) {
			var got transaction
			d := json.NewDecoder(strings.NewReader(line))
			d.DisallowUnknownFields()
			if err := d.Decode(&got); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if got.TransactionAmount < 10 || got.TransactionAmount > 150 || got.TransactionTime != "2026-03-03T14:05:09+01:00" {
				t.Fatal(line)
			}
			customers[got.CustomerID]++
			addresses[got.SourceIP]++
			statuses[got.Status]++
		}
		if len(customers) != 51 || customers["0"] == 0 || customers["50"] == 0 {
			t.Errorf("customers 0 to 50 are expected, not %v", customers)
		}
		if abnormal != (addresses["221.233.116.256"] == n) || !abnormal && len(addresses) < n*99/100 {
			t.Errorf("abnormal %v: %d addresses", abnormal, len(addresses))
		}
		if len(statuses) != 3 || statuses["OK"] < n*78/100 || statuses["OK"] > n*82/100 {
			t.Errorf("statuses: %v", statuses)
		}
	}
}

// TestFunctions has a shape for every function there is.
func TestFunctions(t *testing.T) {
	const words = `[\pL0-9'.,&/\-()$ ’|+!?:@]+`
	shapes := map[string]string{
		"random.number": `\d{1,5}`, "random.float": `\d{1,5}(\.\d{1,2})?`, "random.boolean": `true|false`,
		"random.uuid":            `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`,
		"random.alphaNumeric":    `[0-9a-z]`,
		"random.alphaNumeric(7)": `[0-9a-z]{7}`,
		`random.arrayElement(["a",'b',3.50,true,null])`:               `a|b|3\.50|true|null`,
		`random.objectElement({"x":"a",y:"b"})`:                       `a|b`,
		`random.weightedArrayElement({data:["a","b"],weights:[1,2]})`: `a|b`,
		"random.word":                 words,
		"random.words(2)":             words,
		"date.now":                    `2026-03-03T14:05:09\+01:00`,
		"date.utc":                    `2026-03-03T13:05:09Z`,
		"date.simTime":                `2026-03-03T14:05:09\+01:00`,
		"current.timestamp":           `2026-03-03T14:05:09\+01:00`,
		"date.now()":                  `2026-03-03T14:05:09\+01:00`,
		`date.utc('HH[h]')`:           `13h`,
		`date.now(DD/MM/YYYY, HH:mm)`: `03/03/2026, 14:05`,
		"date.month":                  `[A-Z][a-z]+`,
		"date.weekday":                `[A-Z][a-z]+day`,
		"internet.ip":                 `(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}`,
		"internet.ipv6":               `[0-9a-f]{4}(:[0-9a-f]{4}){7}`,
		"internet.mac":                `[0-9a-f]{2}(:[0-9a-f]{2}){5}`,
		"internet.userAgent":          `(Mozilla|Opera)/[\w.]+ \(.+\).*`,
		"internet.protocol":           `https?`,
		"internet.userName":           `[a-z]+\.[a-z]+\d\d`,
		"internet.email":              `[a-z]+\.[a-z]+@example\.[a-z]+`,
		"internet.domainWord":         `[a-z]+`,
		"internet.domainSuffix":       `[a-z]+`,
		"internet.domainName":         `[a-z]+\.[a-z]+`,
		"internet.url":                `https://[a-z]+\.[a-z]+`,
		"internet.color":              `#[0-9a-f]{6}`,
		"internet.password":           `\w{15}`,
		"name.firstName":              words, "name.lastName": words, "name.findName": words, "name.prefix": words, "name.suffix": words,
		"name.jobTitle": words, "name.title": words, "name.jobDescriptor": words, "name.jobArea": words, "name.jobType": words,
		"address.city": words, "address.country": words, "address.countryCode": `[A-Z]{2}`, "address.state": words, "address.state(true)": `[A-Z]{2}`,
		"address.stateAbbr": `[A-Z]{2}`, "address.zipCode": `\d{5}`, "address.zipCode(#####-##)": `\d{5}-\d\d`,
		"address.streetName": words, "address.streetAddress": `\d{3,5} ` + words, "address.streetAddress(true)": `\d{3,5} ` + words + ` (Apt\.|Suite) \d{3}`,
		"address.streetPrefix": words, "address.streetSuffix": words, "address.secondaryAddress": `(Apt\.|Suite) \d{3}`,
		"address.latitude": `-?\d{1,2}\.\d{4}`, "address.longitude": `-?1?\d{1,2}\.\d{4}`,
		"phone.phoneNumber": `\d{3}-\d{3}-\d{4}`, `phone.phoneNumber("0## ###")`: `0\d\d \d{3}`,
		"commerce.price": `\d{1,4}\.\d\d`, "commerce.price(5, 6, 1, '$')": `\$[56]\.\d`, "commerce.color": words, "commerce.department": words,
		"commerce.product": words, "commerce.productAdjective": words, "commerce.productMaterial": words, "commerce.productName": words,
		"company.companyName": `\S.*\S`, "company.companySuffix": words, "company.bs": words, "company.catchPhrase": words,
		"finance.amount": `\d{1,4}\.\d\d`, `finance.amount({"min":-2,"max":-1,"dec":3})`: `-[12]\.\d{3}`, "finance.amount(1,2,0)": `[12]`,
		"finance.account": `\d{8}`, "finance.accountName": `[A-Z].* Account`, "finance.mask": `\d{4}`, "finance.transactionType": `[a-z]+`,
		"finance.currencyCode": `[A-Z]{3}`, "finance.currencyName": words,
		"hacker.abbreviation": words, "hacker.adjective": words, "hacker.noun": words, "hacker.verb": words, "hacker.ingverb": words,
		"lorem.word": words, "lorem.words": `\w+ \w+ \w+`,
	}
	tried := map[string]bool{}
	for call, shape := range shapes {
		t.Run(call, func(t *testing.T) {
			function, _, _ := strings.Cut(call, "(")
			tried[function] = true
			whole := regexp.MustCompile(`^(` + shape + `)$`)
			distinct := map[string]bool{}
			for _, v := range values(t, "{{ "+call+" }}", 3000) {
				if !whole.MatchString(v) {
					t.Fatalf("%q is not like %s", v, shape)
				}
				if strings.HasPrefix(v, " ") || strings.Contains(v, "  ") || strings.HasSuffix(v, " ") {
					t.Fatalf("%q has too much space", v)
				}
				if encoded, err := json.Marshal(v); err != nil || strings.Contains(string(encoded), `\"`) || strings.Contains(v, `\`) {
					t.Fatalf("%q cannot stand within quotes in JSON", v)
				}
				distinct[v] = true
			}
			isDate := strings.HasPrefix(function, "date.") && !strings.HasSuffix(function, "h") && !strings.HasSuffix(function, "y") || function == "current.timestamp"
			if !isDate && len(distinct) < 2 {
				t.Errorf("always %v", distinct)
			}
		})
	}
	for _, f := range functionNames() {
		if !tried[f] {
			t.Errorf("%s is not tested", f)
		}
	}
}

func TestNumberRange(t *testing.T) {
	for _, c := range []struct{ call, want string }{
		{"random.number(3)", "0 1 2 3"},
		{"random.number(0)", "0"},
		{`random.number({"min":-1,"max":1})`, "-1 0 1"},
		{`random.number({"min":9,"max":9})`, "9"},
		{`random.number({"max":2})`, "0 1 2"},
		{`random.number({"min":0.5,"max":2.5})`, "1 2"},
		{`random.number({"min":1,"max":1.5,"precision":0.1})`, "1 1.1 1.2 1.3 1.4 1.5"},
		{`random.number({"min":-0.5,"max":0.5,"precision":0.25})`, "-0.25 -0.5 0 0.25 0.5"},
		{`random.number({"min":5,"max":45,"precision":20})`, "20 40"},
		{`random.number(1, 3)`, "1 2 3"},
		{"random.number(\r\n\t{ 'min' : 1e1 , max:11 }\n)", "10 11"},
		{`commerce.price({"min":0.995,"max":1.015})`, "1.00 1.01"},
		{`finance.amount(-0.02,0.01,2)`, "-0.01 -0.02 0.00 0.01"},
		{`finance.amount(8, 10, 0, "EUR ")`, "EUR 10 EUR 8 EUR 9"},
	} {
		made := values(t, "{{"+c.call+"}}", 500)
		slices.Sort(made)
		if got := strings.Join(slices.Compact(made), " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.call, got, c.want)
		}
	}
}

// TestShares holds the frequencies against a chi-squared test with a fixed seed, at five standard deviations.
func TestShares(t *testing.T) {
	for _, c := range []struct {
		call string
		want map[string]float64
	}{
		{`random.weightedArrayElement({"weights": [0.9,0.04,0.02,0.04], "data":["200","404","500","301"]})`,
			map[string]float64{"200": 0.9, "404": 0.04, "500": 0.02, "301": 0.04}},
		{`random.weightedArrayElement({"weights":[0.333,0.333,0.334],"data":[1,2,3]})`, map[string]float64{"1": 0.333, "2": 0.333, "3": 0.334}},
		{`random.weightedArrayElement({"weights":[5,0,15,0],"data":["a","never","b","nor"]})`, map[string]float64{"a": 0.25, "b": 0.75}},
		{`random.weightedArrayElement({"weights":[1e308,1e308,1e-308],"data":["a","b","c"]})`, map[string]float64{"a": 0.5, "b": 0.5}},
		{`random.arrayElement(["a","b","c","a"])`, map[string]float64{"a": 0.5, "b": 0.25, "c": 0.25}},
		{`random.number(4)`, map[string]float64{"0": 0.2, "1": 0.2, "2": 0.2, "3": 0.2, "4": 0.2}},
		{`random.boolean`, map[string]float64{"true": 0.5, "false": 0.5}},
	} {
		const n = 100_000
		counts := map[string]float64{}
		for _, v := range values(t, "{{"+c.call+"}}", n) {
			counts[v]++
		}
		var chi2 float64
		for v, share := range c.want {
			chi2 += math.Pow(counts[v]-n*share, 2) / (n * share)
			delete(counts, v)
		}
		if len(counts) > 0 {
			t.Errorf("%s: also got %v", c.call, counts)
		}
		df := float64(len(c.want) - 1)
		if chi2 > df+5*math.Sqrt(2*df) {
			t.Errorf("%s: the shares are off, chi-squared %.1f", c.call, chi2)
		}
	}
}

func TestLayout(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"\ufeff \n{\r\n  \"a\": 1,\n  \"b\":\t2\n}  \n\n", "{  \"a\": 1,  \"b\":\t2}"},
		{`{"a":{"b":{{random.number(0)}}}}`, `{"a":{"b":0}}`},
		{"{{random.number(0)}}{{random.number(0)}}", "00"},
		{"a } b }} { c", "a } b }} { c"},
		{`{{random.arrayElement(["}}"])}}`, "}}"},
		{`{{random.arrayElement(['it\'s "(x)"'])}}`, `it's "(x)"`},
		{`{{random.arrayElement(["\u00e9\ud83d\ude00\ud83d\t\\"])}}`, "é😀\ufffd\t\\"},
		{"{{random.arrayElement([\"a\nb\", \"ab\"])}}", "ab"},
		{"{{random.arrayElement([{\"a\":\n1}])}}", `{"a":1}`},
		{"{{random.weightedArrayElement({\"weights\":[1],\n\"weights\":[2,3],\"data\":[7,7]})}}", "7"},
		{"\xff\x00{{ date.utc( 'YYYY' ) }}\xfe", "\xff\x002026\xfe"},
	} {
		if got := values(t, c.text, 1)[0]; got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{" \n ", "1:1: the template is empty"},
		{"{\n  \"é\": {{random.numbr(5)}}\n}", `2:10: there is no function "random.numbr"; the nearest is random.number`},
		{"{{Internet.IP}}", `1:3: there is no function "Internet.IP"; the nearest is internet.ip`},
		{"{{date.nwo}}", `1:3: there is no function "date.nwo"; the nearest is date.now`},
		{"{{firstName}}", `1:3: there is no function "firstName"; the nearest is name.firstName`},
		{"a {{}}", "1:5: after {{ a function is expected, such as random.number or date.now"},
		{"a {{{date.now}}}", "1:5: after {{ a function is expected, such as random.number or date.now"},
		{"a {{date.now", "1:3: this {{ is never closed: }} is missing"},
		{"a {{date.now}", "1:13: }} is expected after date.now, not '}'"},
		{"{{random.number(5}}", "1:18: , or ) is expected, not '}'"},
		{"{{random.number(", "1:17: a value is missing"},
		{"{{random.number({\"min\":1", "1:25: , or } is expected, not the end"},
		{`{{random.number({"min":})}}`, "1:24: a value is expected, not '}'"},
		{`{{random.number({"mim":1})}}`, `1:18: random.number has no option "mim"; the nearest is "min"`},
		{`{{random.number({"min":"1"})}}`, `1:24: the min of random.number is a number, not "1"`},
		{`{{random.number("50")}}`, `1:17: the max of random.number is a number, not "50"`},
		{`{{random.number({"min":5,"max":1})}}`, "1:3: the maximum of random.number, 1, is below its minimum, 5"},
		{`{{random.number({"min":1,"max":9,"precision":10})}}`, "1:3: random.number has no multiple of 10 between 1 and 9"},
		{`{{random.number({"precision":0})}}`, "1:3: the precision of random.number is above 0, such as 0.01"},
		{`{{random.number(1e400)}}`, "1:17: 1e400 is not a number that can be used"},
		{`{{random.number(1e17)}}`, "1:3: the numbers of random.number have too many digits together: 15 are possible"},
		{`{{random.number(1e-17)}}`, "1:3: the numbers of random.number have too many digits together: 15 are possible"},
		{`{{random.number(1,2,3,4)}}`, "1:23: random.number takes at most 3 of the arguments"},
		{`{{random.arrayElement}}`, `1:3: random.arrayElement needs an argument, such as ["OK","FAIL"]`},
		{`{{random.arrayElement([])}}`, `1:23: random.arrayElement has nothing to choose from`},
		{`{{random.arrayElement("a")}}`, `1:23: random.arrayElement takes an argument such as ["OK","FAIL"]`},
		{`{{random.arrayElement([a])}}`, "1:24: a is no value; text stands in quotes"},
		{`{{random.arrayElement(["a)}}`, "1:24: this \" is never closed"},
		{`{{random.arrayElement(["\x"])}}`, `1:25: there is no escape \x; a backslash is written \\`},
		{`{{random.arrayElement(["\u12"])}}`, `1:25: after \u four hexadecimal digits are expected`},
		{`{{random.weightedArrayElement({"weights":[1],"data":["a","b"]})}}`, "1:42: random.weightedArrayElement has 1 weights for 2 elements"},
		{`{{random.weightedArrayElement({"weights":[-1],"data":["a"]})}}`, "1:43: a weight is a number from 0 upwards, not -1"},
		{`{{random.weightedArrayElement({"weights":[0],"data":["a"]})}}`, "1:42: at least one weight must be above 0"},
		{`{{random.weightedArrayElement({"weight":[1],"data":["a"]})}}`, `1:32: random.weightedArrayElement has no option "weight"; the nearest is "weights"`},
		{`{{random.weightedArrayElement({"data":["a"]})}}`, `1:31: random.weightedArrayElement takes an argument such as {"weights":[0.9,0.1],"data":["OK","FAIL"]}`},
		{`{{random.alphaNumeric(0)}}`, "1:23: random.alphaNumeric takes a whole number from 1 to 10000, not 0"},
		{`{{internet.ip(4)}}`, "1:15: internet.ip takes no arguments"},
		{`{{date.now(5)}}`, `1:12: date.now takes an argument such as "YYYY-MM-DDTHH:mm:ssZ"`},
		{`{{date.now("YYYY)}}`, `1:12: this " is never closed`},
		{`{{commerce.price({"dec":0.5})}}`, "1:25: the dec of commerce.price is a whole number from 0 to 15, not 0.5"},
		{"{{random.arrayElement(" + strings.Repeat("[", 100), "1:87: the arguments are nested more than 64 deep"},
	} {
		_, err := Parse("t.kdg", c.text)
		if err == nil || err.Error() != "t.kdg:"+c.want {
			t.Errorf("%q:\ngot  %v\nwant t.kdg:%s", c.text, err, c.want)
		}
	}
}

func TestAppendKeepsDst(t *testing.T) {
	got := string(mustParse(t, "{{internet.userName}}").Append([]byte("A-Z "), generatorFor(1), someTime))
	if !strings.HasPrefix(got, "A-Z ") {
		t.Errorf("%q", got)
	}
}

func TestAppendAllocations(t *testing.T) {
	for _, text := range []string{TransactionNormal, TransactionAbnormal, accessLog} {
		template, r := mustParse(t, text), generatorFor(1)
		buffer := make([]byte, 0, 1024)
		if n := testing.AllocsPerRun(1000, func() { buffer = template.Append(buffer[:0], r, someTime) }); n != 0 {
			t.Errorf("%s: %v allocations", template.Name(), n)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{TransactionNormal, TransactionAbnormal, accessLog, "{{date.now(DD/MM [x] \\D)}}",
		`{{commerce.price(0.001,3,1,'$')}}{{random.number({"min":-5,"precision":0.01})}}`, "{{lorem.words(9)}} {{random.objectElement({a:[1]})}}"} {
		f.Add(seed, int64(1_772_546_709_123))
	}
	f.Fuzz(func(t *testing.T, text string, milliseconds int64) {
		template, err := Parse("f.kdg", text)
		if err != nil {
			if !regexp.MustCompile(`^f\.kdg:\d+:\d+: `).MatchString(err.Error()) {
				t.Fatalf("no place: %v", err)
			}
			return
		}
		at := time.UnixMilli(milliseconds).UTC()
		first := template.Append(nil, generatorFor(3), at)
		again := mustParse(t, text).Append(nil, generatorFor(3), at)
		if string(first) != string(again) {
			t.Fatalf("%q and %q of the same seed", first, again)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ name, text string }{{"transaction", TransactionNormal}, {"access-log", accessLog}} {
		b.Run(c.name, func(b *testing.B) {
			template, r := mustParse(b, c.text), generatorFor(1)
			buffer := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				buffer = template.Append(buffer[:0], r, someTime)
			}
			b.SetBytes(int64(len(buffer)))
		})
	}
}

func ExampleParse() {
	template, err := Parse("status.kdg", `{"status": "{{random.arrayElement(["OK"])}}", "time": "{{date.utc}}"}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(template.Append(nil, rand.New(rand.NewPCG(1, 1)), someTime)))
	// Output: {"status": "OK", "time": "2026-03-03T13:05:09Z"}
}
