package e2e

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

var costFor = flag.Duration("cost", 0, "for how long TestCost measures each rate")

// TestCost runs the service with its defaults at steady rates, and logs what is paid for: processor time, memory, and requests.
// docs/costs.md has what they cost.
func TestCost(t *testing.T) {
	if *costFor == 0 {
		t.Skip("is a measurement, not a check: docs/costs.md has its command, with -cost 4m")
	}
	for _, test := range []struct{ rate, shards int }{{100, 2}, {1000, 2}, {10_000, 12}} {
		t.Run(fmt.Sprintf("%d records a second", test.rate), func(t *testing.T) {
			cost(t, test.rate, test.shards, *costFor)
		})
	}
}

// bill is what was used until a moment.
type bill struct {
	at       time.Time
	cpu      float64 // seconds
	records  float64
	requests map[string]int // by action
}

func cost(t *testing.T, rate, shards int, duration time.Duration) {
	y := newYard(t, shards)
	requests := struct {
		sync.Mutex
		of map[string]int
	}{of: map[string]int{}}
	for _, f := range []*front{y.kinesis, y.dynamo, y.s3} {
		f.mu.Lock()
		f.seen = func(r *http.Request) {
			action := actionsOf(r)[0]
			requests.Lock()
			defer requests.Unlock()
			requests.of[action]++
		}
		f.mu.Unlock()
	}
	s := &runner{http: address(t)}
	s.Process = launch(t, process.Spec{Name: "sluice", Path: filepath.Join(binaries, "sluice"), Args: []string{"run"},
		Env: append(world.Environment(y.kinesis.URL, y.dynamo.URL, y.s3.URL), "SLUICE_STREAM="+world.Stream, "SLUICE_BUCKET="+world.Bucket, "SLUICE_HTTP_ADDR="+s.http,
			"SLUICE_ANOMALY_DETECTORS=keys", "SLUICE_ANOMALY_KEYS_KIND=rate", "SLUICE_ANOMALY_KEYS_KEY=sourceip")})
	s.ready(t)

	now := func() bill {
		requests.Lock()
		defer requests.Unlock()
		return bill{time.Now(), s.metric(t, "process_cpu_seconds_total"), s.metric(t, "sluice_records_received_total"), maps.Clone(requests.of)}
	}
	random, made := rand.New(rand.NewPCG(1, 2)), 0
	var first bill
	var memory float64
	began, asked := time.Now(), time.Time{}
	const warm = 75 * time.Second // the first batches have ended
	for due := 0; time.Since(began) < warm+duration; time.Sleep(50 * time.Millisecond) {
		for ; due < int(time.Since(began).Seconds()*float64(rate)); due += min(rate, world.BatchSize) {
			records := make([]world.Record, min(rate, world.BatchSize))
			for i := range records {
				records[i] = payment(random, made)
				made++
			}
			put(t, y.producer, records)
		}
		if time.Since(asked) > 15*time.Second { // as Prometheus does
			asked = time.Now()
			memory = max(memory, s.metric(t, "process_resident_memory_bytes"))
		}
		if first.records == 0 && time.Since(began) > warm {
			first = now()
		}
	}
	last := now()
	y.all(t, s)
	fileSize := s.metric(t, "sluice_file_size_bytes_sum") / s.metric(t, "sluice_file_size_bytes_count")
	y.finish(t, s)

	hours, records := last.at.Sub(first.at).Hours(), last.records-first.records
	t.Logf("%.0f records a second of %d bytes, %d shards: %.3f processors (%.1f s for a million records), at most %.0f MiB, files of %.2f MiB",
		records/hours/3600, len(payment(random, made).Data), shards, (last.cpu-first.cpu)/hours/3600, (last.cpu-first.cpu)/records*1e6, memory/(1<<20), fileSize/(1<<20))
	for _, action := range slices.Sorted(maps.Keys(last.requests)) {
		if n := last.requests[action] - first.requests[action]; n > 0 {
			t.Logf("%8.0f an hour of %s", float64(n)/hours, action)
		}
	}
}

// payment is a record like those of the lab's module 3.
func payment(random *rand.Rand, n int) world.Record {
	ip := fmt.Sprintf("%d.%d.%d.%d", random.IntN(224), random.IntN(256), random.IntN(256), random.IntN(256))
	return recordOf(ip, fmt.Sprintf(`{"customerId":"%d","transactionAmount":%d,"sourceIp":"%s","status":"OK","transactionTime":"2026-03-04T05:06:%02d.%03dZ","n":%d}`,
		random.IntN(1000), random.IntN(10_000), ip, n/1000%60, n%1000, n))
}
