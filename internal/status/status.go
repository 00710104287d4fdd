// Package status serves the status page: one page with its script and its style, and the stream of events that keeps it
// up to date. It asks no other host for anything, changes nothing, and has no authentication: as metrics and health
// are, it is for a private network.
//
// One goroutine looks at the counters once a second and encodes what it finds once, for all clients; what a client costs is
// a write of these bytes. The data path does nothing for the page but to count, and to tell of a batch's last
// abnormal rows when it is committed.
package status

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-etl/sluice/internal/ops"
)

// The bounds of what one client can cost, and of how many there are.
const (
	maxClients   = 1024
	maxShards    = 100             // that are listed: those held here first, then by name
	writeTimeout = 5 * time.Second // a client that does not read for so long is dropped
)

// Setting is one of the effective configuration.
type Setting struct {
	Name   string `json:"name"` // in the environment
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Detector is one that is configured.
type Detector struct {
	Name      string  `json:"name"`
	Kind      string  `json:"kind"`
	Key       string  `json:"key"`    // columns, separated by commas; empty: one key for all rows
	Metric    string  `json:"metric"` // or expression
	Threshold Setting `json:"threshold"`
	MinCount  Setting `json:"min_count"`
}

// Config is what the page shows beside what is measured. It is not changed afterwards.
type Config struct {
	Build     ops.Build
	Worker    string // this process's name among the owners
	Stream    string
	Detectors []Detector
	Settings  []Setting
	KeysShown bool
}

// Page is the status page. It is safe for concurrent use.
type Page struct {
	metrics *ops.Metrics
	health  *ops.Health
	began   time.Time

	quit, done chan struct{}
	end        sync.Once

	mu       sync.Mutex
	cfg      Config
	history  history
	state    []byte // the newest, as JSON
	latest   *event // the newest; its next is not there yet
	snapshot []byte // all, up to latest, as it is sent; nil: nobody has asked for it
	clients  int
	told     uint64 // number of the newest abnormal row that an event told of
}

// event is one tick, as all clients get it, or all that there is where the configuration has changed. They follow the chain
// of events each at their own pace.
type event struct {
	text []byte        // as it is sent
	over chan struct{} // closed when there is a next
	next *event        // set before over is closed
}

// New makes the page, which looks at the counters until it is closed.
func New(cfg Config, m *ops.Metrics, h *ops.Health) *Page {
	p := newPage(cfg, m, h, time.Now())
	go p.run()
	return p
}

func (p *Page) run() {
	defer close(p.done)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-p.quit:
			return
		case now := <-ticker.C:
			p.look(now)
		}
	}
}

// newPage makes a page that has looked once.
func newPage(cfg Config, m *ops.Metrics, h *ops.Health, now time.Time) *Page {
	p := &Page{cfg: cfg, metrics: m, health: h, began: now, quit: make(chan struct{}), done: make(chan struct{}),
		latest: &event{over: make(chan struct{})}}
	p.look(now)
	return p
}

// Close ends the streams of events, and the goroutine.
func (p *Page) Close() {
	p.end.Do(func() { close(p.quit) })
	<-p.done
}

// shard is what is known of one that is not finished.
type shard struct {
	Shard     string   `json:"shard"`
	Owner     string   `json:"owner"` // empty: nobody, or not known yet
	Here      bool     `json:"here"`  // this process holds it
	Lag       *float64 `json:"lag"`   // seconds; nil: not known here
	Committed int64    `json:"committed,omitempty"`
}

// state is one tick. Times are in milliseconds since 1970; numbers count from the start of the process.
type state struct {
	Now       int64             `json:"now"`
	Up        int64             `json:"up"` // seconds
	Received  uint64            `json:"received"`
	Bytes     uint64            `json:"bytes"`
	Rows      uint64            `json:"rows"`
	Rejected  uint64            `json:"rejected"`
	Flags     uint64            `json:"flags"`
	Commits   uint64            `json:"commits"`
	Buffered  int64             `json:"buffered"` // bytes
	Waiting   []ops.Condition   `json:"waiting"`
	Shards    []shard           `json:"shards"` // at most maxShards
	AllShards int               `json:"all_shards"`
	Flagged   map[string]uint64 `json:"flagged"` // by detector, during the time of the charts
	Keys      map[string]int    `json:"keys"`    // by detector
	Point     point             `json:"point"`
	Abnormal  []ops.Abnormal    `json:"abnormal"` // since the tick before
}

// look takes a sample and tells it to all clients.
func (p *Page) look(now time.Time) {
	s := p.metrics.Status()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.history.add(now, s)
	st := state{
		Now: now.UnixMilli(), Up: int64(now.Sub(p.began) / time.Second),
		Received: s.Received, Bytes: s.ReceivedBytes, Rows: s.Rows, Rejected: s.Rejected, Flags: s.Anomalies, Commits: s.Commits,
		Buffered: s.Buffered, Waiting: p.health.Waiting(), Flagged: map[string]uint64{}, Keys: s.Keys, Point: p.history.newest(),
	}
	st.Shards = p.shards(s)
	st.AllShards = len(st.Shards)
	st.Shards = st.Shards[:min(maxShards, len(st.Shards))]
	for _, d := range p.cfg.Detectors {
		st.Flagged[d.Name] = p.history.flagged(d.Name)
	}
	st.Abnormal = p.metrics.AbnormalSince(p.told)
	if n := len(st.Abnormal); n > 0 {
		p.told = st.Abnormal[n-1].Number
	}
	p.state = encode(st)
	p.tell("tick", p.state)
}

// tell adds an event to the chain. p.mu is held.
func (p *Page) tell(name string, body []byte) {
	next := &event{text: frame(name, body), over: make(chan struct{})}
	p.latest.next = next
	close(p.latest.over)
	p.latest, p.snapshot = next, nil
}

// frame makes an event as it is sent, once for all clients.
func frame(name string, body []byte) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, body)
}

// Configure shows another configuration from now on.
func (p *Page) Configure(cfg Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg = cfg
	p.tell("all", p.all())
}

// shards lists those that are not finished: those held here first, then by name.
func (p *Page) shards(s ops.Status) []shard {
	all := make(map[string]shard, len(s.Owners))
	for id, owner := range s.Owners {
		all[id] = shard{Shard: id, Owner: owner}
	}
	for _, sh := range s.Shards {
		one := shard{Shard: sh.Shard, Owner: p.cfg.Worker, Here: true}
		if sh.Read {
			lag := sh.Lag.Seconds()
			one.Lag = &lag
		}
		if !sh.Committed.IsZero() {
			one.Committed = sh.Committed.UnixMilli()
		}
		all[sh.Shard] = one
	}
	list := slices.AppendSeq([]shard{}, maps.Values(all)) // not null in JSON
	slices.SortFunc(list, func(a, b shard) int {
		if a.Here != b.Here {
			if a.Here {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Shard, b.Shard)
	})
	return list
}

// encode makes JSON of what always can be: numbers are finite, and texts are made valid.
func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode the status: %v", err))
	}
	return body
}

// join gives a new client all that there is, and the event after which it goes on. It is not ok where there are too many.
func (p *Page) join() (all []byte, from *event, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients >= maxClients {
		return nil, nil, false
	}
	p.clients++
	if p.snapshot == nil {
		p.snapshot = frame("all", p.all())
	}
	return p.snapshot, p.latest, true
}

// all is what a client needs to show the page, up to the last tick. p.mu is held.
func (p *Page) all() []byte {
	return encode(map[string]any{
		"version": p.cfg.Build.Version, "commit": p.cfg.Build.Commit, "go": p.cfg.Build.Go,
		"worker": p.cfg.Worker, "stream": p.cfg.Stream, "keys_shown": p.cfg.KeysShown,
		"detectors": p.cfg.Detectors, "settings": p.cfg.Settings,
		"points": p.history.points(), "abnormal": p.metrics.AbnormalSince(0), "abnormal_kept": ops.LastAbnormal,
		"state": json.RawMessage(p.state),
	})
}

func (p *Page) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients--
}
