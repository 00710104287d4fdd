package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
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
	CustomerID        string    `json:"customerId" parquet:"customerid,optional"`
	TransactionAmount int64     `json:"transactionAmount" parquet:"transactionamount,optional"`
	SourceIP          string    `json:"sourceIp" parquet:"sourceip,optional"`
	Status            string    `json:"status" parquet:"status,optional"`
	TransactionTime   string    `json:"transactionTime" parquet:"transactiontime,optional"`
	Rescued           *string   `json:"-" parquet:"rescued,optional"`
	IngestTime        time.Time `json:"-" parquet:"ingest_time,timestamp(millisecond)"`
	IngestShard       string    `json:"-" parquet:"ingest_shard"`
	IngestSeq         string    `json:"-" parquet:"ingest_seq"`
	IngestSub         int64     `json:"-" parquet:"ingest_sub"`
	Anomaly           bool      `json:"-" parquet:"anomaly"`
	AnomalyScore      *float64  `json:"-" parquet:"anomaly_score,optional"`
	AnomalyDetector   *string   `json:"-" parquet:"anomaly_detector,optional"`
	AnomalyReason     *string   `json:"-" parquet:"anomaly_reason,optional"`
	AnomalyExpected   *float64  `json:"-" parquet:"anomaly_expected,optional"`
	AnomalyLower      *float64  `json:"-" parquet:"anomaly_lower,optional"`
	AnomalyUpper      *float64  `json:"-" parquet:"anomaly_upper,optional"`
	AnomalySamples    *int64    `json:"-" parquet:"anomaly_samples,optional"`
}

// BenchmarkPath is the whole path of JSON records to the bytes of a Parquet file, beside the obvious program for a file
// of the same columns, which has neither a schema that it finds itself, nor detectors, nor rejects.
func BenchmarkPath(b *testing.B) {
	const records = 50_000
	template, err := kdg.Parse("transaction-normal.kdg", kdg.TransactionNormal)
	if err != nil {
		b.Fatal(err)
	}
	stream := kdg.NewStream([]kdg.Source{{Template: template, Rate: 1000}}, 1, noon)
	all := make([]consumer.Record, records)
	sample := transform.NewDetector(Reserved()...)
	for i := range all {
		data, _, at := stream.Next(nil)
		all[i] = consumer.Record{SequenceNumber: fmt.Sprintf("%056d", i), Arrival: at, Data: data, User: [][]byte{data}}
		if i < sampleRecords {
			sample.Add(data)
		}
	}
	perRecord := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
	}
	sluice := func(b *testing.B, detectors ...anomaly.Settings) {
		prefix, err := sink.ParsePrefix("data/dt=!{timestamp:yyyy-MM-dd}/")
		if err != nil {
			b.Fatal(err)
		}
		p, err := New(Config{Prefix: prefix, ErrorPrefix: prefix, Timezone: time.UTC, Compression: "zstd", Detectors: detectors, FlushBytes: 1 << 30, MemoryLimit: 1 << 30,
			Metrics: &counts{}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		engine, err := anomaly.NewEngine(detectors)
		if err != nil {
			b.Fatal(err)
		}
		decoder := transform.NewJSON(sample.Schema())
		if err := engine.Bind(decoder.Fields()); err != nil {
			b.Fatal(err)
		}
		batch := newBatch(p, "shardId-000000000001", decoder, engine)
		b.ReportAllocs()
		for b.Loop() {
			for i := range all {
				batch.add(&all[i])
				batch.full()
			}
			files, err := batch.files(b.Context())
			if err != nil || files[0].Rows != records {
				b.Fatal(err)
			}
			batch.reset()
		}
		perRecord(b)
	}
	b.Run("sluice", func(b *testing.B) { sluice(b) })
	b.Run("sluice with a detector", func(b *testing.B) {
		sluice(b, anomaly.Settings{Name: "source", Kind: "rate", Key: []string{"sourceip"}})
	})
	b.Run("obvious", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var out bytes.Buffer
			w := parquet.NewGenericWriter[payment](&out, parquet.Compression(&parquet.Zstd))
			for i := range all {
				row := payment{IngestTime: all[i].Arrival, IngestShard: "shardId-000000000001", IngestSeq: all[i].SequenceNumber}
				if err := json.Unmarshal(all[i].Data, &row); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Write([]payment{row}); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
		perRecord(b)
	})
}
