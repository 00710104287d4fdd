package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/canary"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// announced is an alert, as far as this test looks at it.
type announced struct {
	ID, Phase, Detector, Key string
	Sequence                 int
}

// inbox keeps what one receiver was told.
type inbox struct {
	mu  sync.Mutex
	all []announced
}

// take keeps an alert; it gives the status of the answer.
func (i *inbox) take(body []byte) int {
	if canary.Find(body) != nil {
		return http.StatusTeapot // it shows a secret
	}
	var a announced
	if err := json.Unmarshal(body, &a); err != nil {
		return http.StatusBadRequest
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, a)
	return http.StatusOK
}

// ids are the episodes of which a phase was told.
func (i *inbox) ids(phase string) map[string]bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := map[string]bool{}
	for _, a := range i.all {
		if a.Phase == phase {
			all[a.ID] = true
		}
	}
	return all
}

// TestEpisodes has one key come often, kills the service in the midst of it, and lets the key fall silent: at a topic and at a
// webhook that is one episode, which opens once and closes once, whatever came twice by the way.
func TestEpisodes(t *testing.T) {
	t.Parallel()
	const secret = canary.WebhookSecret
	var mail, hook inbox
	topic := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		form, bad := url.ParseQuery(string(body))
		var versions struct{ Default string }
		if err != nil || bad != nil || form.Get("Action") != "Publish" || json.Unmarshal([]byte(form.Get("Message")), &versions) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(mail.take([]byte(versions.Default)))
		fmt.Fprint(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
	}))
	t.Cleanup(topic.Close)
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		at, signature, _ := strings.Cut(r.Header.Get("Sluice-Signature"), ",")
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s", strings.TrimPrefix(at, "t="), body)
		if err != nil || signature != "v1="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("the signature %q is not that of the body, %v", r.Header.Get("Sluice-Signature"), err)
		}
		w.WriteHeader(hook.take(body))
	}))
	t.Cleanup(webhook.Close)

	y := newYard(t, 1)
	settings := []string{
		"SLUICE_ANOMALY_DETECTORS=loud", "SLUICE_ANOMALY_LOUD_KIND=rate", "SLUICE_ANOMALY_LOUD_KEY=key",
		"AWS_ENDPOINT_URL_SNS=" + watched(t, topic.URL).URL, "SLUICE_ALERT_SNS_TOPIC=arn:aws:sns:us-east-1:123456789012:alerts",
		"SLUICE_ALERT_WEBHOOK=" + webhook.URL + "/" + canary.WebhookToken, "SLUICE_ALERT_WEBHOOK_SECRET=" + secret, "SLUICE_ALERT_QUIET=15s",
	}
	n := 0
	record := func(key string) world.Record {
		n++
		return recordOf(key, fmt.Sprintf(`{"key":%q,"n":%d}`, key, n))
	}
	come := func(ordinary, loud int) {
		var batch []world.Record
		for i := range max(ordinary, loud) {
			if i < ordinary {
				batch = append(batch, record(fmt.Sprint("key-", n)))
			}
			if i < loud {
				batch = append(batch, record("the loud one"))
			}
		}
		put(t, y.producer, batch)
	}
	first := y.run(t, "first", settings...)
	come(300, 80)
	eventually(t, time.Minute, "the episode is announced to both", []*process.Process{first.Process}, func() bool {
		return len(mail.ids("opens")) > 0 && len(hook.ids("opens")) > 0
	})
	come(20, 20)
	first.Kill()

	second := y.run(t, "second", settings...)
	come(20, 20)
	y.all(t, second)
	eventually(t, 2*time.Minute, "its end is announced to both", []*process.Process{second.Process}, func() bool {
		come(5, 0) // an episode ends by the records' clock
		return len(mail.ids("closes")) > 0 && len(hook.ids("closes")) > 0
	})
	y.all(t, second)
	for name, box := range map[string]*inbox{"topic": &mail, "webhook": &hook} {
		opened, closed := box.ids("opens"), box.ids("closes")
		if len(opened) != 1 || fmt.Sprint(opened) != fmt.Sprint(closed) {
			t.Errorf("the %s was told of the beginning of %v and of the end of %v; want one episode", name, opened, closed)
		}
		for _, a := range box.all {
			if a.Detector != "loud" || !strings.Contains(a.Key, "the loud one") {
				t.Errorf("the %s was told of %+v", name, a)
			}
		}
	}
	y.stop(t, second)
	// The rows tell the same, although a crash was between them: they are flagged again, and ring once.
	out := backtested(t, append(environment(y.World), settings...), "s3://"+world.Bucket+"/data/")
	if !regexp.MustCompile(`(?m)^ *0\.999 +\d+ +[0-9.]+ +1 +[0-9.]+ +\*`).MatchString(out) {
		t.Errorf("a backtest finds another number of alerts:\n%s", out)
	}
}
