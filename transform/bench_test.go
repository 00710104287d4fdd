package transform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/columns"
)

// transactions makes records of about 340 bytes, each a payload.
func transactions(n int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	status := []string{"OK", "OK", "OK", "OK", "OK", "OK", "OK", "OK", "FAIL", "PENDING"}
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil, `{"transactionId": "%016x-%08x", "customerId": "%d", "transactionAmount": %d, "price": %d.%02d, `+
			`"sourceIp" : "%d.%d.%d.%d", "status": "%s", "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0", `+
			`"express": %t, "currency": "EUR", "transactionTime": "2024-05-%02dT%02d:%02d:%02d+02:00"}`,
			r.Uint64(), r.Uint32(), r.IntN(50), 10+r.IntN(140), r.IntN(150), r.IntN(100),
			r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(256), status[r.IntN(len(status))], 90+r.IntN(30),
			r.IntN(2) == 0, 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60))
	}
	return list
}

func detect(payloads ...[]byte) Schema {
	d := NewDetector()
	for _, p := range payloads {
		d.Add(p)
	}
	return d.Schema()
}

// perRecord reports what an operation over n records costs for each.
func perRecord(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
}

// benchmarkColumns decodes payloads, which make n rows.
func benchmarkColumns(b *testing.B, schema Schema, payloads [][]byte, n int) {
	d := newDecoder(schema)
	out := Output{Table: columns.NewTable(d.Fields())}
	b.ReportAllocs()
	for b.Loop() {
		for i := range out.Table.Columns {
			out.Table.Columns[i].Truncate(0)
		}
		out.Reset()
		for _, p := range payloads {
			d.Decode(p, &out)
		}
	}
	if len(out.Places) != n {
		b.Fatalf("%d rows", len(out.Places))
	}
	perRecord(b, n)
}

// BenchmarkDecode decodes the same records into columns, and with encoding/json into structs and maps.
func BenchmarkDecode(b *testing.B) {
	const n = 1000
	records := transactions(n)
	size := int64(0)
	for _, r := range records {
		size += int64(len(r))
	}
	decode := func(name string, schema Schema, payloads [][]byte) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			benchmarkColumns(b, schema, payloads, n)
		})
	}
	schema := detect(records...)
	decode("columns", schema, records)
	decode("columns/lines", schema, [][]byte{bytes.Join(records, []byte("\n"))})
	decode("columns/unknown", Schema{Fields: schema.Fields[:len(schema.Fields)-3]}, records)

	type transaction struct {
		ID       string  `json:"transactionId"`
		Customer string  `json:"customerId"`
		Amount   int64   `json:"transactionAmount"`
		Price    float64 `json:"price"`
		Source   string  `json:"sourceIp"`
		Status   string  `json:"status"`
		Agent    string  `json:"userAgent"`
		Express  bool    `json:"express"`
		Currency string  `json:"currency"`
		Time     string  `json:"transactionTime"`
	}
	b.Run("encoding-json-struct", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			for _, p := range records {
				var v transaction
				if err := json.Unmarshal(p, &v); err != nil {
					b.Fatal(err)
				}
			}
		}
		perRecord(b, n)
	})
	b.Run("encoding-json-map", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			for _, p := range records {
				var v map[string]any
				if err := json.Unmarshal(p, &v); err != nil {
					b.Fatal(err)
				}
			}
		}
		perRecord(b, n)
	})
}

// BenchmarkDecodeLines decodes the lines of an access log into columns, and by the usual regular expression into structs.
func BenchmarkDecodeLines(b *testing.B) {
	const n = 1000
	lines := accessLog(n)
	size := int64(0)
	for _, l := range lines {
		size += int64(len(l))
	}
	b.Run("columns", func(b *testing.B) {
		s, err := ApacheSchema("combined", false)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(size)
		benchmarkColumns(b, s, lines, n)
	})
	type request struct {
		client, ident, user, method, resource, version, referer, agent string
		at                                                             time.Time
		status, size                                                   int64
	}
	pattern := regexp.MustCompile(`^(\S+) (\S+) (.*?) \[([^\]]*)\] "(\S+) (\S+) (\S+)" (\d+) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"$`)
	b.Run("regexp", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			for _, l := range lines {
				m := pattern.FindStringSubmatch(string(l))
				r := request{client: m[1], ident: m[2], user: m[3], method: m[5], resource: m[6], version: m[7], referer: m[10], agent: m[11]}
				r.at, _ = time.Parse("02/Jan/2006:15:04:05 -0700", m[4])
				r.status, _ = strconv.ParseInt(m[8], 10, 64)
				r.size, _ = strconv.ParseInt(m[9], 10, 64)
			}
		}
		perRecord(b, n)
	})
}
