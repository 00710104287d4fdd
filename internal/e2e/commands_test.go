package e2e

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// block is a block of shell commands on a page for people, as it stands there.
type block struct{ page, text string }

func (b block) String() string { return b.page + ": " + strings.TrimSuffix(b.text, "\n") }

// fence is such a block. That all are marked in this way, internal/layout holds.
var fence = regexp.MustCompile("(?ms)^( *)```sh\n(.*?)^ *```$")

// blocks are those of all pages.
func blocks() (all []block, err error) {
	const root = "../../"
	pages := []string{root + "README.md"}
	for _, folder := range []string{"docs", ".github"} {
		more, err := filepath.Glob(root + folder + "/*.md")
		if err != nil {
			return nil, err
		}
		pages = append(pages, more...)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return nil, err
		}
		for _, found := range fence.FindAllSubmatch(text, -1) {
			lines := strings.ReplaceAll("\n"+string(found[2]), "\n"+string(found[1]), "\n") // in a list it is indented
			all = append(all, block{strings.TrimPrefix(page, root), lines[1:]})
		}
	}
	return all, nil
}

// typed are the blocks that a test has typed into a shell, and that did there what the page says.
var typed struct {
	sync.Mutex
	blocks []block
}

// elsewhere are the blocks that tests of other modules take from their page, by the page and how they begin: for each the test, and
// what it does with the block, since it needs what no machine of ours has.
var elsewhere = []struct{ page, begins, test, how string }{
	{"docs/deploy-kubernetes.md", "aws eks create-pod-identity-association", "internal/deploytest/k8s: TestPage", "Debian's CLI is too old for it; the account that it names is the chart's"},
	{"docs/deploy-kubernetes.md", "helm lint", "internal/deploytest/k8s: TestPage", "by Helm's own packages, without a cluster"},
	{"docs/deploy-kubernetes.md", "kubectl apply", "internal/deploytest/k8s: TestPage", "the overlay is built by kustomize's packages"},
	{"docs/deploy-kubernetes.md", "helm upgrade sluice deploy/helm/sluice --namespace ingest --values orders.yaml --set image.tag", "internal/deploytest/k8s: TestPage", "by Helm's own packages, without a cluster"},
	{"docs/deploy-kubernetes.md", "helm upgrade sluice deploy/helm/sluice --namespace ingest --values orders.yaml \\\n", "internal/deploytest/k8s: TestPage", "by Helm's own packages, without a cluster"},
	{"docs/deploy-kubernetes.md", "helm upgrade sluice deploy/helm/sluice --namespace ingest --values orders.yaml --set podMonitor", "internal/deploytest/k8s: TestPage", "by Helm's own packages, without a cluster"},
	{"docs/deploy-kubernetes.md", "kubectl --namespace ingest port-forward", "internal/deploytest/k8s: TestPage", "what it names is made by the chart"},
	{"docs/ecs.md", "docker build", "internal/deploytest/image: TestImage", "buildah takes the place of docker"},
	{"docs/anomalies.md", "sluice generate --template internal/kdg", "cmd/sluice: TestBacktestExample", "as it stands"},
	{"docs/security.md", "go run github.com/CycloneDX", "internal/deploytest/binary: TestSBOM", "as it stands"},
}

// never are the blocks that no test runs, and why.
var never = []struct{ page, begins, why string }{
	{"docs/status-page.md", "go test ./internal/status", "a measurement of minutes, of which a machine that does other things learns nothing; the code is built by go vet"},
	{"docs/costs.md", "GOWORK=off go -C internal/e2e test", "a measurement of minutes, too, which needs the machine for itself"},
}

// commandsRun holds at the end of the suite that every block was typed, is in .ci/run line for line, or stands on one of the lists.
func commandsRun() error {
	all, err := blocks()
	if err != nil {
		return err
	}
	script, err := os.ReadFile("../../.ci/run")
	if err != nil {
		return err
	}
	errs := []error{waysOf(all, typed.blocks, strings.Split(string(script), "\n"))}
	for _, e := range elsewhere {
		errs = append(errs, reads(e.test, e.page))
	}
	return errors.Join(errs...)
}

// waysOf holds that each block is run in one way, or not for one reason, and that the lists name nothing that is not there.
func waysOf(all, typed []block, steps []string) error {
	var errs []error
	listed := map[block]int{} // how many blocks an entry of the lists stands for
	for _, e := range elsewhere {
		listed[block{e.page, e.begins}] = 0
	}
	for _, n := range never {
		listed[block{n.page, n.begins}] = 0
	}
	for _, b := range all {
		ways := 0
		if slices.Contains(typed, b) {
			ways++
		}
		if lines := strings.Split(strings.TrimSuffix(b.text, "\n"), "\n"); !slices.ContainsFunc(lines, func(line string) bool { return !slices.Contains(steps, line) }) {
			ways++
		}
		for entry := range listed {
			if b.page == entry.page && strings.HasPrefix(b.text, entry.text) {
				listed[entry]++
				ways++
			}
		}
		if ways != 1 {
			errs = append(errs, fmt.Errorf("want one way in which these commands are run, or a reason why they are not; there are %d: %v", ways, b))
		}
	}
	for entry, n := range listed {
		if n != 1 {
			errs = append(errs, fmt.Errorf("%s has %d blocks of commands that begin with %s; its entry is for one", entry.page, n, entry.text))
		}
	}
	return errors.Join(errs...)
}

// reads holds that a test is there, in a folder whose tests read the page.
func reads(test, page string) error {
	folder, name, _ := strings.Cut(test, ": ")
	files, err := filepath.Glob("../../" + folder + "/*_test.go")
	if err != nil {
		return err
	}
	there, read := false, false
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		there = there || bytes.Contains(text, []byte("func "+name+"(t *testing.T)"))
		read = read || bytes.Contains(text, []byte("/"+page+`"`))
	}
	if !there || !read {
		return fmt.Errorf("no test %s reads %s (there: %t, read: %t)", test, page, there, read)
	}
	return nil
}

// typist types blocks into a shell, in a folder.
type typist struct {
	folder string
	env    []string // beside PATH, on which the command is
}

// find gives the block of a page that begins in this way.
func find(t *testing.T, page, begins string) block {
	t.Helper()
	all, err := blocks()
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(b block) bool { return b.page != page || !strings.HasPrefix(b.text, begins) })
	if len(all) != 1 {
		t.Fatalf("%s has %d blocks of commands that begin with %s", page, len(all), begins)
	}
	return all[0]
}

// start types a block. Swaps are pairs of what stands for something of the reader's, and what it is here.
func (p typist) start(t *testing.T, b block, swaps ...string) *process.Process {
	t.Helper()
	text := b.text
	for pair := range slices.Chunk(swaps, 2) {
		if !strings.Contains(text, pair[0]) {
			t.Fatalf("%v has no %q", b, pair[0])
		}
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return launch(t, process.Spec{Name: b.page, Path: "/bin/sh", Args: []string{"-ec", "cd \"$0\"\n" + text, p.folder},
		Env: append([]string{"PATH=" + binaries + ":" + filepath.Dir(awscli) + ":" + os.Getenv("PATH")}, p.env...)})
}

// run types a block, waits for its end, and gives what it prints.
func (p typist) run(t *testing.T, b block, swaps ...string) string {
	t.Helper()
	shell := p.start(t, b, swaps...)
	wait(t, shell, 10*time.Minute) // go run compiles
	b.done()
	return shell.Stdout.String()
}

// serve types a block whose last command is the service, and stops it once something has come true.
func (p typist) serve(t *testing.T, b block, what string, done func() bool) {
	t.Helper()
	command := "sluice run"
	if strings.Contains(b.text, "./"+command) {
		command = "./" + command // of a reader who has built it
	}
	shell := p.start(t, b, command, "exec "+command) // signals are for it
	eventually(t, 3*time.Minute, what, []*process.Process{shell}, done)
	terminate(t, shell)
	b.done()
}

func (b block) done() {
	typed.Lock()
	defer typed.Unlock()
	typed.blocks = append(typed.blocks, b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// zipped replaces a file by its gzip.
func zipped(t *testing.T, path, to string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err = z.Write(text)
	if err := cmp.Or(err, z.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	write(t, to, out.String())
}

// has fails the test for each part that a command has not printed.
func has(t *testing.T, b block, printed string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(printed, part) {
			t.Errorf("%v\nprints no %q:\n%s", b, part, printed)
		}
	}
}

// What the check at the end of the suite finds.
func TestWaysOf(t *testing.T) {
	all, err := blocks()
	if err != nil {
		t.Fatal(err)
	}
	var whole []block // all that is not on a list
	for _, b := range all {
		if strings.Contains(waysOf([]block{b}, nil, nil).Error(), b.String()) {
			whole = append(whole, b)
		}
	}
	if err := waysOf(all, whole, nil); err != nil || len(whole) < 10 || len(whole) == len(all) {
		t.Fatalf("with all %d of %d blocks typed: %v", len(whole), len(all), err)
	}
	last := whole[len(whole)-1]
	for name, err := range map[string]error{
		"a block that nobody types":      waysOf(all, whole[:len(whole)-1], nil),
		"one of which a word is changed": waysOf(append(slices.Clone(all), block{last.page, last.text + "true\n"}), whole, nil),
		"one of which .ci/run has half":  waysOf(append(slices.Clone(all), block{"README.md", "go vet ./...\ngo fix ./...\n"}), whole, []string{"go vet ./..."}),
		"one that is run and excused":    waysOf(all, all, nil),
		"an entry for nothing":           waysOf(whole, whole, nil),
	} {
		if err == nil {
			t.Errorf("%s is not found", name)
		}
	}
	if err := waysOf(append(slices.Clone(all), block{"README.md", "go vet ./...\n"}), whole, []string{"set -eu", "go vet ./..."}); err != nil {
		t.Errorf("a block of .ci/run: %v", err)
	}
	for _, wrong := range [][2]string{{"internal/deploytest/image: TestNothing", "docs/ecs.md"}, {"internal/deploytest/image: TestImage", "docs/alerts.md"}, {"internal/nowhere: TestImage", "docs/ecs.md"}} {
		if reads(wrong[0], wrong[1]) == nil {
			t.Errorf("%s is said to read %s", wrong[0], wrong[1])
		}
	}
}

// TestCommands types what the pages have a reader type, on stand-ins for AWS.
func TestCommands(t *testing.T) {
	t.Parallel()
	const key, secret = "PAGES001", "a-secret-of-the-pages"
	y := newYard(t, 2)
	in := typist{t.TempDir(), slices.Concat(environment(y.World), []string{"SLUICE_HTTP_ADDR=" + address(t), "SLUICE_FLUSH_INTERVAL=500ms", "SLUICE_FAILOVER_TIME=3s"})}
	with := func(settings ...string) typist { return typist{in.folder, slices.Concat(in.env, settings)} }
	at := func(name string) string { return filepath.Join(in.folder, name) }
	objects := func(pattern string) int { // the files of the bucket with such names
		found, err := filepath.Glob(filepath.Join(y.Bucket, pattern))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	lines := func(name string) int {
		text, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(text, []byte("\n"))
	}
	records := make([]world.Record, 200)
	for i := range records {
		source := fmt.Sprintf("10.0.0.%d", i%100)
		if i >= 150 {
			source = "221.233.116.256"
		}
		records[i] = recordOf(source, fmt.Sprintf(`{"sourceip":"%s","amount":%d}`, source, i))
	}
	put(t, y.producer, records)

	// The rows of the first are those over which thresholds are tried.
	detectors := find(t, "docs/configuration.md", "sluice run --anomaly-detectors source_rate")
	const november = "data/ingest_year=2026/ingest_month=11/"
	with("SLUICE_PREFIX="+november).serve(t, detectors, "rows are visible", func() bool { return y.count(t) >= len(records) })
	past := find(t, "docs/anomalies.md", "SLUICE_ANOMALY_SOURCE_RATE_THRESHOLD=0.9 sluice backtest s3://lake/")
	has(t, past, with("SLUICE_ANOMALY_DETECTORS=source_rate", "SLUICE_ANOMALY_SOURCE_RATE_KIND=rate", "SLUICE_ANOMALY_SOURCE_RATE_KEY=sourceip").run(t, past),
		"200 rows of 2 shards", "  *\n", "flagged when they were written: ")
	table := find(t, "docs/schema.md", "sluice schema --athena")
	has(t, table, in.run(t, table), "CREATE EXTERNAL TABLE", "`amount` bigint", "'projection.enabled'")

	again := find(t, "docs/operations.md", "SLUICE_APP=again")
	in.serve(t, again, "rows are visible again", func() bool { return y.count(t) >= 2*len(records) })
	if objects("again/dt=*/*.parquet") == 0 {
		t.Errorf("%v\nwrites no file into the new prefix", again)
	}

	// Records in a format that is not theirs, to be sent again.
	wrong := y.run(t, "wrong", "SLUICE_APP=wrong", "SLUICE_FORMAT=apache")
	eventually(t, time.Minute, "rejects are visible", []*process.Process{wrong.Process}, func() bool { return y.count(t) >= 3*len(records) })
	terminate(t, wrong.Process)
	redrive := find(t, "docs/backfill.md", "sluice redrive")
	has(t, redrive, in.run(t, redrive), "no_match", "200")

	for i, name := range []string{"logs/access.log.1", "logs/access.log.2", "logs/access.log", "old"} {
		write(t, at(name), "")
		writeLog(t, at(name), uint64(i), 500)
	}
	zipped(t, at("logs/access.log.1"), at("logs/access.log.1.gz"))
	zipped(t, at("logs/access.log.2"), at("logs/access.log.2.gz"))
	zipped(t, at("old"), at("old.gz"))
	backfill := find(t, "docs/backfill.md", "export SLUICE_FORMAT=apache")
	with("SLUICE_APP=logs").run(t, backfill)
	if n := objects("data/dt=*/weblog-backfill-*.parquet"); n < 2 {
		t.Errorf("%v\nleaves %d files in the bucket", backfill, n)
	}
	if found, err := filepath.Glob(at("rows/data/dt=*/*.parquet")); err != nil || len(found) < 2 {
		t.Errorf("%v\nleaves %q in the folder, %v", backfill, found, err)
	}

	var series strings.Builder
	series.WriteString("timestamp,value\n")
	for n := range 300 {
		fmt.Fprintf(&series, "%s,%d\n", time.Unix(1_700_000_000+int64(n)*60, 0).UTC().Format(time.DateTime), 100+n%7+n/290*900)
	}
	write(t, at("FOLDER/a.csv"), series.String())
	write(t, at("labels.json"), `{"a.csv": [["2023-11-15 02:30:00.000000", "2023-11-15 03:30:00.000000"]]}`)
	folder := find(t, "docs/anomalies.md", "sluice backtest FOLDER")
	has(t, folder, in.run(t, folder), "precision", "recall")
	if n := lines("RESULTS/a.csv"); n != 301 {
		t.Errorf("%v\nwrites %d lines", folder, n)
	}

	write(t, at("keys"), key+" "+secret)
	intake, profiles := address(t), address(t)
	service := y.run(t, "intake", "SLUICE_APP=intake", "SLUICE_FORMAT=raw", "SLUICE_INTAKE_ADDR="+intake, "SLUICE_INTAKE_STREAM=clicks",
		"SLUICE_INTAKE_KEYS_FILE="+at("keys"), "SLUICE_PPROF_ADDR="+profiles)
	service.ready(t)
	producer := with("AWS_ENDPOINT_URL_FIREHOSE=http://"+intake, "AWS_DEFAULT_REGION="+s3gw.Region, "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret)
	for name, template := range map[string]string{"payment.kdg": "transaction-normal.kdg", "weblog.kdg": "access-log.kdg"} {
		text, err := os.ReadFile("../kdg/" + template)
		if err != nil {
			t.Fatal(err)
		}
		write(t, at(name), string(text))
	}
	if _, err := y.Kinesis.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("payments"), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	var side sync.WaitGroup
	side.Go(func() { // both take their time
		profile := find(t, "docs/operations.md", "go tool pprof -top -seconds")
		here := typist{in.folder, []string{"HOME=" + os.Getenv("HOME"), "PPROF_TMPDIR=" + in.folder}}
		has(t, profile, here.run(t, profile, "127.0.0.1:6060", profiles), "Type: cpu", "Type: inuse_space")
	})
	generate := find(t, "docs/generate.md", "sluice generate")
	producer.run(t, generate)
	side.Wait()
	if n := lines("access.log"); n < 100_000 {
		t.Errorf("%v\nwrites %d lines", generate, n)
	}
	if text, err := os.ReadFile(at("windows.json")); err != nil || !bytes.Contains(text, []byte(`"firehose:clicks": [`)) {
		t.Errorf("%v\nwrites the labels %s, %v", generate, text, err)
	}
	eventually(t, time.Minute, "the service has what was put, what was sent again, and 600 requests of the log", []*process.Process{service.Process},
		func() bool { return service.metric(t, "sluice_records_received_total") >= float64(2*len(records)+600) })
	if _, err := os.Stat(awscli); err != nil {
		t.Skip("Debian's package awscli is installed by .ci/run")
	}
	one := find(t, "docs/direct-put.md", "aws firehose")
	has(t, one, producer.run(t, one, "https://intake.example", "http://"+intake), `"RecordId"`)
	terminate(t, service.Process)
}

// TestCommandsForAWS has the AWS CLI take the commands for services that nothing here stands in for: it holds them against AWS's own
// models, and what it would ask of AWS is looked at.
func TestCommandsForAWS(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(awscli); err != nil {
		t.Skip("Debian's package awscli is installed by .ci/run")
	}
	var mu sync.Mutex
	var asked []string
	exists := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		form, _ := url.ParseQuery(string(body)) // of CloudFormation; others send JSON
		action := form.Get("Action")
		if action == "" {
			asked = append(asked, r.Header.Get("X-Amz-Target")+" "+r.URL.Path+" "+string(body))
			_, _ = io.WriteString(w, "{}")
			return
		}
		asked = append(asked, action+" "+form.Get("TemplateBody"))
		answer := ""
		switch action {
		case "DescribeStacks":
			if !exists {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, "<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id sluice does not exist</Message></Error></ErrorResponse>")
				return
			}
			answer = "<Stacks><member><StackName>sluice</StackName><StackStatus>CREATE_COMPLETE</StackStatus></member></Stacks>"
		case "CreateChangeSet":
			answer = "<Id>arn:aws:cloudformation:eu-central-1:123456789012:changeSet/sluice/1</Id><StackId>sluice</StackId>"
		case "DescribeChangeSet":
			answer = "<Status>CREATE_COMPLETE</Status>"
		case "ExecuteChangeSet":
			exists = true
		}
		fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", action, answer)
	}))
	t.Cleanup(server.Close)
	template, err := os.ReadFile("../../deploy/ecs/sluice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Debian's older versions take no endpoint from the environment.
	wrapper := t.TempDir()
	if err := os.WriteFile(filepath.Join(wrapper, "aws"), []byte("#!/bin/sh\nexec "+awscli+" --endpoint-url "+server.URL+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	in := typist{"../..", []string{"PATH=" + wrapper + ":" + os.Getenv("PATH"), "AWS_DEFAULT_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_PAGER="}}
	for _, c := range []struct {
		page, begins string
		want         []string // beginnings of what is asked, in order
	}{
		{"docs/ecs.md", "aws cloudformation deploy", []string{"DescribeStacks ", "CreateChangeSet " + string(template), "DescribeChangeSet ", "ExecuteChangeSet ", "DescribeStacks "}},
		{"docs/ecs.md", "aws ecs update-service", []string{`AmazonEC2ContainerServiceV20141113.UpdateService / {"cluster": "CLUSTER", "service": "SERVICE", "forceNewDeployment": true}`}},
		{"docs/runbook.md", "aws kinesis", []string{`Kinesis_20131202.IncreaseStreamRetentionPeriod / {"StreamName": "STREAM", "RetentionPeriodHours": 168}`}},
	} {
		mu.Lock()
		asked = nil
		mu.Unlock()
		b := find(t, c.page, c.begins)
		in.run(t, b)
		mu.Lock()
		same := slices.EqualFunc(asked, c.want, strings.HasPrefix)
		if !same {
			t.Errorf("%v\nasks AWS for\n%q; want\n%q", b, asked, c.want)
		}
		mu.Unlock()
	}
}
