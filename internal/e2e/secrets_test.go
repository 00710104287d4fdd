package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/canary"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// A service with every secret that there is has everything around it fail, is given damaged keys and another secret, and is looked
// at from all sides. That no secret is in what it writes, serves and stores is seen here as in every test of a yard: where it is
// started, and where the yard ends.
func TestSecretsStay(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	var tokens, posts atomic.Int32
	for _, front := range []*front{y.kinesis, y.dynamo, y.s3} {
		front.answers(func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
			if r.Header.Get("X-Amz-Security-Token") == canary.SessionToken {
				tokens.Add(1)
			}
			for _, leak := range canary.Find(body) {
				t.Errorf("a request to %s holds %s", r.URL.Path, leak)
			}
			return false
		})
	}
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := posts.Add(1)
		if r.URL.Path != "/"+canary.WebhookToken || r.Header.Get("Sluice-Signature") == "" {
			t.Errorf("a post to %s, signed %q", r.URL.Path, r.Header.Get("Sluice-Signature"))
		}
		switch { // tried again, tried again, refused
		case n == 1:
			panic(http.ErrAbortHandler)
		case n == 2:
			w.WriteHeader(http.StatusBadGateway)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(webhook.Close)

	var spans atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if key := r.Header.Get("Api-Key"); err != nil || key != canary.CollectorKey {
			t.Errorf("spans come with the key %q, %v", key, err)
		}
		for _, leak := range canary.Find(body) {
			t.Errorf("spans show %s", leak)
		}
		if spans.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(collector.Close)

	folder := t.TempDir()
	planted, err := canary.Plant(folder)
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := canary.PlantAlerts(folder, webhook.URL)
	if err != nil {
		t.Fatal(err)
	}
	intake, profiles := address(t), address(t)
	settings := slices.Concat(planted, alerts, []string{"SLUICE_INTAKE_ADDR=" + intake, "SLUICE_PPROF_ADDR=" + profiles, "SLUICE_ENRICH=hash(who)",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_EXPORTER_OTLP_COMPRESSION=none", "OTEL_EXPORTER_OTLP_HEADERS=api-key=" + canary.CollectorKey,
		"SLUICE_ANOMALY_DETECTORS=loud", "SLUICE_ANOMALY_LOUD_KIND=rate", "SLUICE_ANOMALY_LOUD_KEY=key", "SLUICE_ANOMALY_LOUD_MIN_COUNT=20"})
	s := y.run(t, "one", settings...)
	var records []world.Record
	for i := range 400 {
		key := fmt.Sprint("key-", i)
		if i%4 != 0 {
			key = "the loud one"
		}
		records = append(records, recordOf(key, fmt.Sprintf(`{"key":%q,"n":%d,"who":"somebody"}`, key, i)))
	}
	put(t, y.producer, append(records, recordOf("bad", "this is no JSON")))
	y.all(t, s)
	eventually(t, time.Minute, "the alert is refused at last", []*process.Process{s.Process}, func() bool { return posts.Load() >= 3 })

	ask, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+intake, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=CANARY/20260101/us-east-1/firehose/aws4_request, SignedHeaders=host, Signature=00")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	file := func(setting string) string {
		at := slices.IndexFunc(settings, func(s string) bool { return strings.HasPrefix(s, setting+"=") })
		return strings.TrimPrefix(settings[at], setting+"=")
	}
	write := func(path, text string) string {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write(file("SLUICE_INTAKE_KEYS_FILE"), "CANARY "+canary.IntakeSecret+" and more\n")
	// SIGHUP reads the keys, too; they are put right before, so that it is the secret that has changed.
	eventually(t, time.Minute, "damaged keys are told of", []*process.Process{s.Process}, func() bool {
		return strings.Contains(s.Stderr.String(), "the access keys are not changed")
	})
	write(file("SLUICE_INTAKE_KEYS_FILE"), "CANARY "+canary.OtherSecret+"\n")
	write(file("SLUICE_ALERT_WEBHOOK_SECRET_FILE"), canary.OtherSecret)
	if err := s.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "another secret is told of", []*process.Process{s.Process}, func() bool {
		return strings.Contains(s.Stderr.String(), `"key":"SLUICE_ALERT_WEBHOOK_SECRET"`)
	})
	for _, front := range []*front{y.kinesis, y.dynamo, y.s3} {
		front.answers(refuses(403, "InvalidClientTokenId", every))
	}
	eventually(t, time.Minute, "it waits for credentials", []*process.Process{s.Process}, func() bool {
		return strings.Contains(s.notReady(t.Context()), "InvalidClientTokenId")
	})
	leaks, answered := canary.Visit(t.Context(), s.http)
	more, profiled := canary.Visit(t.Context(), profiles, "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline")
	if leaks = append(leaks, more...); leaks != nil || answered < 5 || profiled < 3 {
		t.Errorf("%q on %d pages and %d profiles", leaks, answered, profiled)
	}

	aws := slices.Concat(world.Environment(y.kinesis.URL, y.dynamo.URL, y.s3.URL), []string{"SLUICE_STREAM=" + world.Stream, "SLUICE_BUCKET=" + world.Bucket})
	said := func(want string, env []string, args ...string) {
		t.Helper()
		p := start(t, "sluice "+args[0], "sluice", slices.Concat(aws, env), args...)
		if err := p.Wait(2 * time.Minute); !p.Ended() {
			t.Fatal(err)
		}
		if text := p.Stdout.String() + p.Stderr.String(); !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("sluice %s says\n%s\nwithout %s", strings.Join(args, " "), text, want)
		}
	}
	secrets := []string{"SLUICE_ALERT_WEBHOOK=https://x/" + canary.WebhookToken, "SLUICE_ALERT_WEBHOOK_SECRET=" + canary.WebhookSecret, "SLUICE_ANOMALY_DETECTORS=loud", "SLUICE_ANOMALY_LOUD_KIND=rate", "SLUICE_ANOMALY_LOUD_KEY=key"}
	said("InvalidClientTokenId", settings, "validate", "--online")
	for _, front := range []*front{y.kinesis, y.dynamo, y.s3} {
		front.answers(func(http.ResponseWriter, *http.Request, []byte) bool { panic(http.ErrAbortHandler) })
	}
	said("sluice shards: ", nil, "shards")
	for _, front := range []*front{y.kinesis, y.dynamo, y.s3} {
		front.answers(nil)
	}
	for _, args := range [][]string{{"config"}, {"config", "--env"}, {"config", "--docs"}} {
		said("ALERT_WEBHOOK_SECRET", secrets, args...)
		said("ALERT_WEBHOOK_SECRET", settings, args...)
	}
	yaml := func(text string) string { return write(filepath.Join(t.TempDir(), "sluice.yaml"), text) }
	for want, c := range map[string]struct{ env, args []string }{
		"SLUICE_ALERT_WEBHOOK:":         {env: []string{"SLUICE_ALERT_WEBHOOK=ftp://" + canary.WebhookToken}},
		"set one of them":               {env: append(slices.Clone(secrets), alerts...)},
		"SLUICE_ALERT_WEBHOOK_SECRETS":  {env: []string{"SLUICE_ALERT_WEBHOOK_SECRETS=" + canary.WebhookSecret}},
		"alert-webhook-secrets":         {args: []string{"--alert-webhook-secrets", canary.WebhookSecret}},
		"there is nothing to sign":      {args: []string{"--alert-webhook-secret=" + canary.WebhookSecret}},
		"alert_webhook_secrets":         {args: []string{"--config", yaml("alert_webhook_secrets: " + canary.WebhookSecret)}},
		"sluice.yaml":                   {args: []string{"--config", yaml("alert_webhook_secret: [" + canary.WebhookSecret)}},
		"SLUICE_ALERT_WEBHOOK_SECRET (": {args: []string{"--config", yaml("alert_webhook_secret: {a: " + canary.WebhookSecret + "}")}},
		"line 1":                        {env: []string{"SLUICE_INTAKE_ADDR=:0", "SLUICE_INTAKE_KEYS_FILE=" + yaml("CANARY "+canary.IntakeSecret+" x")}},
		"SLUICE_HASH_KEY_FILE":          {env: []string{"SLUICE_HASH_KEY_FILE=" + yaml(canary.SessionToken)}},
	} {
		said(want, c.env, append([]string{"validate"}, c.args...)...)
	}
	s.ready(t)
	said(`"fields"`, nil, "schema")
	said(`"shardId-000000000000"`, nil, "shards", "--json")
	said("", nil, "audit")
	said("", nil, "redrive", "--dry-run")
	terminate(t, s.Process)
	if tokens.Load() == 0 || spans.Load() == 0 {
		t.Errorf("%d requests had the session token, and spans came %d times: of what never came nothing is shown", tokens.Load(), spans.Load())
	}
}
