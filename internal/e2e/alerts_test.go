package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/process"
)

// shortening is by how much the durations of the rules are divided, so that five minutes are five seconds.
const shortening = 60

var ruleDuration = regexp.MustCompile(`(for: |\[|offset )(\d+)([smhd])\b`)

// shortened are the rules with all their durations divided, and nothing else changed.
func shortened(t *testing.T, rules string) string {
	t.Helper()
	unit := map[string]int{"s": 1, "m": 60, "h": 3600, "d": 86400}
	short := ruleDuration.ReplaceAllStringFunc(rules, func(s string) string {
		parts := ruleDuration.FindStringSubmatch(s)
		n := 0
		if _, err := fmt.Sscan(parts[2], &n); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s%ds", parts[1], n*unit[parts[3]]/shortening)
	})
	if strip := func(s string) string { return ruleDuration.ReplaceAllString(s, "$1") }; strip(short) != strip(rules) || short == rules {
		t.Fatalf("more than durations has changed, or nothing:\n%s", short)
	}
	return short
}

// notification is what Alertmanager posts to a webhook.
type notification struct {
	Alerts []struct {
		Status              string
		Labels, Annotations map[string]string
	}
}

// TestAlertsArrive takes the bucket away from a running sluice-local, until Debian's Prometheus and Alertmanager tell the webhook
// of a person that a shard stands still; then brings it back, until they tell that it is over.
func TestAlertsArrive(t *testing.T) {
	for _, name := range []string{"prometheus", "promtool", "prometheus-alertmanager"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s here: install Debian's packages prometheus and prometheus-alertmanager", name)
		}
	}
	t.Parallel()
	dir, data := t.TempDir(), t.TempDir()
	service, prometheus, alertmanager, webhook := address(t), address(t), address(t), address(t)

	rules, err := os.ReadFile("../../deploy/prometheus/sluice.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"rules.yaml": shortened(t, string(rules)),
		"prometheus.yaml": fmt.Sprintf(`
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yaml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: transactions, static_configs: [{targets: [%q]}]}]
`, alertmanager, service),
		"alertmanager.yaml": fmt.Sprintf(`
route: {receiver: person, group_wait: 0s, group_interval: 1s, group_by: [alertname]}
receivers: [{name: person, webhook_configs: [{url: "http://%s/"}]}]
`, webhook),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	heard := make(chan notification, 100)
	server := &http.Server{Addr: webhook, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n notification
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Errorf("the webhook got no notification: %v", err)
		}
		heard <- n
	})}
	go func() { _ = server.ListenAndServe() }() // ends when it is closed
	t.Cleanup(func() { server.Close() })

	local := start(t, "sluice-local", "sluice-local", []string{"SLUICE_FLUSH_INTERVAL=500ms"}, "--duration", "0", "--dir", data, "--http", service)
	others := []*process.Process{local}
	run := func(name string, args ...string) {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, launch(t, process.Spec{Name: name, Path: path, Args: args}))
	}
	run("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "tsdb"),
		"--web.listen-address="+prometheus, "--enable-feature=native-histograms,exemplar-storage")
	run("prometheus-alertmanager", "--config.file="+filepath.Join(dir, "alertmanager.yaml"), "--storage.path="+filepath.Join(dir, "alertmanager"),
		"--web.listen-address="+alertmanager, "--cluster.listen-address=")

	ask := func(query string) []sample {
		samples, err := instant(prometheus, query)
		if err != nil {
			return nil // it is starting
		}
		return samples
	}
	eventually(t, time.Minute, "both shards have committed, as Prometheus sees it", others, func() bool {
		return len(ask(`sluice_last_commit_timestamp_seconds{job="transactions"}`)) == 2
	})
	// The real endpoint, by the eyes of others; and what only a running service knows.
	lint := exec.Command("promtool", "check", "metrics")
	scrape, err := http.Get("http://" + service + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer scrape.Body.Close()
	lint.Stdin = scrape.Body
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	for query, want := range map[string]string{
		"max(sluice_shards_readable) - sum(sluice_leases_owned)":         "0",
		"sluice_memory_limit_bytes > bool process_resident_memory_bytes": "1",
		"histogram_count(sluice_commit_duration_seconds) > bool 0":       "1", // the native one
		"count(sluice_failing_seconds)":                                  "3", // two shards and the worker
	} {
		if got := ask(query); len(got) != 1 || got[0].value != want {
			t.Errorf("%s gives %v; want %s", query, got, want)
		}
	}

	eventually(t, time.Minute, "the abnormal address among the exemplars", others, func() bool {
		answer, err := http.Get("http://" + prometheus + "/api/v1/query_exemplars?query=sluice_anomalies_total&start=0&end=4e9")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return err == nil && strings.Contains(string(body), `{"key":"sourceip `+abnormal+`"}`)
	})
	askAll(t, prometheus, "../../deploy/grafana/sluice.json", others)

	bucket, away := filepath.Join(data, "s3", "sluice-local"), filepath.Join(data, "away")
	if err := os.Rename(bucket, away); err != nil {
		t.Fatal(err)
	}
	taken := time.Now()
	const alert = "SluiceShardHalted"
	expect(t, heard, "firing", alert, others)
	t.Logf("told of %s %v after its cause", alert, time.Since(taken).Round(100*time.Millisecond))
	if err := os.Rename(away, bucket); err != nil {
		t.Fatal(err)
	}
	brought := time.Now()
	expect(t, heard, "resolved", alert, others)
	t.Logf("and of its end %v after that", time.Since(brought).Round(100*time.Millisecond))
	terminate(t, local)
	exact(t, localOutput(bucket), readLedger(t, data))
}

// askAll asks what the panels of the dashboard do, until each has an answer, but those that show only what went wrong:
// a rate has none before the second scrape of its series.
func askAll(t *testing.T, prometheus, path string, needed []*process.Process) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var answers int
	var unanswered []string
	defer func() {
		if t.Failed() {
			t.Logf("nothing answers\n%s", strings.Join(unanswered, "\n"))
		}
	}()
	eventually(t, 30*time.Second, "an answer for every panel", needed, func() bool {
		answers, unanswered = 0, nil
		for _, p := range dashboard.Panels {
			for _, target := range p.Targets {
				samples, err := instant(prometheus, strings.NewReplacer("$app", "transactions", "$__rate_interval", "10s").Replace(target.Expr))
				if err != nil {
					t.Fatalf("%s: %v", p.Title, err)
				}
				wrongOnly := strings.HasSuffix(target.Expr, "> 0") || strings.HasPrefix(target.Expr, "ALERTS")
				if len(samples) == 0 && !wrongOnly {
					unanswered = append(unanswered, p.Title+": "+target.Expr)
				}
				answers += len(samples)
			}
		}
		return len(unanswered) == 0
	})
	if answers < 20 {
		t.Errorf("only %d series answer the dashboard", answers)
	}
}

// expect waits for a notification of an alert of a shard in a state, with all that a person needs.
func expect(t *testing.T, heard <-chan notification, status, alert string, needed []*process.Process) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("%s %s at the webhook", status, alert), needed, func() bool {
		for {
			select {
			case n := <-heard:
				for _, a := range n.Alerts {
					// A machine that is slow makes heartbeats fail, too: those are of the shard worker.
					if a.Status != status || a.Labels["alertname"] != alert || a.Labels["shard"] == "worker" {
						continue
					}
					if a.Labels["job"] != "transactions" || a.Labels["severity"] != "critical" || a.Labels["shard"] == "" ||
						!strings.HasPrefix(a.Annotations["summary"], "transactions: ") || a.Annotations["description"] == "" ||
						!strings.HasSuffix(a.Annotations["runbook_url"], "/docs/runbook.md#"+strings.ToLower(alert)) {
						t.Errorf("the notification is %+v", a)
					}
					return true
				}
			default:
				return false
			}
		}
	})
}

// sample is one of an instant query's answer.
type sample struct {
	labels map[string]string
	value  string
}

// instant asks a Prometheus how things stand now.
func instant(address, query string) ([]sample, error) {
	answer, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var body struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	if body.Status != "success" {
		return nil, fmt.Errorf("%s: %s", query, body.Error)
	}
	var samples []sample
	for _, r := range body.Data.Result {
		samples = append(samples, sample{r.Metric, fmt.Sprint(r.Value[1])})
	}
	return samples, nil
}
