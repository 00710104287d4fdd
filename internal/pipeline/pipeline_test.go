package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/parquet-go/parquet-go"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/consumer/kpl"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
)

// documents are what the workers of a group agree on.
type documents struct {
	mu   sync.Mutex
	text map[string]string
}

// fakeShard is a shard that a test holds both ends of.
type fakeShard struct {
	*documents
	fetches  chan consumer.Fetch
	stopping chan struct{}
	states   [][]byte
	inherits bool
	peers    func() ([][]byte, bool)
	lost     error // of a snapshot that should be among them
	fenced   bool
	crash    func() error // before a commit, if set: what it fails with
	applied  bool         // a commit that fails so was applied all the same
	batches  []consumer.Batch
}

func (s *fakeShard) Shard() string                  { return "shardId-000000000007" }
func (s *fakeShard) Fetches() <-chan consumer.Fetch { return s.fetches }
func (s *fakeShard) Stopping() <-chan struct{}      { return s.stopping }

func (s *fakeShard) State(_ context.Context, warn func(error)) ([][]byte, bool, error) {
	if s.lost != nil {
		warn(s.lost)
	}
	return s.states, s.inherits, nil
}

func (s *fakeShard) Peers() ([][]byte, bool) {
	if s.peers == nil {
		return nil, true
	}
	return s.peers()
}

func (s *fakeShard) Agreed(_ context.Context, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text[name], nil
}

func (s *fakeShard) Agree(_ context.Context, name, body string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text[name] == "" {
		s.text[name] = body
	}
	return s.text[name], nil
}

func (s *fakeShard) Amend(_ context.Context, name, old, body string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text[name] == old {
		s.text[name] = body
	}
	return s.text[name], nil
}

func (s *fakeShard) Commit(_ context.Context, b consumer.Batch) error {
	if s.fenced {
		return consumer.ErrFenced
	}
	var err error
	if s.crash != nil {
		err = s.crash()
	}
	if err == nil || s.applied {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.batches = append(s.batches, b)
	}
	return err
}

// commits is the number of batches so far, for a test that looks while the shard is at work.
func (s *fakeShard) commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.batches)
}

// counts are the metrics.
type counts struct {
	mu                                   sync.Mutex
	records, rescued, duplicates, skewed int
	filtered, faults                     int
	snapshots, alone                     int
	rejected, anomalies, unusable        map[string]int
	abnormal                             map[string]string
	episodes                             []string // phases
	buffered                             int64
	told                                 []Abnormal
}

func (c *counts) Received(records, _ int) { c.mu.Lock(); c.records += records; c.mu.Unlock() }
func (c *counts) Rescued(n int)           { c.mu.Lock(); c.rescued += n; c.mu.Unlock() }
func (c *counts) Skewed(n int)            { c.mu.Lock(); c.skewed += n; c.mu.Unlock() }
func (c *counts) Duplicates(n int)        { c.mu.Lock(); c.duplicates += n; c.mu.Unlock() }
func (c *counts) Filtered(n int)          { c.mu.Lock(); c.filtered += n; c.mu.Unlock() }
func (c *counts) ExpressionFaults(n int)  { c.mu.Lock(); c.faults += n; c.mu.Unlock() }
func (c *counts) Buffered(n int64)        { c.mu.Lock(); c.buffered += n; c.mu.Unlock() }
func (c *counts) SnapshotLost()           { c.mu.Lock(); c.snapshots++; c.mu.Unlock() }
func (c *counts) PeersLost()              { c.mu.Lock(); c.alone++; c.mu.Unlock() }
func (c *counts) Rejected(reason string, n int) {
	c.mu.Lock()
	c.rejected[reason] += n
	c.mu.Unlock()
}
func (c *counts) Anomalies(detector string, n int, key []byte) {
	c.mu.Lock()
	c.anomalies[detector] += n
	if n > 0 {
		c.abnormal[detector] = string(key)
	}
	c.mu.Unlock()
}
func (c *counts) Abnormal(rows []Abnormal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range rows {
		a.Reason = slices.Clone(a.Reason)
		c.told = append(c.told, a)
	}
}
func (c *counts) Unusable(detector string, n int) {
	c.mu.Lock()
	c.unusable[detector] += n
	c.mu.Unlock()
}
func (c *counts) Episode(_, phase string) {
	c.mu.Lock()
	c.episodes = append(c.episodes, phase)
	c.mu.Unlock()
}
func (c *counts) EpisodesPassedOver(int)               {}
func (c *counts) Detector(string, string, int, uint64) {}

// lab runs one shard.
type lab struct {
	t      *testing.T
	shard  *fakeShard
	counts *counts
	done   chan error
	n      int
	p      *Pipeline
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newLab(t *testing.T, change ...func(*Config, *fakeShard)) *lab {
	t.Helper()
	l := &lab{t: t, done: make(chan error, 1), counts: &counts{rejected: map[string]int{}, anomalies: map[string]int{}, abnormal: map[string]string{}, unusable: map[string]int{}},
		shard: &fakeShard{documents: &documents{text: map[string]string{}}, fetches: make(chan consumer.Fetch), stopping: make(chan struct{})}}
	cfg := Config{
		Timezone: time.UTC, Output: sink.OutputParquet, Compression: "none", CreatedBy: "test", FlushBytes: 64 << 20, FlushInterval: time.Minute, MemoryLimit: 1 << 30,
		NewDetector: func(reserved ...string) Detector { return transform.NewDetector(reserved...) },
		Metrics:     l.counts, Log: slog.New(slog.DiscardHandler),
	}
	var err, err2 error
	cfg.Prefix, err = sink.ParsePrefix("data/dt=!{timestamp:yyyy-MM-dd-HH}/")
	cfg.ErrorPrefix, err2 = sink.ParseErrorPrefix("errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&cfg, l.shard)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.p = p
	go func() { l.done <- p.Process(t.Context(), l.shard) }()
	return l
}

// record makes the next record of the shard, which arrives a second after the one before.
func (l *lab) record(payloads ...string) consumer.Record {
	r := consumer.Record{SequenceNumber: fmt.Sprintf("%056d", l.n), Arrival: noon.Add(time.Duration(l.n) * time.Second)}
	for _, p := range payloads {
		r.User = append(r.User, []byte(p))
		r.Data = append(r.Data, p...)
	}
	l.n++
	return r
}

func (l *lab) give(records ...consumer.Record) { l.shard.fetches <- consumer.Fetch{Records: records} }

// stop gives the shard back, and waits for the end.
func (l *lab) stop() {
	l.t.Helper()
	close(l.shard.stopping)
	if err := <-l.done; err != nil {
		l.t.Fatal(err)
	}
}

// row and reject are read back from files.
type row = map[string]any

type reject struct {
	ErrorCode         string `json:"errorCode"`
	RawData           []byte `json:"rawData"`
	SequenceNumber    string `json:"sequenceNumber"`
	SubSequenceNumber int    `json:"subSequenceNumber"`
}

func read(t *testing.T, batches []consumer.Batch) (rows []row, rejects []reject) {
	t.Helper()
	for _, b := range batches {
		for _, f := range b.Files {
			if strings.HasPrefix(f.Prefix, "errors/") {
				unzipped, err := gzip.NewReader(bytes.NewReader(f.Body))
				if err != nil {
					t.Fatal(err)
				}
				for lines := json.NewDecoder(unzipped); ; {
					var r reject
					if err := lines.Decode(&r); err == io.EOF {
						break
					} else if err != nil {
						t.Fatal(err)
					}
					rejects = append(rejects, r)
				}
				continue
			}
			n := len(rows)
			file, err := parquet.OpenFile(bytes.NewReader(f.Body), int64(len(f.Body)))
			if err != nil {
				t.Fatal(err)
			}
			reader := parquet.NewGenericReader[any](file)
			buffer := make([]any, 100)
			for {
				k, err := reader.Read(buffer)
				for _, r := range buffer[:k] {
					rows = append(rows, r.(row))
				}
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if len(rows)-n != f.Rows {
				t.Errorf("a file of %d rows says %d", len(rows)-n, f.Rows)
			}
		}
	}
	return rows, rejects
}

func triggers(batches []consumer.Batch) string {
	var all []string
	for _, b := range batches {
		all = append(all, b.Trigger)
	}
	return strings.Join(all, " ")
}

func TestEveryLineIsARowOrAReject(t *testing.T) {
	l := newLab(t)
	deep := strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70)
	many := "{"
	for i := range 1001 {
		many += fmt.Sprintf(`"k%d":1,`, i)
	}
	many = strings.TrimSuffix(many, ",") + "}"
	bad := l.record("no aggregate")
	bad.User, bad.Err = nil, kpl.Error{Reason: kpl.BadChecksum}
	l.give(
		l.record(`{"id":1,"name":"a"}`), l.record(""), l.record(`[1]`), l.record(`7`), l.record(`{"id":`), l.record(deep), l.record(many),
		l.record("{\"id\":2,\"name\":\"\xff\"}"), l.record("{\"id\":3}\r\n{\"id\":4}\n\nnonsense\n"), l.record("\xef\xbb\xbf{\"id\":5}"),
		bad, l.record(`{"id":6,"id":7}`), l.record(`{"id":1e400,"name":"\ud800"}`), l.record(`{"id":-0,"name":"\u0000"}`),
		l.record(`{"id":8}`, `{"id":9}`, `oops`), l.record(strings.Repeat("x", 1<<20)),
	)
	l.stop()
	rows, rejects := read(t, l.shard.batches)
	const wantRows, wantRejects = 9, 11
	if len(rows) != wantRows || len(rejects) != wantRejects {
		t.Errorf("%d rows and %d rejects; want %d and %d", len(rows), len(rejects), wantRows, wantRejects)
	}
	// Every line has its own place, and none is missing.
	places := map[string]bool{}
	for _, r := range rows {
		places[fmt.Sprint(r["ingest_seq"], " ", r["ingest_sub"])] = true
	}
	for _, r := range rejects {
		places[fmt.Sprint(r.SequenceNumber, " ", r.SubSequenceNumber)] = true
	}
	if len(places) != wantRows+wantRejects {
		t.Errorf("%d places for %d lines", len(places), wantRows+wantRejects)
	}
	codes := map[string]int{}
	for _, r := range rejects {
		codes[r.ErrorCode]++
	}
	if got := fmt.Sprint(codes); got != fmt.Sprint(l.counts.rejected) || codes["kpl_checksum"] != 1 || codes["too_deep"] != 1 {
		t.Errorf("rejects %v, counted as %v", codes, l.counts.rejected)
	}
	if l.counts.duplicates != 1 || l.counts.records != 16 || l.counts.buffered != 0 {
		t.Errorf("counted %+v", l.counts)
	}
	if last := rejects[len(rejects)-1]; len(last.RawData) != 1<<20 {
		t.Errorf("the last reject keeps %d bytes; want the record's 1 MiB", len(last.RawData))
	}
	if b := l.shard.batches; len(b) != 1 || b[0].Checkpoint != fmt.Sprintf("%056d", 15) || b[0].Trigger != "stop" || b[0].Schema != 1 {
		t.Errorf("committed %s", triggers(b))
	}
}

func TestRowsCarryTheirOrigin(t *testing.T) {
	l := newLab(t)
	l.give(l.record(`{"ID":1,"anomaly":"mine"}`, "{\"ID\":2}\n{\"ID\":\"x\"}"))
	l.stop()
	rows, _ := read(t, l.shard.batches)
	if len(rows) != 3 {
		t.Fatalf("%d rows; want 3", len(rows))
	}
	for i, r := range rows {
		if r["ingest_shard"] != "shardId-000000000007" || r["ingest_seq"] != fmt.Sprintf("%056d", 0) || r["ingest_sub"] != int64(i) || r["anomaly"] != false {
			t.Errorf("row %d: %v", i, r)
		}
	}
	if rows[0]["source_anomaly"] != "mine" {
		t.Errorf("a column with a reserved name: %v", rows[0])
	}
}

func TestBatchEnds(t *testing.T) {
	line := `{"text":"` + strings.Repeat("x", 1000) + `"}`
	tests := map[string]struct {
		change func(*Config, *fakeShard)
		play   func(*lab)
		want   string
	}{
		"at the interval, without a newer record": {
			play: func(l *lab) { l.give(l.record(line)); time.Sleep(2 * time.Minute); l.give(l.record(line)) },
			want: "interval stop",
		},
		"never when nothing came": {
			play: func(l *lab) { time.Sleep(time.Hour); l.give() },
		},
		"once an hour while nothing comes": {
			play: func(l *lab) { l.give(l.record(line)); time.Sleep(150 * time.Minute) },
			want: "interval idle idle",
		},
		"at its bytes": {
			change: func(c *Config, _ *fakeShard) { c.FlushBytes = 1 << 20 },
			play: func(l *lab) {
				for range 1500 {
					l.give(l.record(line))
				}
			},
			want: "bytes stop",
		},
		"at the memory's limit": {
			change: func(c *Config, _ *fakeShard) { c.MemoryLimit = 1 << 20 },
			play: func(l *lab) {
				for range 1500 {
					l.give(l.record(line))
				}
			},
			want: "memory stop",
		},
		"at too many partitions": {
			play: func(l *lab) {
				for range consumer.MaxFiles + 1 {
					l.give(l.record(line))
					l.n += 3600
				}
				time.Sleep(sampleTime)
			},
			want: "partitions stop",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				change := test.change
				if change == nil {
					change = func(*Config, *fakeShard) {}
				}
				l := newLab(t, change)
				test.play(l)
				l.stop()
				if got := triggers(l.shard.batches); got != test.want {
					t.Errorf("batches ended by %q; want %q", got, test.want)
				}
				rows, _ := read(t, l.shard.batches)
				if len(rows) != l.counts.records {
					t.Errorf("%d rows of %d records", len(rows), l.counts.records)
				}
			})
		})
	}
}

// The first batch of a session counts the time for which its records waited for a reader; the next ones do not.
func TestTheFirstBatchIsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		old := func() consumer.Record {
			r := l.record(`{"a":1}`)
			r.Arrival = time.Now().Add(-50 * time.Second)
			return r
		}
		committed := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := l.shard.commits(); got != want {
				t.Errorf("%d batches after %v; want %d", got, after, want)
			}
		}
		l.give(old())
		committed(9*time.Second, 0)
		committed(2*time.Second, 1)
		l.give(old())
		committed(59*time.Second, 1)
		committed(2*time.Second, 2)
		l.stop()
	})
}

func TestShardEnd(t *testing.T) {
	for _, records := range []int{0, 3} {
		l := newLab(t)
		var all []consumer.Record
		for range records {
			all = append(all, l.record(`{"id":1}`))
		}
		l.shard.fetches <- consumer.Fetch{Records: all, End: true}
		if err := <-l.done; err != nil {
			t.Fatal(err)
		}
		if b := l.shard.batches; len(b) != 1 || !b[0].Finished {
			t.Errorf("after %d records and the end: %+v", records, b)
		}
	}
}

func TestAllWorkersUseOneSchema(t *testing.T) {
	documents := &documents{text: map[string]string{}}
	same := func(_ *Config, s *fakeShard) { s.documents = documents }
	first, second := newLab(t, same), newLab(t, same)
	first.give(first.record(`{"a":1,"b":"x"}`))
	first.stop()
	second.give(second.record(`{"a":"text","c":2}`))
	second.stop()
	rows, _ := read(t, second.shard.batches)
	if len(rows) != 1 || rows[0]["rescued"] != `{"a":"text","c":2}` {
		t.Errorf("the second worker wrote %v; want what does not fit the first one's schema rescued", rows)
	}
}

func TestASampleWithoutARecordSettlesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.give(l.record("nonsense"))
		time.Sleep(2 * time.Minute)
		l.give(l.record(`{"a":1}`))
		l.stop()
		rows, rejects := read(t, l.shard.batches)
		if len(rows) != 1 || rows[0]["a"] != int64(1) || len(rejects) != 1 {
			t.Errorf("rows %v, rejects %v", rows, rejects)
		}
	})
}

func TestFencedEndsTheSession(t *testing.T) {
	l := newLab(t, func(_ *Config, s *fakeShard) { s.fenced = true })
	l.give(l.record(`{"a":1}`))
	close(l.shard.stopping)
	if err := <-l.done; !errors.Is(err, consumer.ErrFenced) {
		t.Errorf("ended with %v; want ErrFenced", err)
	}
	if l.counts.buffered != 0 {
		t.Errorf("%d bytes are still counted as buffered", l.counts.buffered)
	}
}

// What the detectors learned is committed with the position, and goes on there.
func TestDetectorsGoOn(t *testing.T) {
	detect := func(c *Config, _ *fakeShard) {
		c.Detectors = []anomaly.Settings{{Name: "source", Kind: "rate", Key: []string{"ip"}, Window: 5 * time.Minute, MaxKeys: 1000, Baseline: "population"}}
	}
	play := func(l *lab, from, to int) {
		for i := from; i < to; i++ {
			l.give(l.record(fmt.Sprintf(`{"ip":"10.0.%d.%d"}`, i/200, i%200)), l.record(`{"ip":"10.9.9.9"}`))
		}
	}
	whole := newLab(t, detect)
	play(whole, 0, 1000)
	whole.stop()
	want, _ := read(t, whole.shard.batches)

	first := newLab(t, detect)
	play(first, 0, 600)
	first.stop()
	second := newLab(t, detect, func(_ *Config, s *fakeShard) {
		s.states, s.documents = [][]byte{first.shard.batches[len(first.shard.batches)-1].State}, first.shard.documents
	})
	second.n = first.n
	play(second, 600, 1000)
	second.stop()
	got, _ := read(t, append(first.shard.batches, second.shard.batches...))

	flagged := 0
	if len(got) != len(want) {
		t.Fatalf("%d rows; want %d", len(got), len(want))
	}
	for i := range want {
		if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
			t.Fatalf("row %d: %v; without the interruption %v", i, got[i], want[i])
		}
		if want[i]["anomaly"] == true {
			flagged++
		}
	}
	if flagged == 0 || second.counts.anomalies["source"] == 0 {
		t.Errorf("%d rows are flagged, %v counted", flagged, second.counts.anomalies)
	}
	if key := second.counts.abnormal["source"]; key != "ip 10.9.9.9" {
		t.Errorf("a row of the key %q is flagged", key)
	}
}

// Other thresholds are those of the next batch: the open one is judged by the old to its end.
func TestTune(t *testing.T) {
	never, soon := int64(1e9), int64(5)
	settings := anomaly.Settings{Name: "source", Kind: "rate", Key: []string{"ip"}, MinCount: &never}
	flagged := func(flushBytes int64) (before, after int) {
		l := newLab(t, func(c *Config, _ *fakeShard) {
			c.Schema = declared(t, `{"name":"ip"}`)
			c.Detectors, c.FlushBytes = []anomaly.Settings{settings}, flushBytes
		})
		play := func() {
			for i := range 100 {
				l.give(l.record(fmt.Sprintf(`{"ip":"10.0.0.%d"}`, i)), l.record(`{"ip":"10.9.9.9"}`))
			}
		}
		play() // when it returns, all but the last of these records are in a batch
		tuned := settings
		tuned.MinCount = &soon
		other := tuned
		other.Window = time.Hour
		if err := l.p.Tune([]anomaly.Settings{other}); err == nil {
			t.Error("another window is taken over")
		}
		if err := l.p.Tune([]anomaly.Settings{tuned}); err != nil {
			t.Fatal(err)
		}
		play()
		l.stop()
		rows, _ := read(t, l.shard.batches)
		if len(rows) != 400 {
			t.Fatalf("%d rows; want 400", len(rows))
		}
		for i, r := range rows {
			if r["anomaly"] == true && i < 198 {
				before++
			} else if r["anomaly"] == true {
				after++
			}
		}
		return before, after
	}
	if before, after := flagged(1); before != 0 || after < 90 { // each fetch is a batch
		t.Errorf("%d rows are flagged before, %d after; want none, and most of the one address", before, after)
	}
	if before, after := flagged(64 << 20); before+after != 0 {
		t.Errorf("%d rows of the batch that was open are flagged", before+after)
	}
}

func TestFieldsDoNotCollide(t *testing.T) {
	seen := map[string]bool{transform.RescuedColumn: true}
	for _, f := range append(ingestFields[:len(ingestFields):len(ingestFields)], anomaly.Fields()...) {
		if seen[f.Name] {
			t.Errorf("two columns are called %s", f.Name)
		}
		seen[f.Name] = true
	}
}

// Whoever keeps a table of the files hears of the columns that they have.
func TestWritten(t *testing.T) {
	var cfg Config
	l := newLab(t, func(c *Config, _ *fakeShard) { cfg = *c })
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if fields, err := p.Written(t.Context(), l.shard.Agreed); err != nil || fields != nil {
		t.Errorf("before there is a schema: %v, %v", fields, err)
	}
	l.give(l.record(`{"id":1,"Price":2.5,"ok":true,"at":"2026-03-01T12:00:00Z"}`))
	l.stop()
	body := l.shard.batches[0].Files[0].Body
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	fields, err := p.Written(t.Context(), l.shard.Agreed)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, f := range file.Schema().Fields() {
		want = append(want, f.Name())
	}
	for _, f := range fields {
		got = append(got, f.Name)
	}
	if len(got) < 5 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told are %v, and the file has %v", got, want)
	}
	beyond := func(context.Context, string) (string, error) {
		return `{"version":2,"fields":[{"name":"id","type":"of a later release"}]}`, nil
	}
	if _, err := p.Written(t.Context(), beyond); err == nil {
		t.Error("what cannot be read is no error")
	}
	if _, err := p.schema(t.Context(), l.shard, transform.NewDetector()); err != nil {
		t.Fatal(err)
	}
	if still, err := p.Written(t.Context(), beyond); err != nil || len(still) != len(fields) {
		t.Errorf("when others have more columns than can be read: %v, %v", still, err)
	}
	cfg.Output = sink.OutputRaw
	if p, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if fields, err := p.Written(t.Context(), l.shard.Agreed); err != nil || len(fields) != 1 || fields[0].Name != "line" {
		t.Errorf("of raw files: %v, %v", fields, err)
	}
}

// What is no number is no fault of the record: the row is there, and counted; what is far from the others is flagged with its reason.
func TestMetrics(t *testing.T) {
	l := newLab(t, func(c *Config, _ *fakeShard) {
		c.Detectors = []anomaly.Settings{
			{Name: "price", Kind: "value", Key: []string{"item"}, Metric: "price"},
			{Name: "sum", Kind: "rule", Expression: "total == units * price"},
		}
	})
	for i := range 200 {
		l.give(l.record(fmt.Sprintf(`{"item":"a","units":2,"price":%d.5,"total":%d}`, 10+i%3, 21+2*(i%3))))
	}
	l.give(l.record(`{"item":"a","units":2,"price":110.5,"total":221}`), l.record(`{"item":"a","units":2,"price":10.5,"total":22}`), l.record(`{"item":"a","units":2}`))
	l.stop()
	rows, _ := read(t, l.shard.batches)
	if len(rows) != 203 || l.counts.anomalies["price"] != 1 || l.counts.anomalies["sum"] != 1 || l.counts.unusable["price"] != 1 || l.counts.unusable["sum"] != 1 {
		t.Errorf("%d rows, flagged %v, unusable %v", len(rows), l.counts.anomalies, l.counts.unusable)
	}
	const want = "item a: price is 110.5; the 200 before it lay between 10.5 and 12.5, and were 11.5 on average"
	if got := fmt.Sprint(rows[200]["anomaly_reason"]); got != want {
		t.Errorf("the reason is %q; want %q", got, want)
	}
}
