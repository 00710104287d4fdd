package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
	"github.com/sluice-etl/sluice/internal/e2e/canary"
	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
)

// The clients are Debian's, which know nothing of this project.
const (
	awscli  = "/usr/bin/aws"
	python3 = "/usr/bin/python3"
)

// Producers of Firehose put 10,000 records at the Direct PUT endpoint, while connections are cut before a request and
// before its answer, and the service is killed and started again. Each record that was acknowledged is visible once; what
// is beside that came of a put whose answer was lost, and there are never more copies than puts.
func TestDirectPut(t *testing.T) {
	for _, need := range [][]string{{awscli, "--version"}, {python3, "-c", "import boto3"}} {
		if err := exec.Command(need[0], need[1:]...).Run(); err != nil {
			t.Skip("Debian's packages awscli and python3-boto3 are installed by .ci/run")
		}
	}
	const byBoto3, byCLI, delivery = 8000, 2000, "clicks"
	y := newYard(t, 2)
	keys := filepath.Join(t.TempDir(), "keys")
	older, newer := [2]string{"OLDKEY", canary.OtherSecret}, [2]string{"NEWKEY", canary.IntakeSecret} // ids and secrets
	if err := os.WriteFile(keys, fmt.Appendf(nil, "# two at a time\n%s %s\n%s %s\n", older[0], older[1], newer[0], newer[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	at := address(t)
	settings := []string{"SLUICE_INTAKE_ADDR=" + at, "SLUICE_INTAKE_STREAM=" + delivery, "SLUICE_INTAKE_KEYS_FILE=" + keys}
	service := y.run(t, "one", settings...)

	// What stands before the endpoint cuts connections, and counts how often each record comes to the service.
	before := newFront(t, "http://"+at)
	puts, cuts := map[string]int{}, 0
	var mu sync.Mutex
	var requests atomic.Int32
	half := make(chan struct{})
	before.answers(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		n := requests.Add(1)
		if n == 40 {
			close(half)
		}
		if n%10 == 5 {
			panic(http.ErrAbortHandler) // before it comes to the service
		}
		records := recordsOf(body)
		mu.Lock()
		for _, data := range records {
			puts[data]++
		}
		mu.Unlock()
		if n%10 != 0 {
			return false
		}
		whole := httptest.NewRecorder()
		before.pass.ServeHTTP(whole, r)
		mu.Lock()
		cuts++
		mu.Unlock()
		maps.Copy(w.Header(), whole.Header())
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2]) // the client may be gone
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	service.ready(t)

	client := func(key [2]string, command string, args ...string) *exec.Cmd {
		c := exec.CommandContext(t.Context(), command, args...)
		c.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true",
			"AWS_DEFAULT_REGION=" + s3gw.Region, "AWS_ACCESS_KEY_ID=" + key[0], "AWS_SECRET_ACCESS_KEY=" + key[1]}
		return c
	}
	cli := func(args ...string) *exec.Cmd {
		return client(newer, awscli, append([]string{"firehose", "--endpoint-url", before.URL, "--output", "json"}, args...)...)
	}
	for _, call := range [][]string{{"list-delivery-streams"}, {"describe-delivery-stream", "--delivery-stream-name", delivery}} {
		if out, err := cli(call...).CombinedOutput(); err != nil || !bytes.Contains(out, []byte(`"`+delivery+`"`)) {
			t.Fatalf("%v: %v: %s", call, err, out)
		}
	}
	if out, err := client([2]string{newer[0], older[1]}, awscli, "firehose", "--endpoint-url", before.URL, "list-delivery-streams").CombinedOutput(); err == nil || !bytes.Contains(out, []byte("InvalidSignatureException")) {
		t.Fatalf("with the secret of another key: %v: %s", err, out)
	}

	var clients sync.WaitGroup
	ledger := make(chan [2]string, byBoto3+byCLI) // the id and the data of each acknowledged record
	clients.Go(func() {
		boto3 := client(older, python3, "testdata/put.py", before.URL, delivery, fmt.Sprint(byBoto3))
		var acknowledged, stderr bytes.Buffer
		boto3.Stdout, boto3.Stderr = &acknowledged, &stderr
		if err := boto3.Run(); err != nil {
			t.Errorf("put.py: %v: %s", err, stderr.String())
			return
		}
		for line := range strings.Lines(acknowledged.String()) {
			id, data, _ := strings.Cut(line, " ")
			ledger <- [2]string{id, data}
		}
	})
	clients.Go(func() {
		for first := 0; first < byCLI; first += 500 {
			putByCLI(t, cli, delivery, first, ledger)
		}
	})
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	select {
	case <-half:
	case <-done:
		t.Fatalf("the clients have ended after %d requests", requests.Load())
	}
	service.Kill()
	service = y.run(t, "two", settings...)
	<-done
	close(ledger)
	if t.Failed() {
		return
	}
	for entry := range ledger {
		shard, seq, _ := strings.Cut(entry[0], ":")
		if err := y.ledger.Add(check.NewEntry(shard, seq, 0, "", []byte(entry[1]))); err != nil {
			t.Fatal(err)
		}
	}
	contents, err := y.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "all that the stream holds is visible", []*process.Process{service.Process}, func() bool { return y.count(t) >= len(contents) })
	report := y.stop(t, service)
	copies := map[string]int{}
	for _, r := range contents {
		if copies[string(r.Data)]++; copies[string(r.Data)] > puts[string(r.Data)] {
			t.Errorf("there are more copies of %s than puts, which are %d", r.Data, puts[string(r.Data)])
		}
	}
	t.Logf("%d records are acknowledged; %d more copies are in the stream, of puts whose answer was lost; %d requests, %d answers cut",
		report.Acknowledged, report.Unacknowledged, requests.Load(), cuts)
	if report.Acknowledged != byBoto3+byCLI || len(copies) != byBoto3+byCLI || report.Rejects != 0 {
		t.Errorf("%+v, %d different records; want %d", report, len(copies), byBoto3+byCLI)
	}
	if cuts < 5 {
		t.Errorf("only %d answers were cut", cuts)
	}
}

// TestPutFromJavaScript puts records by the two versions of the AWS SDK for JavaScript, the older one in a browser on a page of
// another origin, which is how the page of the Kinesis Data Generator does it.
func TestPutFromJavaScript(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("DIRECT_PUT_JAVASCRIPT")
	browser, err := exec.LookPath("chromium-headless-shell")
	if dir == "" || err != nil {
		t.Skip("the packages of javascript/package.json and Debian's chromium-headless-shell are installed by .ci/run, which names the folder in DIRECT_PUT_JAVASCRIPT")
	}
	const count, delivery, id, secret = 500, "clicks", "JAVASCRIPT", "the-secret-of-javascript"
	y := newYard(t, 2)
	service, at := y.runIntake(t, delivery, id+" "+secret)
	out := node(t, dir, "put.js", map[string]any{"endpoint": "http://" + at, "region": s3gw.Region, "id": id, "secret": secret, "stream": delivery,
		"browser": browser, "count": count})
	for line := range strings.Lines(string(out)) {
		place, data, _ := strings.Cut(line, " ")
		shard, seq, _ := strings.Cut(place, ":")
		if err := y.ledger.Add(check.NewEntry(shard, seq, 0, "", []byte(data))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, "all that was put is visible", []*process.Process{service.Process}, func() bool { return y.count(t) >= 2*count })
	if report := y.stop(t, service); report.Acknowledged != 2*count || report.Rows != 2*count {
		t.Errorf("%+v; want %d records", report, 2*count)
	}
}

// runIntake starts a service that takes Direct PUT for a delivery stream, signed with a key, and waits until it is ready.
func (y *yard) runIntake(t *testing.T, delivery, key string) (service *runner, at string) {
	t.Helper()
	at, keys := address(t), filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	service = y.run(t, "one", "SLUICE_INTAKE_ADDR="+at, "SLUICE_INTAKE_STREAM="+delivery, "SLUICE_INTAKE_KEYS_FILE="+keys)
	service.ready(t)
	return service, at
}

// node runs a script of the folder javascript, which finds its packages in another folder, and gives what it prints.
func node(t *testing.T, packages, script string, argument map[string]any) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("javascript", script))
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(argument)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "node", "-e", string(text), script, string(encoded))
	command.Dir = packages
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, stderr.String())
	}
	return out
}

// TestGenerateDirectPut puts the lab's access log at the endpoint with generate: the stream then holds the lines that a file has.
// The service has the settings of the lab's module 1, so that lines and what is no line lie where its Firehose puts them.
func TestGenerateDirectPut(t *testing.T) {
	t.Parallel()
	const id, secret = "GENERATE", "the-secret-of-generate"
	const dated = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"
	y := newYard(t, 2)
	dir, at := t.TempDir(), address(t)
	template, log, keys := filepath.Join(dir, "access-log.kdg"), filepath.Join(dir, "access.log"), filepath.Join(dir, "keys")
	for file, text := range map[string]string{template: accessLog, keys: id + " " + secret} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service := y.run(t, "one", "SLUICE_FORMAT=raw", "SLUICE_INTAKE_ADDR="+at, "SLUICE_INTAKE_STREAM=webaccess", "SLUICE_INTAKE_KEYS_FILE="+keys,
		"SLUICE_OUTPUT=raw", "SLUICE_COMPRESSION=gzip", "SLUICE_PREFIX=data/webaccess/"+dated, "SLUICE_ERROR_PREFIX=error/webaccess/!{firehose:error-output-type}/"+dated)
	service.ready(t)
	environment := []string{"AWS_ENDPOINT_URL_FIREHOSE=http://" + at, "AWS_REGION=" + s3gw.Region, "AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + secret}
	for _, to := range []string{log, "firehose:webaccess"} { // the same records
		wait(t, start(t, "generate", "sluice", environment, "generate", "--template", template, "--count", "1200", "--seed", "7",
			"--start", "2026-11-25T12:00:00Z", "--to", to), time.Minute)
	}
	putBySignature(t, at, aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, `{"DeliveryStreamName": "webaccess", "Records": [{"Data": ""}]}`)
	eventually(t, time.Minute, "all that was put is visible", []*process.Process{service.Process}, func() bool {
		rejected, _ := process.Metric(t.Context(), service.http, "sluice_records_rejected_total") // for each reason
		sum := service.metric(t, "sluice_rows_committed_total")
		for _, n := range rejected {
			sum += n
		}
		return sum == 1201
	})
	terminate(t, service.Process)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := y.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range contents {
		got = append(got, string(r.Data))
	}
	want := slices.Sorted(strings.Lines(string(text)))
	slices.Sort(got)
	if len(want) != 1200 || !slices.Equal(got, append([]string{""}, want...)) {
		t.Errorf("the stream holds %d records, which are not the %d lines of the file, and one without a line", len(got), len(want))
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const day = "/year=20[0-9][0-9]/month=[0-9][0-9]/day=[0-9][0-9]/"
	lines := query(t, db, fmt.Sprintf(`SELECT line || chr(10) FROM read_csv('%s/data/webaccess%s*.gz', columns = {'line': 'VARCHAR'},
		delim = '\x01', quote = '', escape = '', header = false, auto_detect = false)`, y.Bucket, day))
	slices.Sort(lines)
	if !slices.Equal(lines, want) {
		t.Errorf("the bucket holds %d lines, which are not the %d of the file", len(lines), len(want))
	}
	rejects := query(t, db, fmt.Sprintf(`SELECT errorCode || ' ' || rawData FROM read_json('%s/error/webaccess/processing-failed%s*.gz',
		columns = {errorCode: 'VARCHAR', rawData: 'VARCHAR'})`, y.Bucket, day))
	if !slices.Equal(rejects, []string{"empty "}) {
		t.Errorf("the rejects are %q; want the empty record", rejects)
	}
}

// putBySignature makes one call of PutRecordBatch, of which all records must be taken.
func putBySignature(t *testing.T, at string, key aws.Credentials, input string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at+"/", strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Firehose_20150804.PutRecordBatch")
	sum := sha256.Sum256([]byte(input))
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(sum[:]), "firehose", s3gw.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(`"FailedPutCount":0`)) {
		t.Fatalf("%s %s, %v", answer.Status, text, err)
	}
}

// putByCLI puts 500 records with the AWS CLI, those again that are not acknowledged.
func putByCLI(t *testing.T, cli func(...string) *exec.Cmd, delivery string, first int, ledger chan<- [2]string) {
	type record struct{ Data []byte }
	var records []record
	for n := first; n < first+500; n++ {
		records = append(records, record{fmt.Appendf(nil, "{\"id\":\"cli-%d\",\"n\":%d}\n", n, n)})
	}
	for len(records) > 0 {
		input, err := json.Marshal(map[string]any{"DeliveryStreamName": delivery, "Records": records})
		if err != nil {
			t.Error(err)
			return
		}
		file := filepath.Join(t.TempDir(), "input.json")
		if err := os.WriteFile(file, input, 0o600); err != nil {
			t.Error(err)
			return
		}
		command := cli("put-record-batch", "--cli-input-json", "file://"+file)
		var stderr bytes.Buffer
		command.Stderr = &stderr
		out, err := command.Output()
		if t.Context().Err() != nil {
			return
		}
		if err != nil { // its own attempts were not enough
			t.Logf("the CLI is run again: %v: %s", err, strings.TrimSpace(stderr.String()))
			continue
		}
		var answer struct {
			RequestResponses []struct{ RecordId string }
		}
		if err := json.Unmarshal(out, &answer); err != nil || len(answer.RequestResponses) != len(records) {
			t.Errorf("the CLI prints %s: %v", out, err)
			return
		}
		var failed []record
		for i, r := range answer.RequestResponses {
			if r.RecordId == "" {
				failed = append(failed, records[i])
			} else {
				ledger <- [2]string{r.RecordId, string(records[i].Data)}
			}
		}
		records = failed
	}
}

// recordsOf are the data of the records in a request.
func recordsOf(body []byte) (all []string) {
	type record struct{ Data []byte }
	var input struct {
		Record  *record
		Records []record
	}
	if err := json.Unmarshal(body, &input); err != nil {
		return nil
	}
	if input.Record != nil {
		all = append(all, string(input.Record.Data))
	}
	for _, r := range input.Records {
		all = append(all, string(r.Data))
	}
	return all
}
