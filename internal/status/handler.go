package status

import (
	"embed"
	"net/http"
	"path"
	"time"

	"github.com/sluice-etl/sluice/internal/uplot"
)

//go:embed assets
var assets embed.FS

// policy lets the page load from its own address alone, and run nothing that stands in the page itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// file is one that the page consists of.
type file struct {
	kind string
	body []byte
}

func files() map[string]file {
	own := func(name string) []byte {
		body, err := assets.ReadFile(path.Join("assets", name))
		if err != nil {
			panic(err) // it is embedded above
		}
		return body
	}
	return map[string]file{
		"/":                   {"text/html; charset=utf-8", own("status.html")},
		"/assets/status.css":  {"text/css; charset=utf-8", own("status.css")},
		"/assets/status.js":   {"text/javascript; charset=utf-8", own("status.js")},
		"/assets/icon.svg":    {"image/svg+xml", own("icon.svg")},
		"/assets/uplot.css":   {"text/css; charset=utf-8", uplot.Style},
		"/assets/uplot.js":    {"text/javascript; charset=utf-8", uplot.Script},
		"/assets/LICENSE.txt": {"text/plain; charset=utf-8", []byte(uplot.License)},
	}
}

var served = files()

// ServeHTTP serves the page at /, what it consists of, and its events at /events.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.URL.Path == "/events" {
		p.serveEvents(w, r)
		return
	}
	f, ok := served[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h.Set("Content-Type", f.kind)
	_, _ = w.Write(f.body) // the peer may be gone
}

// serveEvents tells a client all that there is (the event "all"), and again when the configuration changes, and what every tick brings (the event "tick"), until
// it is gone, or does not read, or the page is closed. A client that connects again gets all again.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	all, at, ok := p.join()
	if !ok {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "there are too many clients already; close some pages", http.StatusServiceUnavailable)
		return
	}
	defer p.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy is not to wait for more
	control := http.NewResponseController(w)
	// The server's own limits are for answers that end. A recorder in a test has none.
	_ = control.SetReadDeadline(time.Time{})
	send := func(event []byte) error {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.Write(event); err != nil {
			return err
		}
		return control.Flush()
	}
	if send(all) != nil {
		return
	}
	for {
		select {
		case <-at.over:
			at = at.next
			if send(at.text) != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-p.quit:
			return
		}
	}
}
