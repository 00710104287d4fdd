package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/kdg"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
)

// payment is a row as a program declares it that knows its fields.
type payment struct {
	CustomerID        string `json:"customerId" parquet:"customerid,optional"`
	TransactionAmount int64  `json:"transactionAmount" parquet:"transactionamount,optional"`
	SourceIP          string `json:"sourceIp" parquet:"sourceip,optional"`
	Status            string `json:"status" parquet:"status,optional"`
	TransactionTime   string `json:"transactionTime" parquet:"transactiontime,optional"`
	added
}

// BenchmarkPath is the whole path of JSON records to the bytes of a Parquet file, beside the obvious program for a file
// of the same columns, which has neither a schema that it finds itself, nor detectors, nor rejects.
func BenchmarkPath(b *testing.B) {
	const records = 50_000
	template, err := kdg.Parse("transaction-normal.kdg", kdg.TransactionNormal)
	if err != nil {
		b.Fatal(err)
	}
	stream := kdg.NewStream([]kdg.Source{{Template: template, Rate: kdg.Rate{Mean: 1000}}}, 1, noon)
	all := make([]consumer.Record, records)
	sample := transform.NewDetector(Reserved()...)
	for i := range all {
		data, _, at := stream.Next(nil)
		all[i] = consumer.Record{SequenceNumber: fmt.Sprintf("%056d", i), Arrival: at, Data: data, User: [][]byte{data}}
		if i < sampleRecords {
			sample.Add(data)
		}
	}
	b.Run("sluice", func(b *testing.B) { benchmarkBatch(b, all, sample.Schema()) })
	b.Run("sluice with a detector", func(b *testing.B) {
		benchmarkBatch(b, all, sample.Schema(), anomaly.Settings{Name: "source", Kind: "rate", Key: []string{"sourceip"}})
	})
	b.Run("obvious", func(b *testing.B) {
		benchmarkObvious(b, all, func(r *consumer.Record) (row payment, err error) {
			row.added = added{IngestTime: r.Arrival, IngestShard: "shardId-000000000001", IngestSeq: r.SequenceNumber}
			return row, json.Unmarshal(r.Data, &row)
		})
	})
}

// request is a line of the lab's access log, as a program declares it that knows it.
type request struct {
	ClientIP      string    `parquet:"client_ip,optional"`
	ClientID      string    `parquet:"client_id,optional"`
	UserID        string    `parquet:"user_id,optional"`
	ReceivedTime  time.Time `parquet:"request_received_time,optional,timestamp(millisecond)"`
	ClientRequest string    `parquet:"client_request,optional"`
	Resource      string    `parquet:"resource,optional"`
	Version       *string   `parquet:"version,optional"`
	Status        int64     `parquet:"status,optional"`
	Size          int64     `parquet:"returned_obj_size,optional"`
	added
}

// added are the columns that are the records' own in no format.
type added struct {
	Rescued         *string   `json:"-" parquet:"rescued,optional"`
	IngestTime      time.Time `json:"-" parquet:"ingest_time,timestamp(millisecond)"`
	IngestShard     string    `json:"-" parquet:"ingest_shard"`
	IngestSeq       string    `json:"-" parquet:"ingest_seq"`
	IngestSub       int64     `json:"-" parquet:"ingest_sub"`
	Anomaly         bool      `json:"-" parquet:"anomaly"`
	AnomalyScore    *float64  `json:"-" parquet:"anomaly_score,optional"`
	AnomalyDetector *string   `json:"-" parquet:"anomaly_detector,optional"`
	AnomalyReason   *string   `json:"-" parquet:"anomaly_reason,optional"`
	AnomalyExpected *float64  `json:"-" parquet:"anomaly_expected,optional"`
	AnomalyLower    *float64  `json:"-" parquet:"anomaly_lower,optional"`
	AnomalyUpper    *float64  `json:"-" parquet:"anomaly_upper,optional"`
	AnomalySamples  *int64    `json:"-" parquet:"anomaly_samples,optional"`
}

// BenchmarkAccessLog is the whole path of the lab's access log, beside the obvious program with a regular expression.
func BenchmarkAccessLog(b *testing.B) {
	const records = 50_000
	all := make([]consumer.Record, records)
	for i := range all {
		data := fmt.Appendf(nil, `203.0.%d.%d - Ada%d [%s] "GET /posts/%d/explore" %d %d`, i%256, i*7%256, i%50,
			noon.Add(time.Duration(i)*time.Second).Format("02/Jan/2006:15:04:05 -0700"), i*31%100, []int{200, 404, 500, 301}[i%4], i*997%10000)
		all[i] = consumer.Record{SequenceNumber: fmt.Sprintf("%056d", i), Arrival: noon, Data: data, User: [][]byte{data}}
	}
	schema, err := transform.ApacheSchema("kdg", false, Reserved()...)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("sluice", func(b *testing.B) { benchmarkBatch(b, all, schema) })
	line := regexp.MustCompile(`^(\S+) (\S+) (.*?) \[([^\]]*)\] "(\S+) (\S+)(?: (\S+))?" (\d+) (\d+|-)$`)
	b.Run("obvious", func(b *testing.B) {
		benchmarkObvious(b, all, func(r *consumer.Record) (row request, err error) {
			m := line.FindStringSubmatch(string(r.Data))
			if m == nil {
				return row, fmt.Errorf("no match: %s", r.Data)
			}
			row = request{ClientIP: m[1], ClientID: m[2], UserID: m[3], ClientRequest: m[5], Resource: m[6],
				added: added{IngestTime: r.Arrival, IngestShard: "shardId-000000000001", IngestSeq: r.SequenceNumber}}
			row.Status, _ = strconv.ParseInt(m[8], 10, 64)
			row.Size, _ = strconv.ParseInt(m[9], 10, 64)
			row.ReceivedTime, err = time.Parse("02/Jan/2006:15:04:05 -0700", m[4])
			return row, err
		})
	})
}

// benchmarkBatch decodes records, and encodes a file of them.
func benchmarkBatch(b *testing.B, all []consumer.Record, schema transform.Schema, detectors ...anomaly.Settings) {
	prefix, err := sink.ParsePrefix("data/dt=!{timestamp:yyyy-MM-dd}/")
	if err != nil {
		b.Fatal(err)
	}
	p, err := New(Config{Prefix: prefix, ErrorPrefix: prefix, Timezone: time.UTC, Output: sink.OutputParquet, Compression: "zstd", Detectors: detectors, FlushBytes: 1 << 30, MemoryLimit: 1 << 30,
		Metrics: &counts{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	engine, err := anomaly.NewEngine(detectors)
	if err != nil {
		b.Fatal(err)
	}
	decoder, err := newDecoder(schema, false)
	if err != nil {
		b.Fatal(err)
	}
	enricher, err := newEnricher(schema, decoder, &p.cfg.Enrich)
	if err != nil {
		b.Fatal(err)
	}
	if err := engine.Bind(enricher.Fields()); err != nil {
		b.Fatal(err)
	}
	batch := newBatch(p, "shardId-000000000001", stages{decoder, enricher, engine})
	if err := batch.bind(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range all {
			batch.add(&all[i])
			batch.full()
		}
		files, err := batch.files(b.Context())
		if err != nil || files[0].Rows != len(all) {
			b.Fatal(err)
		}
		batch.reset()
	}
	perRecord(b, len(all))
}

// benchmarkObvious makes a struct of each record, and writes a file of them.
func benchmarkObvious[T any](b *testing.B, all []consumer.Record, parse func(*consumer.Record) (T, error)) {
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		w := parquet.NewGenericWriter[T](&out, parquet.Compression(&parquet.Zstd))
		for i := range all {
			row, err := parse(&all[i])
			if err != nil {
				b.Fatal(err)
			}
			if _, err := w.Write([]T{row}); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	perRecord(b, len(all))
}

func perRecord(b *testing.B, records int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(records), "ns/record")
}
