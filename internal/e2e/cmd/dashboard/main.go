// Command dashboard draws the panels of the Grafana dashboard, with what a Prometheus has of one application, as a page of
// HTML without scripts. So the picture in docs is of the queries that the dashboard asks, and needs no Grafana:
//
//	go run ./cmd/sluice-local --duration 0 --http 127.0.0.1:9464         # scraped by a Prometheus for some minutes
//	cd internal/e2e && GOWORK=off go run ./cmd/dashboard --prometheus http://127.0.0.1:9090 --app JOB --last 15m --out /tmp/page.html
//	chromium-headless-shell --hide-scrollbars --screenshot=docs/images/dashboard.png --window-size=1400,2200 file:///tmp/page.html
//
// It draws lines and tables, and nothing else that Grafana can: it is for pictures, not for watching.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	o := options{}
	flag.StringVar(&o.prometheus, "prometheus", "http://127.0.0.1:9090", "`address` of Prometheus")
	flag.StringVar(&o.app, "app", "", "the application, which is a `job`")
	flag.StringVar(&o.dashboard, "dashboard", "../../deploy/grafana/sluice.json", "`file` of the dashboard")
	flag.DurationVar(&o.last, "last", 15*time.Minute, "time until now that is shown")
	out := flag.String("out", "dashboard.html", "`file` of the page")
	flag.Parse()
	page, err := draw(o, time.Now())
	if err == nil {
		err = os.WriteFile(*out, []byte(page), 0o644)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "dashboard: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	prometheus, app, dashboard string
	last                       time.Duration
}

// panel is as Grafana's model has it.
type panel struct {
	Title, Description, Type string
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Options                  struct{ Content string }
	Targets                  []struct {
		Expr, LegendFormat string
		Exemplar           bool
	}

	Lines   []line
	Ticks   []tick
	Times   []tick
	Keys    []string // of exemplars, most first
	Width   float64
	Nothing bool
}

// line is a series: its points in the picture, and what it is called.
type line struct {
	Name, Points, Color, Last string

	values []point
}

type point struct{ at, value float64 }

// tick is a mark on an axis, at a place in the picture.
type tick struct {
	At   float64
	Text string
}

// The picture of a panel: its size, and the room for the marks at the left and below.
const (
	column, height     = 55.0, 160.0 // the width is for each of 24 columns
	left, above, below = 64.0, 8.0, 20.0
	steps              = 240 // points in a line
)

var colors = []string{"#1f60c4", "#e0752d", "#37872d", "#c4162a", "#8f3bb8", "#b08800", "#0a8ea0", "#7a5c3d"}

func draw(o options, now time.Time) (string, error) {
	text, err := os.ReadFile(o.dashboard)
	if err != nil {
		return "", err
	}
	var d struct {
		Title  string
		Panels []*panel
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return "", fmt.Errorf("%s: %w", o.dashboard, err)
	}
	for _, p := range d.Panels {
		if err := o.fill(p, now); err != nil {
			return "", fmt.Errorf("%s: %w", p.Title, err)
		}
	}
	var page strings.Builder
	err = pageTemplate.Execute(&page, map[string]any{"Title": d.Title, "App": o.app, "Panels": d.Panels,
		"From": now.Add(-o.last).UTC().Format("15:04"), "To": now.UTC().Format("15:04")})
	return page.String(), err
}

// fill asks for what a panel shows, and places it.
func (o options) fill(p *panel, now time.Time) error {
	begin, width := now.Add(-o.last), column*float64(p.GridPos.W)
	p.Width = width
	top := 0.0
	for _, target := range p.Targets {
		lines, err := o.ask(o.replace(target.Expr), target.LegendFormat, begin, now)
		if err != nil {
			return err
		}
		p.Lines = append(p.Lines, lines...)
		if target.Exemplar {
			if p.Keys, err = o.exemplars(o.replace(target.Expr), begin, now); err != nil {
				return err
			}
		}
		for _, l := range lines {
			for _, v := range l.values {
				if !math.IsNaN(v.value) && !math.IsInf(v.value, 0) {
					top = max(top, v.value)
				}
			}
		}
	}
	p.Nothing = len(p.Lines) == 0
	step := nice(top/4, p.FieldConfig.Defaults.Unit)
	high := max(step*math.Ceil(top/step), step)
	y := func(v float64) float64 { return above + (height-above-below)*(1-v/high) }
	for v := 0.0; v <= high+step/2; v += step {
		p.Ticks = append(p.Ticks, tick{y(v), show(v, p.FieldConfig.Defaults.Unit)})
	}
	x := func(at float64) float64 {
		return left + (width-left)*(at-float64(begin.UnixMilli())/1000)/o.last.Seconds()
	}
	for i := range 5 {
		at := begin.Add(o.last * time.Duration(i) / 5)
		p.Times = append(p.Times, tick{x(float64(at.UnixMilli()) / 1000), at.UTC().Format("15:04")})
	}
	for i := range p.Lines {
		l := &p.Lines[i]
		l.Color = colors[i%len(colors)]
		var path strings.Builder
		move := true // where a value is missing the line is broken
		for _, v := range l.values {
			if math.IsNaN(v.value) || math.IsInf(v.value, 0) {
				move = true
				continue
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[move], x(v.at), y(v.value))
			move = false
			l.Last = show(v.value, p.FieldConfig.Defaults.Unit)
		}
		l.Points = path.String()
	}
	return nil
}

// replace gives a query the variables that Grafana does.
func (o options) replace(expr string) string {
	return strings.NewReplacer("$app", o.app, "$__rate_interval", "1m").Replace(expr)
}

// shownKeys is how many keys of exemplars are listed.
const shownKeys = 3

// exemplars lists the keys of a query's exemplars, those with the most first.
func (o options) exemplars(query string, begin, end time.Time) (keys []string, err error) {
	var series []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	err = o.get("query_exemplars", url.Values{"query": {query}, "start": {strconv.FormatInt(begin.Unix(), 10)}, "end": {strconv.FormatInt(end.Unix(), 10)}}, &series)
	counts := map[string]int{}
	for _, s := range series {
		for _, e := range s.Exemplars {
			counts[e.Labels["key"]]++
		}
	}
	most := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b)) })
	for _, key := range most[:min(len(most), shownKeys)] {
		keys = append(keys, fmt.Sprintf("%s (%d)", key, counts[key]))
	}
	return keys, err
}

// get asks Prometheus, and reads the data of its answer.
func (o options) get(what string, values url.Values, data any) error {
	answer, err := http.Get(o.prometheus + "/api/v1/" + what + "?" + values.Encode())
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var body struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return fmt.Errorf("%s: %w", values.Get("query"), err)
	}
	if body.Status != "success" {
		return fmt.Errorf("%s: %s", values.Get("query"), body.Error)
	}
	return json.Unmarshal(body.Data, data)
}

var legendLabel = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// ask gives the series of a query, called by the legend.
func (o options) ask(query, legend string, begin, end time.Time) ([]line, error) {
	values := url.Values{"query": {query}, "start": {strconv.FormatInt(begin.Unix(), 10)}, "end": {strconv.FormatInt(end.Unix(), 10)},
		"step": {strconv.FormatFloat(o.last.Seconds()/steps, 'f', 3, 64)}}
	var data struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any
		}
	}
	if err := o.get("query_range", values, &data); err != nil {
		return nil, err
	}
	var lines []line
	for _, r := range data.Result {
		l := line{Name: legendLabel.ReplaceAllStringFunc(legend, func(s string) string { return r.Metric[legendLabel.FindStringSubmatch(s)[1]] })}
		before := 0.0
		for _, pair := range r.Values {
			at, _ := pair[0].(float64)
			text, _ := pair[1].(string)
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", query, err)
			}
			if before > 0 && at-before > 1.5*o.last.Seconds()/steps {
				l.values = append(l.values, point{at, math.NaN()})
			}
			l.values, before = append(l.values, point{at, v}), at
		}
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.Name, b.Name) })
	return lines, nil
}

// nice is the smallest step of an axis that is at least as large, and a number that people count by.
func nice(least float64, unit string) float64 {
	if least <= 0 {
		return 1
	}
	if unit == "bytes" || unit == "Bps" {
		return math.Exp2(math.Ceil(math.Log2(least)))
	}
	ten := math.Pow(10, math.Floor(math.Log10(least)))
	for _, n := range []float64{1, 2, 5} {
		if n*ten >= least {
			return n * ten
		}
	}
	return 10 * ten
}

// show writes a value with its unit, in three digits.
func show(v float64, unit string) string {
	digits := func(v float64) string {
		if v >= 1000 {
			return strconv.FormatFloat(v, 'f', 0, 64)
		}
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	switch unit {
	case "bytes", "Bps":
		suffix := map[string]string{"bytes": "", "Bps": "/s"}[unit]
		n := 0
		for ; v >= 1024 && n < 4; n++ {
			v /= 1024
		}
		return digits(v) + []string{" B", " KiB", " MiB", " GiB", " TiB"}[n] + suffix
	case "s":
		switch {
		case v > 0 && v < 1:
			return digits(v*1000) + " ms"
		case v >= 120:
			return digits(v/60) + " min"
		}
		return digits(v) + " s"
	case "percentunit":
		return digits(v*100) + "%"
	case "reqps":
		return digits(v) + "/s"
	}
	return digits(v)
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func(p *panel) template.CSS {
		g := p.GridPos
		return template.CSS(fmt.Sprintf("grid-column: %d / span %d; grid-row: %d / span %d", g.X+1, g.W, g.Y+1, g.H))
	},
	"sizes": func() map[string]float64 {
		return map[string]float64{"height": height, "left": left, "label": left - 6, "foot": height - 5}
	},
}).Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{.Title}}</title>
<style>
body { font: 13px system-ui, sans-serif; margin: 12px; background: #f4f5f5; color: #1d1f21 }
main { display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: 21px; gap: 7px }
section { background: #fff; border: 1px solid #d8d9da; border-radius: 3px; padding: 6px 10px; overflow: hidden; display: flex; flex-direction: column }
h1 { font-size: 17px; margin: 4px 0 10px } h2 { font-size: 13px; margin: 0 0 2px }
svg { width: 100%; flex: 1; min-height: 0 } svg text { font-size: 11px; fill: #565a5e }
footer { font-size: 11px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis } footer span { margin-right: 12px }
pre { margin: 4px 0; white-space: pre-wrap }
</style>
<h1>{{.Title}} &ndash; {{.App}}, {{.From}} to {{.To}} UTC</h1>
<main>
{{$s := sizes}}{{range .Panels}}<section style="{{style .}}"><h2>{{.Title}}</h2>
{{if eq .Type "text"}}<pre>{{.Options.Content}}</pre>
{{else if eq .Type "table"}}{{range .Lines}}<div>{{.Name}}</div>{{else}}<div>none</div>{{end}}
{{else}}{{$width := .Width}}<svg viewBox="0 0 {{.Width}} {{$s.height}}">
{{range .Ticks}}<line x1="{{$s.left}}" x2="{{$width}}" y1="{{.At}}" y2="{{.At}}" stroke="#e6e7e8"/><text x="{{$s.label}}" y="{{.At}}" dy="4" text-anchor="end">{{.Text}}</text>
{{end}}{{range .Times}}<text x="{{.At}}" y="{{$s.foot}}">{{.Text}}</text>
{{end}}{{range .Lines}}<path d="{{.Points}}" fill="none" stroke="{{.Color}}" stroke-width="1.5"/>
{{end}}</svg>
<footer>{{if .Nothing}}nothing{{end}}{{range .Lines}}<span><b style="color:{{.Color}}">&#9632;</b> {{.Name}} {{.Last}}</span>{{end}}{{range $i, $key := .Keys}}{{if eq $i 0}}<span>exemplars:</span>{{end}}<span>{{$key}}</span>{{end}}</footer>
{{end}}</section>
{{end}}</main>
</html>
`))
