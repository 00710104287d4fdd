//go:build unix

package status

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/kdg"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
)

const (
	manyClients = 1000
	clientsOf   = "SLUICE_TEST_CLIENTS_OF" // the address whose clients a process is
)

// TestMain is the process of the clients, too: what they cost is not to be taken for what the page costs.
func TestMain(m *testing.M) {
	if address := os.Getenv(clientsOf); address != "" {
		if err := beClients(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beClients opens as many connections as a line of standard input says, and closes all others. It answers with how many events have come
// so far, when each connection has had its first.
func beClients(address string) error {
	var open []net.Conn
	var events atomic.Int64
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var want int
		if _, err := fmt.Sscan(lines.Text(), &want); err != nil {
			return err
		}
		for ; len(open) > want; open = open[1:] {
			open[0].Close()
		}
		var first sync.WaitGroup
		for len(open) < want {
			c, err := net.Dial("tcp", address)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(c, "GET /events HTTP/1.1\r\nHost: %s\r\n\r\n", address); err != nil {
				return err
			}
			open = append(open, c)
			first.Add(1)
			go func() {
				began := sync.OnceFunc(first.Done)
				buffer := make([]byte, 16<<10)
				for {
					n, err := c.Read(buffer)
					if err != nil {
						return
					}
					if got := bytes.Count(buffer[:n], []byte("event: ")); got > 0 { // one that is cut in two does not count
						events.Add(int64(got))
						began()
					}
				}
			}()
		}
		first.Wait()
		fmt.Println(events.Load())
	}
	return nil
}

// stream is a shard whose records come as fast as they are taken, and whose commits succeed at once.
type stream struct {
	shard    string
	fetches  chan consumer.Fetch
	stopping chan struct{}
	metrics  *ops.Metrics
}

func (s *stream) Shard() string                  { return s.shard }
func (s *stream) Fetches() <-chan consumer.Fetch { return s.fetches }
func (s *stream) Stopping() <-chan struct{}      { return s.stopping }
func (s *stream) Peers() ([][]byte, bool)        { return nil, true }
func (s *stream) State(context.Context, func(error)) ([][]byte, bool, error) {
	return nil, false, nil
}
func (s *stream) Agreed(context.Context, string) (string, error) { return "", nil }
func (s *stream) Agree(_ context.Context, _, body string) (string, error) {
	return body, nil
}
func (s *stream) Amend(_ context.Context, _, _, body string) (string, error) { return body, nil }
func (s *stream) Commit(_ context.Context, b consumer.Batch) error {
	s.metrics.Committed(s.shard, b, time.Millisecond)
	return nil
}

// dataPath keeps all processors busy with records that become files, until the function that it returns is called. It counts them.
func dataPath(t testing.TB, m *ops.Metrics, records *atomic.Int64) (stop func()) {
	t.Helper()
	template, err := kdg.Parse("transaction-normal.kdg", kdg.TransactionNormal)
	if err != nil {
		t.Fatal(err)
	}
	made := kdg.NewStream([]kdg.Source{{Template: template, Rate: kdg.Rate{Mean: 1000}}}, 1, time.Now())
	all := make([]consumer.Record, 20_000)
	sample := transform.NewDetector(pipeline.Reserved()...)
	for i := range all {
		data, _, at := made.Next(nil)
		all[i] = consumer.Record{SequenceNumber: fmt.Sprintf("%056d", i), Arrival: at, Data: data, User: [][]byte{data}}
		sample.Add(data)
	}
	prefix, err := sink.ParsePrefix("data/dt=!{timestamp:yyyy-MM-dd}/")
	if err != nil {
		t.Fatal(err)
	}
	schema := sample.Schema()
	p, err := pipeline.New(pipeline.Config{Prefix: prefix, ErrorPrefix: prefix, Timezone: time.UTC, Output: sink.OutputParquet, Compression: "zstd",
		Detectors: []anomaly.Settings{{Name: "source_rate", Kind: "rate", Key: []string{"sourceip"}}},
		Schema:    &schema, FlushBytes: 1 << 20, FlushInterval: time.Minute, MemoryLimit: 1 << 30, Metrics: m, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for shard := range runtime.GOMAXPROCS(0) {
		s := &stream{shard: fmt.Sprintf("shardId-%012d", shard), fetches: make(chan consumer.Fetch), stopping: make(chan struct{}), metrics: m}
		running.Go(func() { _ = p.Process(ctx, s) }) // it ends with the context
		running.Go(func() {
			for {
				for fetch := range slices.Chunk(all, 500) {
					select {
					case s.fetches <- consumer.Fetch{Records: fetch}:
						records.Add(int64(len(fetch)))
					case <-ctx.Done():
						return
					}
				}
			}
		})
	}
	return func() { cancel(); running.Wait() }
}

// full is a page whose charts and tables are full, with a server and the process of its clients. Nobody but its test lets it look.
func full(t testing.TB) (page *Page, m *ops.Metrics, have func(clients int) (events int64)) {
	t.Helper()
	m, h := newMetrics()
	m.ShowKeys()
	owners := map[string]string{}
	for i := range maxShards {
		owners[fmt.Sprintf("shardId-%012d", i)] = "worker-a"
	}
	m.Owners(owners)
	page = newPage(testConfig(), m, h, time.Now())
	close(page.done)
	for range kept {
		page.look(time.Now())
	}
	server, err := ops.NewServer("127.0.0.1:0", m, h, page, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return page, m, startClients(t, server.Addr())
}

// deliver lets the page look once, and waits until all its clients have been told.
func deliver(t testing.TB, page *Page, have func(int) int64) {
	t.Helper()
	before := have(manyClients)
	page.look(time.Now())
	for deadline := time.Now().Add(time.Minute); have(manyClients)-before < manyClients; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d clients were told", have(manyClients)-before, manyClients)
		}
	}
}

// A thousand open pages are all told of each second. What that takes of a processor's time is logged; BenchmarkAThousandClients measures it
// beside a data path at full speed.
func TestAThousandClients(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand connections take more than half a minute under the race detector")
	}
	page, _, have := full(t)
	used := ops.CPUTime()
	have(manyClients)
	t.Logf("%d clients came: %v of a processor", manyClients, ops.CPUTime()-used)
	var costs []time.Duration
	for range 15 {
		used := ops.CPUTime()
		deliver(t, page, have)
		costs = append(costs, ops.CPUTime()-used)
	}
	slices.Sort(costs)
	t.Logf("a second of the page with %d clients: %v of a processor", manyClients, costs[len(costs)/2])
}

// BenchmarkAThousandClients is how much more of the processors' time a record costs with a thousand open pages, while the data path has all
// processors: the median over pairs. Others have the machine, too, so the page's second is told by the same clock: a tick for
// as many records as take a second of all processors.
func BenchmarkAThousandClients(b *testing.B) {
	page, m, have := full(b)
	var records atomic.Int64
	stop := dataPath(b, m, &records)
	defer stop()
	// cost is the processors' time, in ns, for each of n records, during which there is a tick.
	cost := func(n int64) float64 {
		runtime.GC() // what was there before is not this window's
		from, used := records.Load(), ops.CPUTime()
		page.look(time.Now())
		for records.Load()-from < n {
			time.Sleep(time.Millisecond)
		}
		return float64(ops.CPUTime()-used) / float64(records.Load()-from)
	}
	second := int64(float64(runtime.GOMAXPROCS(0)) * float64(time.Second) / cost(400_000))
	var ratios []float64
	for b.Loop() {
		without := cost(second)
		have(manyClients)
		ratios = append(ratios, cost(second)/without)
		have(0)
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

// startClients starts the process of the clients. The function that it returns makes them as many, and tells how many events have come so far.
func startClients(t testing.TB, address string) (have func(clients int) (events int64)) {
	t.Helper()
	clients := exec.Command(os.Args[0])
	clients.Env = append(os.Environ(), clientsOf+"="+address)
	clients.Stderr = os.Stderr
	in, err := clients.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := clients.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := clients.Wait(); err != nil {
			t.Error(err)
		}
	})
	answers := bufio.NewReader(out)
	return func(n int) (events int64) {
		t.Helper()
		if _, err := fmt.Fprintln(in, n); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fscan(answers, &events); err != nil {
			t.Fatal(err)
		}
		return events
	}
}
