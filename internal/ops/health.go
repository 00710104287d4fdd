package ops

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Health knows whether the process lives and whether it is ready. It is safe for concurrent use.
//
// Not ready means that something is being tried again, and that data may be late; restarting does not help then, so
// that it does not touch liveness.
type Health struct {
	now  func() time.Time
	made time.Time

	mu       sync.Mutex
	started  bool
	stopping time.Time // since when, or zero
	dead     string    // why, or empty
	waiting  map[string]Condition
}

// Condition is something that keeps the process from being ready.
type Condition struct {
	What   string    `json:"what"` // a shard, or worker for all of the process
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"` // also where the reason has changed in between
}

// NewHealth is that of a process that lives, and is not ready until Ready is called for the first time.
func NewHealth() *Health { return newHealth(time.Now) }

func newHealth(now func() time.Time) *Health {
	return &Health{now: now, made: now().UTC(), waiting: map[string]Condition{}}
}

// NotReady tells that something failed and is tried again.
func (h *Health) NotReady(what, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since := h.now().UTC()
	if c, ok := h.waiting[what]; ok {
		since = c.Since
	}
	h.waiting[what] = Condition{what, reason, since}
}

// Ready tells that something succeeded. With the first one the process has started.
func (h *Health) Ready(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started = true
	delete(h.waiting, what)
}

// Forget tells that something, such as a shard, is no longer ours, and neither is anything of it: what is named after it
// and a colon.
func (h *Health) Forget(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.waiting, func(name string, _ Condition) bool { return name == what || strings.HasPrefix(name, what+":") })
}

// failing tells for how long each shard, or worker for all of the process, has been waiting; for the longest where several
// operations of it fail.
func (h *Health) failing() map[string]time.Duration {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	longest := map[string]time.Duration{}
	for what, c := range h.waiting {
		shard, _, _ := strings.Cut(what, ":")
		longest[shard] = max(longest[shard], now.Sub(c.Since))
	}
	return longest
}

// Stopping tells that the process is on its way out: from now on it is not ready.
func (h *Health) Stopping() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopping.IsZero() {
		h.stopping = h.now().UTC()
	}
}

// Dead tells that the process goes on no more, and that only a restart helps.
func (h *Health) Dead(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead = cmp.Or(reason, "dead")
}

// Waiting lists what keeps the process from being ready: its own start or end, then the others by name. It is ready
// when there is nothing.
func (h *Health) Waiting() []Condition {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []Condition{}
	switch {
	case !h.stopping.IsZero():
		out = append(out, Condition{"stop", "the service is stopping", h.stopping})
	case !h.started:
		out = append(out, Condition{"start", "the service is starting", h.made})
	}
	for _, what := range slices.Sorted(maps.Keys(h.waiting)) {
		out = append(out, h.waiting[what])
	}
	return out
}

// serveLive answers whether the process lives.
func (h *Health) serveLive(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	dead := h.dead
	h.mu.Unlock()
	if dead != "" {
		http.Error(w, dead, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// serveReady answers whether the process is ready, and what it waits for.
func (h *Health) serveReady(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Ready    bool        `json:"ready"`
		NotReady []Condition `json:"not_ready"`
	}{NotReady: h.Waiting()}
	answer.Ready = len(answer.NotReady) == 0
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(answer) // the peer may be gone
}
