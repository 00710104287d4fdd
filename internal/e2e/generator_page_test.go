package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
)

// generatorPage is the page of the Kinesis Data Generator, which is not part of this project (Apache-2.0; 5 MB with what it loads).
const generatorPage = "https://awslabs.github.io/amazon-kinesis-data-generator/web/producer.html"

// generatorEnv names a folder with the page and all that it loads, a folder for each host.
const generatorEnv = "KINESIS_DATA_GENERATOR"

// TestKinesisDataGenerator sends records by the Kinesis Data Generator's own page. No file of it is changed: the browser gets them
// by their own addresses, but finds every host at this test, which serves the files, stands in for Cognito and EC2, and
// passes to sluice what comes for Firehose or for the endpoint in docs/direct-put.md.
func TestKinesisDataGenerator(t *testing.T) {
	files, packages := os.Getenv(generatorEnv), os.Getenv("DIRECT_PUT_JAVASCRIPT")
	browser, err := exec.LookPath("chromium-headless-shell")
	if files == "" || packages == "" || err != nil {
		t.Skip("this needs what TestPutFromJavaScript needs, and the page in the folder that " + generatorEnv + " names: " +
			`wget --page-requisites --span-hosts --directory-prefix="$` + generatorEnv + `" ` + generatorPage)
	}
	page, err := os.ReadFile("../../docs/direct-put.md")
	if err != nil {
		t.Fatal(err)
	}
	typed := regexp.MustCompile(`(?m)^AWS\.config\.update.*(\n\$\(.*)+`).FindString(string(page))
	key := regexp.MustCompile(`(?m)^ +(\w+) (\S{16,})$`).FindStringSubmatch(string(page))
	if key == nil || !strings.Contains(typed, key[1]) || !strings.Contains(typed, key[2]) || !strings.Contains(typed, s3gw.Region) {
		t.Fatalf("docs/direct-put.md has no key, or not what is typed at the page's console, with that key and for %s:\n%s\n%s", s3gw.Region, key, typed)
	}
	const record = `{"id":"{{random.uuid}}","at":"{{date.now}}","who":"{{name.firstName}}","what":"{{random.weightedArrayElement({"weights":[0.9,0.1],"data":["view","buy"]})}}"}`
	for name, way := range map[string]struct {
		console, template string
		count             int
	}{
		"signed in":         {"", record, 5000},
		"at the console":    {typed, record, 5000},
		"all records equal": {typed, `{"kind":"beat"}`, 1000}, // two batches in one second, whose signatures are equal
	} {
		t.Run(name, func(t *testing.T) {
			const delivery = "clicks"
			y := newYard(t, 2)
			service, at := y.runIntake(t, delivery, key[0])
			everywhere := httptest.NewTLSServer(internet(files, key[1], key[2], y.listed(t, at)))
			defer everywhere.Close()
			out := node(t, packages, "generator.js", map[string]any{"page": generatorPage + "?upid=pool_a&ipid=pool&cid=client&r=" + s3gw.Region, "host": everywhere.Listener.Addr().String(),
				"console": way.console, "stream": delivery, "template": way.template, "rate": 1000, "count": way.count, "browser": browser})
			sent, err := strconv.Atoi(strings.TrimSpace(string(out)))
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, time.Minute, "all that was sent is visible", []*process.Process{service.Process}, func() bool { return y.count(t) >= sent })
			if report := y.stop(t, service); sent < way.count || report.Acknowledged != sent || report.Rows != sent {
				t.Errorf("the page says that it sent %d records: %+v", sent, report)
			}
		})
	}
}

// listed passes requests to the endpoint at an address, and enters in the ledger what is acknowledged.
func (y *yard) listed(t *testing.T, at string) http.Handler {
	f := newFront(t, "http://"+at)
	var mu sync.Mutex // over the ledger
	f.answers(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		records := recordsOf(body)
		if records == nil {
			return false
		}
		whole := httptest.NewRecorder()
		f.pass.ServeHTTP(whole, r)
		var answer struct {
			RequestResponses []struct{ RecordId string }
		}
		if err := json.Unmarshal(whole.Body.Bytes(), &answer); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for i, response := range answer.RequestResponses {
			shard, seq, _ := strings.Cut(response.RecordId, ":")
			if err := y.ledger.Add(check.NewEntry(shard, seq, 0, "", []byte(records[i]))); err != nil {
				t.Error(err)
			}
		}
		maps.Copy(w.Header(), whole.Header())
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()) // the page asks again
		return true
	})
	return f
}

// internet is what a browser finds that looks for every host here: files, a folder for each host; what of AWS the page asks before
// it sends, where Cognito gives everybody the same key; and a handler for what goes to Firehose, or to the documented endpoint.
func internet(files, id, secret string, firehose http.Handler) http.Handler {
	const region = s3gw.Region
	now := time.Now().Unix()
	token := "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"sub":"somebody","iat":%d,"exp":%d}`, now, now+3600)) + ".e30"
	answers := map[string]string{ // by X-Amz-Target, which requests to EC2 have not
		"AWSCognitoIdentityProviderService.InitiateAuth": `{"ChallengeName": "PASSWORD_VERIFIER", "ChallengeParameters":
			{"USERNAME": "somebody", "USER_ID_FOR_SRP": "somebody", "SALT": "a", "SRP_B": "2", "SECRET_BLOCK": "eA=="}}`,
		"AWSCognitoIdentityProviderService.RespondToAuthChallenge": fmt.Sprintf(`{"AuthenticationResult":
			{"IdToken": %[1]q, "AccessToken": %[1]q, "RefreshToken": "x", "ExpiresIn": 3600, "TokenType": "Bearer"}}`, token),
		"AWSCognitoIdentityService.GetId": `{"IdentityId": "somebody"}`,
		"AWSCognitoIdentityService.GetCredentialsForIdentity": fmt.Sprintf(`{"IdentityId": "somebody", "Credentials":
			{"AccessKeyId": %q, "SecretKey": %q, "SessionToken": "a session", "Expiration": %d}}`, id, secret, now+3600),
		"": `<DescribeRegionsResponse><regionInfo><item><regionName>` + region + `</regionName></item></regionInfo></DescribeRegionsResponse>`,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "firehose."+region+".amazonaws.com" || r.Host == "intake.example" {
			firehose.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
		switch r.Method {
		case http.MethodGet:
			http.ServeFileFS(w, r, os.DirFS(files), r.Host+r.URL.Path)
		case http.MethodPost:
			answer, known := answers[r.Header.Get("X-Amz-Target")]
			if !known { // Kinesis's, at which the key is worth nothing
				w.WriteHeader(http.StatusBadRequest)
				answer = `{"__type": "UnrecognizedClientException"}`
			}
			fmt.Fprint(w, answer)
		}
	})
}
