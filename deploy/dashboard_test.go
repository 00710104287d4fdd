package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what these tests look at in Grafana's model of one.
type dashboard struct {
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Annotations struct{ List []struct{ Name, Expr string } }
	Panels      []struct {
		ID                       int
		Title, Description, Type string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct {
			Expr         string
			LegendFormat string
			Datasource   struct{ UID string }
		}
	}
}

var (
	// grafanaVariable is one that Grafana replaces in a query, and legendLabel one in what a line is called.
	grafanaVariable = regexp.MustCompile(`\$\{?(\w+)\}?`)
	legendLabel     = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
)

// checkDashboard tells what is wrong with a dashboard, and gives its expressions by panel, with the variables replaced.
func checkDashboard(e exported, text string) (expressions map[string]string, faults []string) {
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	var d dashboard
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, []string{err.Error()}
	}
	values := map[string]string{"__rate_interval": "5m"}
	for _, v := range d.Templating.List {
		values[v.Name] = v.Name
	}
	for _, name := range []string{"datasource", "app"} {
		if values[name] == "" {
			wrong("there is no variable %s", name)
		}
	}
	expressions = map[string]string{}
	add := func(name, expr string) {
		if !strings.Contains(expr, `job="$app"`) {
			wrong("%s: it asks for all applications: %s", name, expr)
		}
		expr = grafanaVariable.ReplaceAllStringFunc(expr, func(s string) string {
			v := values[grafanaVariable.FindStringSubmatch(s)[1]]
			if v == "" {
				wrong("%s: there is no variable %s", name, s)
			}
			return v
		})
		if names := e.unknown(expr); names != nil {
			wrong("%s: %v is not exported", name, names)
		}
		expressions[name] = expr
	}
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if p.Title == "" || p.Description == "" || ids[p.ID] {
			wrong("panel %d, %q: it has no title, no description, or the id of another", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "text" && len(p.Targets) == 0 {
			wrong("%s: it asks for nothing", p.Title)
		}
		for _, o := range d.Panels[:i] {
			a, b := p.GridPos, o.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				wrong("%s lies over %s", p.Title, o.Title)
			}
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			wrong("%s: it is wider than the page", p.Title)
		}
		for n, target := range p.Targets {
			name := fmt.Sprintf("%s, %d", p.Title, n+1)
			if target.Datasource.UID != "${datasource}" {
				wrong("%s: its data source is %q, and not the variable", name, target.Datasource.UID)
			}
			for _, l := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !e.labels[l[1]] {
					wrong("%s: nothing has the label %s", name, l[1])
				}
			}
			add(name, target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		add("annotation "+a.Name, a.Expr)
	}
	return expressions, faults
}

func TestDashboard(t *testing.T) {
	e, text := exports(t), read(t, "grafana/sluice.json")
	expressions, faults := checkDashboard(e, text)
	for _, fault := range faults {
		t.Error(fault)
	}
	if len(expressions) < 15 {
		t.Fatalf("only %d expressions are found", len(expressions))
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"a metric that nobody exports", "sluice_lag_seconds", "sluice_lag_minutes", "Lag by shard, 1: [sluice_lag_minutes] is not exported"},
		{"a label that nobody has", "by (reason)", "by (colour)", "Rejects by reason, 1: [colour] is not exported"},
		{"a legend of a label that nobody has", "{{trigger}}", "{{colour}}", "Commits by what ended the batch, 1: nothing has the label colour"},
		{"a variable that there is not", "$__rate_interval", "$interval", "there is no variable $interval"},
		{"all applications", `{job=\"$app\"}`, "", "Throughput, 1: it asks for all applications"},
		{"one over the other", `"x": 12`, `"x": 3`, "Bytes lies over Throughput"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(text, tt.old, tt.new, 1)
			if changed == text {
				t.Fatalf("%s is not found", tt.old)
			}
			_, faults := checkDashboard(e, changed)
			planted(t, faults, tt.want)
		})
	}
	parse(t, e, expressions)
}

// What the dashboard shows is what an operator was promised: nothing of it disappears unnoticed.
func TestDashboardShows(t *testing.T) {
	expressions, _ := checkDashboard(exports(t), read(t, "grafana/sluice.json"))
	all := strings.Join(slices.Collect(maps.Values(expressions)), "\n")
	for _, metric := range []string{"sluice_records_received_total", "sluice_rows_committed_total", "sluice_lag_seconds", "sluice_commits_total",
		"sluice_files_published_total", "sluice_file_size_bytes_bucket", "sluice_records_rejected_total", "sluice_anomalies_total",
		"process_resident_memory_bytes", "sluice_memory_limit_bytes", "sluice_aws_errors_total"} {
		if !strings.Contains(all, metric) {
			t.Errorf("no panel asks for %s", metric)
		}
	}
}
