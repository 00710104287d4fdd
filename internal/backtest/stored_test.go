package backtest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// detectors are of every kind, and of every baseline. One has a key that files show in the names of their folders alone.
func detectors() []anomaly.Settings {
	return []anomaly.Settings{
		{Name: "often", Kind: anomaly.KindRate, Key: []string{"ip", "status"}, Window: time.Minute},
		{Name: "oftener", Kind: anomaly.KindRate, Key: []string{"ip"}, Window: 20 * time.Second, Baseline: anomaly.Self},
		{Name: "customers", Kind: anomaly.KindDistinct, Key: []string{"ip"}, Metric: "customer", Window: time.Minute},
		{Name: "price", Kind: anomaly.KindValue, Key: []string{"status"}, Metric: "price"},
		{Name: "load", Kind: anomaly.KindSeries, Metric: "sum(price)", Window: 5 * time.Second},
		{Name: "sums", Kind: anomaly.KindRule, Expression: "price < 500 && status != 'LOST'"},
	}
}

// written is one shard of a service, of which the files are written to a folder.
type written struct {
	*session
	dir  string
	name string
}

func (w written) Shard() string { return w.name }

func (w written) Commit(_ context.Context, b consumer.Batch) error {
	w.sequence++
	for i, f := range b.Files {
		path := filepath.Join(w.dir, filepath.FromSlash(f.Prefix), protocol.Names{Stream: "my-stream"}.Object(w.name, 1+w.sequence/3, w.sequence, i, f.Extension))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.Body, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// heard counts what a service tells of its detectors.
type heard struct {
	pipeline.Unmeasured
	mu            sync.Mutex
	flags, alerts map[string]int64
}

func (h *heard) Anomalies(detector string, n int, _ []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flags[detector] += int64(n)
}

func (h *heard) Announce(_ string, n anomaly.Notice, _ func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n.Phase == anomaly.Opens {
		h.alerts[n.Detector]++
	}
}

// eventTime is the column at.
func eventTime(t *testing.T) pipeline.EventTime {
	t.Helper()
	format, err := transform.ParseTimeFormat("auto")
	if err != nil {
		t.Fatal(err)
	}
	return pipeline.EventTime{Column: "at", Format: format, MaxSkew: time.Hour}
}

// serve runs a service with detectors over the records of a shard, and writes its files to a folder.
func serve(t *testing.T, dir, shard string, settings []anomaly.Settings, h *heard, records []consumer.Record) {
	t.Helper()
	prefix, err := sink.ParsePrefix("data/status=!{partitionKeyFromQuery:status}/")
	if err != nil {
		t.Fatal(err)
	}
	errorPrefix, err := sink.ParseErrorPrefix("errors/!{firehose:error-output-type}/")
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.New(pipeline.Config{
		Prefix: prefix, ErrorPrefix: errorPrefix, Timezone: time.UTC, Output: sink.OutputParquet, Compression: "snappy", Detectors: settings, EventTime: eventTime(t),
		NewDetector: func(reserved ...string) pipeline.Detector { return transform.NewDetector(reserved...) },
		FlushBytes:  200 << 10, FlushInterval: time.Hour, MemoryLimit: 1 << 30, Metrics: h, Announcer: h, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := written{&session{documents: map[string]string{}, fetches: make(chan consumer.Fetch)}, dir, shard}
	go func() {
		for batch := range slices.Chunk(records, 500) {
			w.fetches <- consumer.Fetch{Records: batch, BehindLatest: 1}
		}
		w.fetches <- consumer.Fetch{End: true}
	}()
	if err := p.Process(t.Context(), w); err != nil {
		t.Fatal(err)
	}
}

// payments are the records of a shard, ten a second for some time, in which something of every kind is wrong now and then. Their times
// are out of order, and some are not to be believed.
func payments(seed uint64, n int) (records []consumer.Record) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		arrival := noon.Add(time.Duration(i) * 100 * time.Millisecond)
		at := arrival.Add(-time.Duration(random.IntN(3000)) * time.Millisecond)
		if i%997 == 0 {
			at = at.AddDate(0, 0, -1)
		}
		ip, price, status := fmt.Sprintf("10.0.%d.%d", random.IntN(20), random.IntN(50)), 10+random.IntN(90), []string{"OK", "FAIL/ED", "%"}[random.IntN(3)]
		switch {
		case i%4000 > 3000 && i%10 == 0:
			ip = "192.0.2.1"
		case i%2503 == 2502:
			price *= 10
		case i%5000 > 4900:
			price *= 3
		}
		line := fmt.Sprintf(`{"ip":%q,"price":%d,"status":%q,"customer":"c%d","at":%q}`, ip, price, status, random.IntN(1000), at.Format("2006-01-02T15:04:05.000Z"))
		records = append(records, consumer.Record{SequenceNumber: fmt.Sprintf("4954%052d", i), Arrival: arrival, Data: []byte(line), User: [][]byte{[]byte(line)}})
	}
	return records
}

func stored(dir string, e pipeline.EventTime) Stored {
	return Stored{Places: []Place{{Store: Folder(dir), Name: dir}}, Time: e, Parallel: 2}
}

// What is flagged in files is flagged again where nothing is changed, the same rows; and at each other threshold what a service of that
// threshold flags and announces.
func TestStoredRowsAreJudgedAsByTheService(t *testing.T) {
	shards := map[string][]consumer.Record{"shardId-000000000000": payments(1, 12_000), "shardId-000000000001": payments(2, 12_000)}
	run := func(settings []anomaly.Settings) (dir string, h *heard) {
		dir, h = t.TempDir(), &heard{flags: map[string]int64{}, alerts: map[string]int64{}}
		for name, records := range shards {
			serve(t, dir, name, settings, h, records)
		}
		return dir, h
	}
	dir, h := run(detectors())
	c := Config{Detectors: detectors(), Progress: func(int64, int64) {}}
	result, err := c.RunStored(t.Context(), stored(dir, eventTime(t)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(result.What, "24000 rows of 2 shards") {
		t.Error(result.What)
	}
	for _, o := range result.Outcomes {
		name, now := o.Settings.Name, o.Flags[o.Chosen]
		if now == 0 || o.Before != now || o.Both != now || h.flags[name] != now || h.alerts[name] != o.Alerts[o.Chosen] {
			t.Errorf("%s: %d rows were flagged, %d by the service's metrics, %d are now, %d are both; %d alerts, %d of the service", name, o.Before, h.flags[name], now, o.Both, o.Alerts[o.Chosen], h.alerts[name])
		}
	}
	for _, place := range []int{0, 3} { // among the thresholds that are tried
		other := detectors()
		for i, o := range result.Outcomes {
			other[i].Threshold = &o.Thresholds[min(place, len(o.Thresholds)-1)]
		}
		_, h := run(other)
		for i, o := range result.Outcomes {
			at := slices.Index(o.Thresholds, *other[i].Threshold)
			if o.Flags[at] != h.flags[other[i].Name] || o.Alerts[at] != h.alerts[other[i].Name] {
				t.Errorf("%s at %g: %d flags and %d alerts are foretold, %d and %d came", other[i].Name, o.Thresholds[at], o.Flags[at], o.Alerts[at], h.flags[other[i].Name], h.alerts[other[i].Name])
			}
		}
	}
}

func TestStoredRefuses(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, "shardId-000000000000", nil, &heard{}, payments(1, 100))
	for name, tt := range map[string]struct {
		change func(*Config, *Stored)
		want   string
	}{
		"a column that is not there": {func(c *Config, _ *Stored) { c.Detectors[0].Key = []string{"pi"} }, `the nearest is "ip"`},
		"a time that is not there":   {func(_ *Config, s *Stored) { s.Time.Column = "when" }, "SLUICE_TIME_COLUMN"},
		"an empty folder":            {func(_ *Config, s *Stored) { *s = stored(t.TempDir(), s.Time) }, "no file *.parquet"},
		"a file of others": {func(_ *Config, s *Stored) {
			other := t.TempDir()
			if err := os.WriteFile(filepath.Join(other, "part-0001.parquet"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			*s = stored(other, s.Time)
		}, "no file of sluice"},
		"a damaged file": {func(_ *Config, s *Stored) {
			other := t.TempDir()
			if err := os.WriteFile(filepath.Join(other, "s-000000000000-e1-c1-0.parquet"), []byte("PAR1PAR1"), 0o600); err != nil {
				t.Fatal(err)
			}
			*s = stored(other, s.Time)
		}, "e1-c1-0.parquet"},
	} {
		c, s := Config{Detectors: detectors(), Progress: func(int64, int64) {}}, stored(dir, eventTime(t))
		tt.change(&c, &s)
		if _, err := c.RunStored(t.Context(), s); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", name, err, tt.want)
		}
	}
}
