// Package deploy holds what watches the service, its rules and dashboard, against the metrics that the service exports and
// the runbook that the alerts link to.
package deploy

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-etl/sluice/internal/ops"
)

const runbookURL = "https://github.com/sluice-etl/sluice/blob/main/docs/runbook.md#"

// rule is one of Prometheus', for recording or for an alert.
type rule struct {
	Record, Alert, Expr string
	For                 string
	Labels, Annotations map[string]string
}

// ruleFile and testFile are as promtool reads them, which is stricter than this.
type ruleFile struct{ Groups []struct{ Rules []rule } }

type testFile struct {
	Tests []struct {
		Name  string
		Rules []struct {
			At     string `yaml:"eval_time"`
			Alert  string `yaml:"alertname"`
			Expect []any  `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

// exported are the names of the series that a scrape of the service can have, and of their labels. Those of histograms are
// with their suffixes; without one they are native, which a Prometheus has or has not.
type exported struct{ series, labels, native map[string]bool }

// description is the only form in which the library shows what a metric is called.
var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)".* variableLabels: \{([^}]*)\}\}$`)

func exports(t *testing.T) exported {
	t.Helper()
	m := ops.NewMetrics(ops.Build{}, ops.NewHealth())
	families, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	histograms := map[string]bool{}
	for _, f := range families {
		histograms[f.GetName()] = f.GetType() == dto.MetricType_HISTOGRAM
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		m.Gatherer.(*prometheus.Registry).Describe(descs)
		close(descs)
	}()
	// Beside them there are Prometheus' own, and le, which is that of buckets.
	e := exported{series: map[string]bool{"up": true, "ALERTS": true},
		labels: map[string]bool{"job": true, "instance": true, "le": true, "alertname": true, "alertstate": true}, native: map[string]bool{}}
	for d := range descs {
		parts := description.FindStringSubmatch(d.String())
		if parts == nil {
			t.Fatalf("the library describes metrics in another form: %s", d)
		}
		if name := parts[1]; histograms[name] {
			e.native[name] = true
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				e.series[name+suffix] = true
			}
		} else {
			e.series[name] = true
		}
		for label := range strings.SplitSeq(parts[2], ",") {
			e.labels[label] = true
		}
	}
	return e
}

var (
	quoted   = regexp.MustCompile(`"[^"]*"`)
	selector = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	word     = regexp.MustCompile(`\b[a-zA-Z_:][\w:]*\b(\s*\()?`)
	keywords = []string{"and", "or", "unless", "bool", "offset", "group_left", "group_right"}
)

// unknown lists the names of an expression that are no series and no labels. The expression is one that promtool takes. One that
// asks for a native histogram has to ask for the classic one, too.
func (e exported) unknown(expr string) (names []string) {
	expr = quoted.ReplaceAllString(expr, "")
	label := func(name string) {
		if name = strings.TrimSpace(name); name != "" && !e.labels[name] {
			names = append(names, name)
		}
	}
	for _, s := range selector.FindAllString(expr, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s, -1) {
			label(m[1])
		}
	}
	expr = selector.ReplaceAllString(expr, "")
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(g[1], ",") {
			label(name)
		}
	}
	for _, w := range word.FindAllString(grouping.ReplaceAllString(expr, ""), -1) {
		if !strings.HasSuffix(w, "(") && !slices.Contains(keywords, w) && !e.series[w] && !(e.native[w] && strings.Contains(expr, w+"_")) {
			names = append(names, w)
		}
	}
	return names
}

var heading = regexp.MustCompile(`(?m)^## (\S+)$`)

// check tells what is wrong with the rules, their tests and the runbook, each given as text.
func check(e exported, rules, tests, runbook string) (faults []string) {
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	var file ruleFile
	var script testFile
	if err := yaml.Unmarshal([]byte(rules), &file); err != nil {
		wrong("the rules: %v", err)
	}
	if err := yaml.Unmarshal([]byte(tests), &script); err != nil {
		wrong("the tests of the rules: %v", err)
	}
	headings := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(runbook, -1) {
		headings[h[1]] = true
	}
	e.series = maps.Clone(e.series)
	alerts := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if names := e.unknown(r.Expr); names != nil {
				wrong("%s%s: %v is neither exported nor recorded before", r.Alert, r.Record, names)
			}
			if r.Alert == "" {
				e.series[r.Record] = true
				continue
			}
			alerts++
			if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
				wrong("%s: its severity is %q", r.Alert, severity)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				wrong("%s: it has no summary, or no description", r.Alert)
			}
			if want := runbookURL + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
				wrong("%s: its runbook_url is not %s", r.Alert, want)
			}
			if !headings[r.Alert] {
				wrong("%s: the runbook has no heading for it", r.Alert)
			}
			delete(headings, r.Alert)

			// Each of its tests, in order: quiet, firing, quiet again.
			tested := false
			for _, test := range script.Tests {
				states := ""
				for _, step := range test.Rules {
					if step.Alert == r.Alert {
						states += map[bool]string{false: "q", true: "f"}[len(step.Expect) > 0]
					}
				}
				tested = tested || states != ""
				if states != "" && !regexp.MustCompile(`^q+f+q+$`).MatchString(states) {
					wrong("%s: the test %q does not show that it is quiet, fires, and ends", r.Alert, test.Name)
				}
			}
			if !tested {
				wrong("%s: no test of the rules shows it", r.Alert)
			}
		}
	}
	if alerts == 0 {
		wrong("no alert is found")
	}
	for name := range headings {
		wrong("the runbook has a heading %s, and there is no such alert", name)
	}
	return faults
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRulesAndRunbook(t *testing.T) {
	e := exports(t)
	rules, tests, runbook := read(t, "prometheus/sluice.rules.yaml"), read(t, "prometheus/sluice.test.yaml"), read(t, "../docs/runbook.md")
	for _, fault := range check(e, rules, tests, runbook) {
		t.Error(fault)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"a metric that nobody exports", "(sluice_failing_seconds)", "(sluice_failing_second)", "SluiceShardHalted: [sluice_failing_second] is neither"},
		{"a native histogram, and not the classic one", "(sluice_failing_seconds)", "(sluice_file_size_bytes)", "SluiceShardHalted: [sluice_file_size_bytes] is neither"},
		{"a recording rule that there is not", "job:sluice_records_received:rate5m == 0", "job:sluice_records_received:rate1m == 0", "SluiceNothingReceived: [job:sluice_records_received:rate1m] is neither"},
		{"a label that nobody has", "max by (job, shard) (sluice_failing", "max by (job, shards) (sluice_failing", "SluiceShardHalted: [shards] is neither"},
		{"a matcher of a label that nobody has", `total{class=~`, `total{kind=~`, "SluiceAWSRefuses: [kind] is neither"},
		{"an alert that is called otherwise", "alert: SluiceRejects", "alert: SluiceReject", "SluiceReject: the runbook has no heading"},
		{"an alert without a summary", `summary: "{{ $labels.job }}: no record comes"`, "", "SluiceNothingReceived: it has no summary"},
		{"another heading of the runbook", "#sluicelaghigh", "#sluicelaggrowing", "SluiceLagHigh: its runbook_url is not"},
		{"an alert of no severity", "severity: critical", "severity: high", `SluiceDown: its severity is "high"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			planted(t, check(e, strings.Replace(rules, tt.old, tt.new, 1), tests, runbook), tt.want)
		})
	}
	t.Run("a heading too many", func(t *testing.T) {
		planted(t, check(e, rules, tests, runbook+"\n## SluiceBored\n"), "heading SluiceBored, and there is no such alert")
	})
	t.Run("an alert whose end is not shown", func(t *testing.T) {
		planted(t, check(e, rules, regexp.MustCompile(`(?m)^.*eval_time: (20|50)m, alertname: SluiceLagHigh.*\n`).ReplaceAllString(tests, ""), runbook),
			"SluiceLagHigh: the test")
	})
	t.Run("an alert without a test", func(t *testing.T) {
		planted(t, check(e, rules, strings.ReplaceAll(tests, "alertname: SluiceLagHigh", "alertname: SluiceLagLow"), runbook), "SluiceLagHigh: no test")
	})
}

// planted fails the test unless one of the faults begins as the planted one does.
func planted(t *testing.T, faults []string, want string) {
	t.Helper()
	if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) }) {
		t.Errorf("the fault is not found: want %q, got %q", want, faults)
	}
}

// promtool runs Debian's promtool of Prometheus; the test is passed over where there is none.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if testing.Short() {
		t.Skip("another program's work, which the long tests have shown")
	}
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool here: install Debian's package prometheus")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), err
}

func TestPromtoolTakesTheRules(t *testing.T) {
	if out, err := promtool(t, "check", "rules", "--lint=all", "--lint-fatal", "prometheus/sluice.rules.yaml"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := promtool(t, "test", "rules", "prometheus/sluice.test.yaml"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The tests of the rules can fail: a rule that never fires does not pass, nor does one that fires too soon, nor one that does not end.
func TestPromtoolFindsFaults(t *testing.T) {
	rules, tests := read(t, "prometheus/sluice.rules.yaml"), read(t, "prometheus/sluice.test.yaml")
	// One alert is enough, and takes less time.
	head, rest, _ := strings.Cut(tests, "  - name: ")
	_, one, found := strings.Cut(rest, "  - name: SluiceShardHalted.")
	one, _, ends := strings.Cut(one, "  - name: ")
	if !found || !ends {
		t.Fatal("the test of SluiceShardHalted is not found")
	}
	for _, tt := range []struct{ name, old, new string }{
		{"never fires", "(sluice_failing_seconds) > 0\n        for: 5m", "(sluice_failing_seconds) > 1e9\n        for: 5m"},
		{"fires too soon", "(sluice_failing_seconds) > 0\n        for: 5m", "(sluice_failing_seconds) > 0\n        for: 1m"},
		{"does not end", "(sluice_failing_seconds) > 0\n        for: 5m", "(max_over_time(sluice_failing_seconds[1h])) > 0\n        for: 5m"},
		{"says something else", "stands still", "lies down"},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{
				"sluice.rules.yaml": strings.Replace(rules, tt.old, tt.new, 1), "sluice.test.yaml": head + "  - name: SluiceShardHalted." + one,
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := promtool(t, "test", "rules", filepath.Join(dir, "sluice.test.yaml"))
			if failed := err != nil; failed != (tt.old != "") {
				t.Errorf("promtool: %v\n%s", err, out)
			}
		})
	}
}

// The queries of the runbook are such that promtool takes, and ask for what there is.
func TestQueriesOfTheRunbook(t *testing.T) {
	e, runbook := exports(t), read(t, "../docs/runbook.md")
	rules := read(t, "prometheus/sluice.rules.yaml")
	for _, record := range regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(rules, -1) {
		e.series[record[1]] = true
	}
	queries := map[string]string{}
	for _, span := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(runbook, -1) {
		if strings.Contains(span[1], `job="JOB"`) {
			queries[span[1]] = span[1]
		}
	}
	if len(queries) < 20 {
		t.Fatalf("only %d queries are found: this test looks for the wrong form", len(queries))
	}
	parse(t, e, queries)
	for _, name := range regexp.MustCompile(`\bsluice_[a-z_]+`).FindAllString(runbook, -1) {
		if !e.series[name] {
			t.Errorf("the runbook names %s, which is not exported", name)
		}
	}
}

// The configuration that docs/operations.md shows is one that Prometheus takes.
func TestConfigurationOfPrometheus(t *testing.T) {
	_, config, found := strings.Cut(read(t, "../docs/operations.md"), "```yaml\n")
	config, _, ends := strings.Cut(config, "```")
	if !found || !ends || !strings.Contains(config, "rule_files: [sluice.rules.yaml]") {
		t.Fatal("docs/operations.md shows no configuration with the rules")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"prometheus.yml": config, "sluice.rules.yaml": read(t, "prometheus/sluice.rules.yaml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := promtool(t, "check", "config", filepath.Join(dir, "prometheus.yml")); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// parse fails the test unless promtool takes each expression, and knows whose it is by its name, and all names in it are known.
func parse(t *testing.T, e exported, expressions map[string]string) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []map[string]string
		}
	}
	file.Groups = append(file.Groups, struct {
		Name  string
		Rules []map[string]string
	}{Name: "parsed"})
	for _, name := range slices.Sorted(maps.Keys(expressions)) {
		if names := e.unknown(expressions[name]); names != nil {
			t.Errorf("%s: %v is not exported", name, names)
		}
		file.Groups[0].Rules = append(file.Groups[0].Rules, map[string]string{"record": fmt.Sprintf("parsed:%d", len(file.Groups[0].Rules)), "expr": expressions[name]})
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "parsed.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, "check", "rules", path); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, text)
	}
}
