package transform

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// describe writes a schema as "name:type" words, with the source where it differs from the name.
func describe(s Schema) string {
	var words []string
	for _, f := range s.Fields {
		w := f.Name + ":" + f.Type.String()
		if f.Source != f.Name {
			w += fmt.Sprintf("<%q", f.Source)
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func TestDetect(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sample []string
		want   string
	}{
		{"nothing", nil, ""},
		{"every type", []string{`{"s":"x","i":1,"d":1.5,"b":true,"t":"2024-01-02T03:04:05Z","n":null,"o":{},"a":[1]}`},
			"s:string i:int64 d:double b:boolean t:timestamp n:string o:string a:string"},
		{"order of appearance", []string{`{"b":1}`, `{"c":1,"a":1,"b":1}`}, "b:int64 c:int64 a:int64"},
		{"several objects in a payload", []string{"{\"a\":1}{\"b\":1}\n{\"c\":1}"}, "a:int64 b:int64 c:int64"},
		{"bad ones are passed over", []string{"{\"x\":1\n{\"a\":1}\n[{\"y\":1}]", "", "{\"z\":\"\xff\"}"}, "a:int64"},
		{"null says nothing", []string{`{"a":null,"b":1}`, `{"a":1.5,"b":null}`}, "a:double b:int64"},
		{"integers and doubles", []string{`{"a":1,"b":1.5}`, `{"a":1.5,"b":1}`}, "a:double b:double"},
		{"the ends of int64", []string{`{"a":9223372036854775807}`, `{"a":-9223372036854775808}`}, "a:int64"},
		{"integers beyond int64", []string{`{"a":9223372036854775808,"b":-9223372036854775809}`}, "a:double b:double"},
		{"no integers", []string{`{"a":1.0,"b":1e2,"c":-0,"d":1e400}`}, "a:double b:double c:double d:double"},
		{"numbers and strings", []string{`{"a":1,"b":"x","c":1.5}`, `{"a":"1","b":1,"c":"x"}`}, "a:string b:string c:string"},
		{"booleans and others", []string{`{"a":true,"b":true,"c":"x"}`, `{"a":1,"b":"x","c":false}`}, "a:string b:string c:string"},
		{"nested and others", []string{`{"a":{},"b":1}`, `{"a":1,"b":[]}`}, "a:string b:string"},
		{"times in every value", []string{`{"a":"2024-01-02T03:04:05.123+02:00"}`, `{"a":null}`, `{"a":"2024\u002d01-02T03:04:05Z"}`}, "a:timestamp"},
		{"one that is no time", []string{`{"a":"2024-01-02T03:04:05Z"}`, `{"a":"2024-01-02T03:04:05"}`}, "a:string"},
		{"finer than milliseconds", []string{`{"a":"2024-01-02T03:04:05.123456Z"}`}, "a:string"},
		{"times and numbers", []string{`{"a":"2024-01-02T03:04:05Z"}`, `{"a":1}`}, "a:string"},
		{"lower case", []string{`{"customerId":1,"SOURCE":2}`}, `customerid:int64<"customerId" source:int64<"SOURCE"`},
		{"keys that differ by case", []string{`{"Ab":1,"aB":1.5}`, `{"AB":2}`}, `ab:double<"Ab"`},
		{"odd names", []string{`{"a.b":1,"c d":1,"":1,"é-x":1,"1st":1}`}, `a_b:int64<"a.b" c_d:int64<"c d" _:int64<"" __x:int64<"é-x" 1st:int64`},
		{"names that collide", []string{`{"a.b":1,"a_b":1,"a b":1,"a_b_2":1}`}, `a_b:int64<"a.b" a_b_2:int64<"a_b" a_b_3:int64<"a b" a_b_2_2:int64<"a_b_2"`},
		{"reserved names", []string{`{"Ingest.Time":1,"rescued":1,"source_ingest_time":1,"x":1}`},
			`source_ingest_time:int64<"Ingest.Time" source_rescued:int64<"rescued" source_ingest_time_2:int64<"source_ingest_time" x:int64`},
		{"escaped keys", []string{`{"\u0061":1,"q\"":1,"\ud800":1}`}, `a:int64 q_:int64<"q\""`},
		{"long keys", []string{`{"` + strings.Repeat("k", 200) + `":1,"` + strings.Repeat("l", 201) + `":1}`}, strings.Repeat("k", 200) + ":int64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDetector("ingest_time", "ingest_seq")
			for _, p := range tt.sample {
				d.Add([]byte(p))
			}
			s := d.Schema()
			if got := describe(s); got != tt.want || s.Version != 1 {
				t.Errorf("version %d\ngot:  %s\nwant: %s", s.Version, got, tt.want)
			}
		})
	}
}

func TestDetectorCountsRecords(t *testing.T) {
	d := NewDetector()
	d.Add([]byte("{\"a\":1}\n{\"a\":}\n{}"))
	d.Add([]byte("[]"))
	d.Add([]byte("{}"))
	if d.Records() != 3 {
		t.Errorf("%d records, want 3", d.Records())
	}
}

func TestDetectionEndsAt1000Columns(t *testing.T) {
	d := NewDetector()
	d.Add([]byte(withKeys(1000)))
	d.Add([]byte(`{"more":1,"k7":1.5}`))
	s := d.Schema()
	if len(s.Fields) != 1000 || s.Fields[7].Type.String() != "double" {
		t.Errorf("%d columns, k7 is %v", len(s.Fields), s.Fields[7].Type)
	}
}

// Workers that read a stored schema must decode as the one that detected it.
func TestSchemaSurvivesJSON(t *testing.T) {
	s := detect([]byte(`{"customerId":"x","at":"2024-01-02T03:04:05Z","a.b":1}`))
	text, err := json.Marshal(s)
	want := `{"version":1,"fields":[{"name":"customerid","type":"string","source":"customerId"},` +
		`{"name":"at","type":"timestamp","source":"at"},{"name":"a_b","type":"int64","source":"a.b"}]}`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v\nwant %s", text, err, want)
	}
	var back Schema
	if err := json.Unmarshal(text, &back); err != nil || back.Version != s.Version || !slices.Equal(back.Fields, s.Fields) {
		t.Errorf("%+v, %v", back, err)
	}
	if empty, err := json.Marshal(NewDetector().Schema()); err != nil || string(empty) != `{"version":1,"fields":[]}` {
		t.Errorf("%s, %v", empty, err)
	}
}

// Records of the sample fit the schema: only what no double or int64 can keep is rescued.
func TestSampleFitsItsSchema(t *testing.T) {
	records := transactions(200)
	d := NewDetector()
	for _, r := range records {
		d.Add(r)
	}
	want := `transactionid:string<"transactionId" customerid:string<"customerId" transactionamount:int64<"transactionAmount" price:double ` +
		`sourceip:string<"sourceIp" status:string useragent:string<"userAgent" express:boolean currency:string transactiontime:timestamp<"transactionTime"`
	if got := describe(d.Schema()); got != want {
		t.Fatalf("got:  %s\nwant: %s", got, want)
	}
	var payloads []string
	for _, r := range records {
		payloads = append(payloads, string(r))
	}
	out := decode(d.Schema(), payloads...)
	if len(out.Places) != 200 || out.Rescued != 0 || out.Duplicates != 0 {
		t.Errorf("%d rows, %d rescued, %d duplicates", len(out.Places), out.Rescued, out.Duplicates)
	}
}
