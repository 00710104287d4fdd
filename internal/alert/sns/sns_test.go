package sns

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sluice-etl/sluice/internal/alert"
)

var keys = aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}

// mostBytes of a message SNS takes.
const mostBytes = 256 << 10

// standIn answers as the API of SNS does, and fails with a code where it is told to.
type standIn struct {
	t    *testing.T
	fail string
	got  url.Values
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	code := s.refuse(r, body)
	if code == "" {
		code = s.fail
	}
	w.Header().Set("Content-Type", "text/xml")
	if code != "" {
		w.WriteHeader(map[string]int{"NotFound": 404, "AuthorizationError": 403, "SignatureDoesNotMatch": 403, "InvalidParameter": 400, "InternalError": 500}[code])
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error></ErrorResponse>`, code)
		return
	}
	fmt.Fprint(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
}

// refuse checks a request as the API's reference has it.
func (s *standIn) refuse(r *http.Request, body []byte) (code string) {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "SignatureDoesNotMatch"
	}
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.String(), bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
	}
	for _, name := range strings.Split(list, ";") {
		if name != "host" && name != "content-length" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(s.t.Context(), keys, again, hex.EncodeToString(hash[:]), "sns", "eu-central-1", at); err != nil {
		s.t.Error(err)
	}
	if again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		s.t.Logf("signed %s; want %s", r.Header.Get("Authorization"), again.Header.Get("Authorization"))
		return "SignatureDoesNotMatch"
	}
	if s.got, err = url.ParseQuery(string(body)); err != nil || s.got.Get("Action") != "Publish" || s.got.Get("Version") != "2010-03-31" {
		return "InvalidParameter"
	}
	size := len(s.got.Get("Message"))
	for name, values := range s.got {
		if strings.HasPrefix(name, "MessageAttributes.") {
			if values[0] == "" {
				return "InvalidParameter"
			}
			size += len(values[0])
		}
	}
	var versions map[string]string
	if size > mostBytes || json.Unmarshal([]byte(s.got.Get("Message")), &versions) != nil || versions["default"] == "" || len(s.got.Get("Subject")) > 100 ||
		strings.HasSuffix(s.got.Get("TopicArn"), ".fifo") != (s.got.Get("MessageGroupId") != "") {
		return "InvalidParameter"
	}
	return ""
}

func TestPublish(t *testing.T) {
	a := alert.Alert{ID: "id", Sequence: 2, Phase: alert.Peaks, Group: "g", App: "sluice", Stream: "s", Detector: "source",
		Key: "sourceip " + strings.Repeat("\u00e4", 100), Reason: strings.Repeat("\u0001", 1024)}
	summary := alert.Alert{ID: "id2", Phase: alert.Summary, App: "sluice", Episodes: 7, Reason: "many"}
	tests := map[string]struct {
		topic   string
		alert   *alert.Alert
		fail    string
		refused bool
		says    string
	}{
		"a topic":             {topic: "alerts", alert: &a},
		"a summary":           {topic: "alerts", alert: &summary},
		"a FIFO topic":        {topic: "alerts.fifo", alert: &a},
		"a summary to FIFO":   {topic: "alerts.fifo", alert: &summary},
		"no such topic":       {topic: "gone", alert: &a, fail: "NotFound", says: "the topic must exist"},
		"no permission":       {topic: "alerts", alert: &a, fail: "AuthorizationError", says: "sns:Publish"},
		"the service is down": {topic: "alerts", alert: &a, fail: "InternalError", says: "InternalError"},
		"refused":             {topic: "alerts", alert: &a, fail: "InvalidParameter", refused: true, says: "publish to"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := &standIn{t: t, fail: tt.fail}
			server := httptest.NewServer(s)
			defer server.Close()
			// The region is the topic's, whatever that of the stream is.
			topic := Open(aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys, nil })},
				"arn:aws:sns:eu-central-1:123456789012:"+tt.topic)
			err := topic.Send(t.Context(), tt.alert)
			var refused alert.Refused
			if (err == nil) != (tt.fail == "") || errors.As(err, &refused) != tt.refused || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v", err)
			}
			var versions map[string]string
			if err := json.Unmarshal([]byte(s.got.Get("Message")), &versions); err != nil || versions["default"] != string(tt.alert.Body()) ||
				versions["email"] != tt.alert.Text() || versions["sms"] != tt.alert.Subject() {
				t.Errorf("%v: %v", err, versions)
			}
			if fifo := s.got.Get("MessageDeduplicationId"); strings.HasSuffix(tt.topic, ".fifo") && fifo != fmt.Sprintf("%s-%d", tt.alert.ID, tt.alert.Sequence) {
				t.Errorf("it is known again as %q", fifo)
			}
		})
	}
}
