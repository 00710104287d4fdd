package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/sink/catalog/gluetest"
)

// sluice runs the command as main does.
func sluice(t *testing.T, environ []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	status = run(ctx, command{args: args, environ: environ, readFile: os.ReadFile, stdin: strings.NewReader(""), stdout: &out, stderr: &errs})
	return status, out.String(), errs.String()
}

// contains fails the test for each part that a text lacks.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]struct {
		status int
		stderr string
	}{
		"frobnicate":                           {2, `there is no command "frobnicate"`},
		"config --frobnicate":                  {2, "frobnicate"},
		"config --streem x":                    {2, "--stream"},
		"config extra":                         {2, `"extra" is not expected`},
		"generate":                             {2, "--template is missing"},
		"generate --count 1 --template x@fast": {2, "a number of records a second"},
		"generate --template x":                {2, "say how much"},
		"generate --template x --count 1 --start soon":                     {2, "RFC 3339"},
		"generate --template missing.kdg --count 1":                        {1, "missing.kdg"},
		"generate --template main.go --count 1 --inject spike@1s+1s":       {2, "need rates"},
		"generate --template main.go@1 --duration 1s --inject spike@1s+1s": {2, "after the end"},
		"generate --template main.go@1 --duration 1s --inject storm@1s+1s": {2, "spike, shift, silence, flood"},
		"generate --template main.go@1~2/1h --duration 1s":                 {2, "amplitude"},
		"redrive --stream s --bucket lake --code x":                        {2, "no_match"},
		"redrive --stream s --bucket lake --from soon":                     {2, "--from"},
		"backfill --out x":             {2, "give the files"},
		"backfill x":                   {2, "SLUICE_BUCKET"},
		"backfill --bucket lake x":     {2, "SLUICE_STREAM is missing"},
		"backfill --out x missing.log": {1, "missing.log"},
		"version --licence":            {2, "licence"},
		"version 2":                    {2, `"2" is not expected`},
	} {
		status, _, stderr := sluice(t, nil, strings.Fields(args)...)
		if status != want.status {
			t.Errorf("sluice %s: status %d; want %d:\n%s", args, status, want.status, stderr)
		}
		contains(t, stderr, want.stderr)
	}
	for _, args := range []string{"--from soon", "--to 2026", "--from 2026-01-31 --to 2026-01-30", "--from 9999-01-01", "--from"} {
		status, _, stderr := sluice(t, environ, append([]string{"audit"}, strings.Fields(args)...)...)
		if status != 2 {
			t.Errorf("sluice audit %s: status %d; want 2:\n%s", args, status, stderr)
		}
		contains(t, stderr, strings.Fields(args)[0])
	}
	if status, stdout, _ := sluice(t, nil, "--help"); status != 0 || !strings.Contains(stdout, "validate") {
		t.Errorf("--help: status %d, %s", status, stdout)
	}
	if status, stdout, _ := sluice(t, nil, "version"); status != 0 || !strings.HasPrefix(stdout, "sluice ") {
		t.Errorf("version: status %d, %s", status, stdout)
	}
}

// Every fault is told at once, also those that only the stages know of.
func TestInvalidConfiguration(t *testing.T) {
	environ := []string{"SLUICE_PREFIX=data/!{timestamp:yyyy-VV}/", "SLUICE_ERROR_PREFIX=errors/", "SLUICE_FLUSH_BYTES=many", "SLUICE_STREEM=x",
		"SLUICE_ANOMALY_DETECTORS=source", "SLUICE_ANOMALY_SOURCE_KIND=rate"}
	for _, command := range []string{"validate", "run", "audit"} {
		status, stdout, stderr := sluice(t, environ, command)
		if status != 78 || stdout != "" {
			t.Errorf("%s: status %d, standard output %q", command, status, stdout)
		}
		contains(t, stderr, "SLUICE_STREAM", "SLUICE_BUCKET", "SLUICE_PREFIX", "SLUICE_ERROR_PREFIX", "SLUICE_FLUSH_BYTES", "SLUICE_STREEM", "source", "without a key")
	}
	status, stdout, _ := sluice(t, []string{"SLUICE_STREAM=s", "SLUICE_BUCKET=bucket"}, "validate")
	if status != 0 || !strings.Contains(stdout, "valid") {
		t.Errorf("a valid configuration: status %d, %s", status, stdout)
	}
}

func TestConfig(t *testing.T) {
	_, stdout, _ := sluice(t, []string{"SLUICE_STREAM=payments"}, "config", "--flush-interval", "5m")
	contains(t, stdout, "stream: payments", "env", "flush_interval: 5m", "flag --flush-interval")
	_, stdout, _ = sluice(t, []string{"SLUICE_STREAM=payments"}, "config", "--env")
	contains(t, stdout, "SLUICE_STREAM=payments\n")
	_, stdout, _ = sluice(t, nil, "config", "--docs")
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if stdout != string(page) {
		t.Error("docs/configuration.md is stale: go run ./cmd/sluice config --docs > docs/configuration.md")
	}
}

func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	template := filepath.Join(dir, "payment.kdg")
	if err := os.WriteFile(template, []byte(`{"ip":"{{internet.ip}}","at":"{{date.utc}}"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"generate", "--template", template + "@10", "--duration", "3s", "--seed", "7", "--start", "2026-01-01T00:00:00Z"}
	_, first, stderr := sluice(t, nil, args...)
	if n := strings.Count(first, "\n"); n != 30 {
		t.Fatalf("3 s at 10 records a second gave %d lines: %s", n, stderr)
	}
	file := filepath.Join(dir, "out.json")
	if status, _, stderr := sluice(t, nil, append(args, "--to", file)...); status != 0 {
		t.Fatal(stderr)
	}
	if second, err := os.ReadFile(file); err != nil || string(second) != first {
		t.Errorf("the same seed and start give other bytes: %v", err)
	}
	labels := filepath.Join(dir, "labels.json")
	injected := append(args, "--inject", "spike@1s+500ms", "--inject", "silence@2026-01-01T00:00:02Z+1s", "--labels", labels, "--to", file)
	if status, _, stderr := sluice(t, nil, injected...); status != 0 {
		t.Fatal(stderr)
	}
	if text, err := os.ReadFile(file); err != nil || bytes.Count(text, []byte("\n")) != 10+50+5 {
		t.Errorf("with a spike and silence there are %d lines, %v; want 65", bytes.Count(text, []byte("\n")), err)
	}
	var windows map[string][][2]string
	text, err := os.ReadFile(labels)
	if err := errors.Join(err, json.Unmarshal(text, &windows)); err != nil {
		t.Fatal(err)
	}
	want := [][2]string{{"2026-01-01 00:00:01.000000", "2026-01-01 00:00:01.500000"}, {"2026-01-01 00:00:02.000000", "2026-01-01 00:00:03.000000"}}
	if !slices.Equal(windows["out.json"], want) {
		t.Errorf("the labels are %s", text)
	}
	if _, periodic, stderr := sluice(t, nil, "generate", "--template", template+"@10~10/4s", "--duration", "2s"); strings.Count(periodic, "\n") != 33 { // 20 and 10 x 4 / pi
		t.Errorf("the first half of a wave has %d lines: %s", strings.Count(periodic, "\n"), stderr)
	}
	if err := os.WriteFile(template, []byte("{{random.numbr(3)}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := sluice(t, nil, "generate", "--template", template, "--count", "1")
	if status != 1 {
		t.Errorf("a faulty template: status %d", status)
	}
	contains(t, stderr, "payment.kdg:1:3", "random.number")
}

// aws points the SDK at stand-ins, and S3 at a server that answers everything in the same way.
func aws(t *testing.T, s3 http.HandlerFunc) *kcltest.Server {
	t.Helper()
	server, err := kcltest.Start(kcltest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	bucket := httptest.NewServer(s3)
	t.Cleanup(bucket.Close)
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_ENDPOINT_URL_KINESIS": server.URL, "AWS_ENDPOINT_URL_DYNAMODB": server.URL, "AWS_ENDPOINT_URL_S3": bucket.URL,
	} {
		t.Setenv(name, value)
	}
	return server
}

var environ = []string{"SLUICE_STREAM=payments", "SLUICE_BUCKET=lake", "SLUICE_HTTP_ADDR=off", "SLUICE_SHUTDOWN_TIMEOUT=1s"}

// What is missing, forbidden or elsewhere is told at the start, by its name, with what to do.
func TestStartTellsWhatIsMissing(t *testing.T) {
	s3 := func(status int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
		}
	}
	for name, test := range map[string]struct {
		s3     http.HandlerFunc
		stderr []string
	}{
		"bucket missing":   {s3(404), []string{"lake", "correct the name"}},
		"bucket forbidden": {s3(403), []string{"lake", "s3:ListBucket"}},
		"wrong region":     {s3(301, "X-Amz-Bucket-Region", "eu-central-1"), []string{"lake", "eu-central-1", "AWS_REGION"}},
		"stream missing":   {s3(200), []string{"payments"}},
	} {
		t.Run(name, func(t *testing.T) {
			aws(t, test.s3)
			status, _, stderr := sluice(t, environ, "run")
			if status != 1 {
				t.Errorf("status %d; want 1", status)
			}
			contains(t, stderr, test.stderr...)
			status, _, stderr = sluice(t, environ, "validate", "--online")
			if status != 1 {
				t.Errorf("validate --online: status %d; want 1", status)
			}
			contains(t, stderr, test.stderr...)
		})
	}
}

// The catalog is looked at where a table is configured, and only then; what is wrong with the settings is told before.
func TestCatalogIsLookedAt(t *testing.T) {
	server := aws(t, func(http.ResponseWriter, *http.Request) {})
	call(t, server, "Kinesis_20131202.CreateStream", `{"StreamName":"payments","ShardCount":1}`)
	glue, err := gluetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer glue.Close()
	t.Setenv("AWS_ENDPOINT_URL_GLUE", glue.URL)
	if status, _, stderr := sluice(t, environ, "validate", "--online"); status != 0 || glue.Calls("GetDatabase") > 0 {
		t.Errorf("without a table: status %d, %s", status, stderr)
	}
	table := append(environ, "SLUICE_GLUE_DATABASE=lake", "SLUICE_GLUE_TABLE=orders")
	status, _, stderr := sluice(t, table, "validate", "--online")
	if status != 1 {
		t.Errorf("without the database: status %d", status)
	}
	contains(t, stderr, "there is no database lake", "us-east-1", "create-database", "SLUICE_GLUE_DATABASE")
	if err := glue.CreateDatabase(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := sluice(t, table, "validate", "--online"); status != 0 {
		t.Errorf("with the database: status %d, %s", status, stderr)
	}
	for want, settings := range map[string][]string{
		"or neither":                  {"SLUICE_GLUE_TABLE="},
		"a folder of their own":       {"SLUICE_PREFIX=dt=!{timestamp:yyyy}/"},
		"SLUICE_STATE_PREFIX lies in": {"SLUICE_STATE_PREFIX=data/state/"},
		"SLUICE_ERROR_PREFIX lies in": {"SLUICE_ERROR_PREFIX=data/!{firehose:error-output-type}/"},
	} {
		status, _, stderr := sluice(t, append(table, settings...), "validate")
		if status != exitConfig {
			t.Errorf("%s: status %d", settings, status)
		}
		contains(t, stderr, "SLUICE_GLUE_TABLE", want)
	}
}

func TestTableMissingOrOfAnotherShape(t *testing.T) {
	server := aws(t, func(w http.ResponseWriter, r *http.Request) {})
	call(t, server, "Kinesis_20131202.CreateStream", `{"StreamName":"payments","ShardCount":2}`)
	status, _, stderr := sluice(t, append(environ, "SLUICE_CREATE_TABLE=false"), "run")
	if status != 1 {
		t.Errorf("without a table: status %d", status)
	}
	contains(t, stderr, "table sluice does not exist", "SLUICE_CREATE_TABLE")
	call(t, server, "DynamoDB_20120810.CreateTable", `{"TableName":"sluice","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`)
	status, _, stderr = sluice(t, environ, "run")
	if status != 1 {
		t.Errorf("with another's table: status %d", status)
	}
	contains(t, stderr, "table sluice is not a lease table", "SLUICE_LEASE_TABLE")
}

func TestShards(t *testing.T) {
	server := aws(t, func(w http.ResponseWriter, r *http.Request) {})
	call(t, server, "Kinesis_20131202.CreateStream", `{"StreamName":"payments","ShardCount":1}`)
	call(t, server, "DynamoDB_20120810.CreateTable", `{"TableName":"sluice","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"leaseKey","AttributeType":"S"}],"KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}]}`)
	if status, stdout, stderr := sluice(t, environ, "shards", "--json"); status != 0 || strings.TrimSpace(stdout) != "[]" {
		t.Errorf("no shards: status %d, %s%s", status, stdout, stderr)
	}
	call(t, server, "DynamoDB_20120810.PutItem", fmt.Sprintf(`{"TableName":"sluice","Item":{"leaseKey":{"S":"shardId-000000000000"},"owner":{"S":"worker-1"},
		"epoch":{"N":"7"},"commitNo":{"N":"3"},"start":{"S":"TRIM_HORIZON"},"updated":{"S":%q}}}`, time.Now().UTC().Format(time.RFC3339)))
	status, stdout, stderr := sluice(t, environ, "shards", "--json")
	var list []map[string]any
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || status != 0 || len(list) != 1 {
		t.Fatalf("status %d, %v: %s%s", status, err, stdout, stderr)
	}
	if s := list[0]; s["owner"] != "worker-1" || s["epoch"] != 7.0 || s["commit"] != 3.0 || s["lag_seconds"] != 0.0 {
		t.Errorf("%v", s)
	}
	_, stdout, _ = sluice(t, environ, "shards")
	contains(t, stdout, "OWNER", "shardId-000000000000", "worker-1", "ago")
}

// Records go into a stream at their rate, under the keys that were asked for.
func TestGenerateIntoAStream(t *testing.T) {
	server := aws(t, func(w http.ResponseWriter, r *http.Request) {})
	call(t, server, "Kinesis_20131202.CreateStream", `{"StreamName":"payments","ShardCount":1}`)
	template := filepath.Join(t.TempDir(), "payment.kdg")
	if err := os.WriteFile(template, []byte(`{"customer":"c{{random.number({"min":1,"max":9})}}"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"--count 700", "--duration 300ms --partition-key customer"} {
		rate := ""
		if strings.Contains(args, "duration") {
			rate = "@1000"
		}
		begun := time.Now()
		status, _, stderr := sluice(t, nil, append([]string{"generate", "--template", template + rate, "--to", "kinesis:payments"}, strings.Fields(args)...)...)
		if status != 0 {
			t.Fatal(stderr)
		}
		if took := time.Since(begun); rate != "" && took < 250*time.Millisecond {
			t.Errorf("300 ms of records were put in %v", took)
		}
	}
	var iterator struct{ ShardIterator string }
	var answer struct {
		Records []struct {
			Data         []byte
			PartitionKey string
		}
	}
	for _, step := range []struct {
		target, body string
		out          any
	}{
		{"Kinesis_20131202.GetShardIterator", `{"StreamName":"payments","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`, &iterator},
		{"Kinesis_20131202.GetRecords", "", &answer},
	} {
		if step.body == "" {
			step.body = fmt.Sprintf(`{"ShardIterator":%q}`, iterator.ShardIterator)
		}
		if err := json.Unmarshal(call(t, server, step.target, step.body), step.out); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(answer.Records); n != 1000 {
		t.Fatalf("%d records are in the stream; want 700 by count, and 300 by duration", n)
	}
	last := answer.Records[999]
	if want := fmt.Sprintf(`{"customer":%q}`, last.PartitionKey); string(last.Data) != want {
		t.Errorf("the partition key of %s is %s", last.Data, last.PartitionKey)
	}
	status, _, stderr := sluice(t, nil, "generate", "--template", template, "--to", "kinesis:payments", "--count", "1", "--partition-key", "custmer")
	if status != 1 {
		t.Errorf("a partition key that records lack: status %d", status)
	}
	contains(t, stderr, `"custmer"`)
}

// call makes a request as the SDK does, and gives the answer.
func call(t *testing.T, server *kcltest.Server, target, body string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Amz-Target", target)
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	answer, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", target, answer.Status)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
