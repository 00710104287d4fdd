package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

var update = flag.Bool("update", false, "write what the tests see into testdata and the reference")

// variables of the environment in which the files of testdata are read.
var fileEnviron = []string{"NAME=tickets", "EMPTY=", "LEASES=7"}

func compareFile(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update writes it):\n%s", name, got)
	}
}

// withoutDefaults leaves of the effective configuration what was set.
func withoutDefaults(yaml string) string {
	var out strings.Builder
	for line := range strings.Lines(yaml) {
		if !strings.Contains(line, "# default") {
			out.WriteString(line)
		}
	}
	return out.String()
}

func testdata(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: no files (%v)", pattern, err)
	}
	return names
}

func TestGoodFiles(t *testing.T) {
	for _, name := range testdata(t, "testdata/good/*.yaml") {
		c, err := Load([]string{"--config", name}, fileEnviron, os.ReadFile, Require())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		compareFile(t, strings.TrimSuffix(name, ".yaml")+".want", withoutDefaults(string(c.YAML())))
	}
}

func TestBadFiles(t *testing.T) {
	for _, name := range testdata(t, "testdata/bad/*.yaml") {
		_, err := Load([]string{"--config", name}, fileEnviron, os.ReadFile, Require())
		if err == nil {
			t.Errorf("%s: no fault found", name)
			continue
		}
		compareFile(t, strings.TrimSuffix(name, ".yaml")+".faults", err.Error()+"\n")
	}
}

func noFile(name string) ([]byte, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func load(t *testing.T, args, environ []string, options ...Option) *Config {
	t.Helper()
	c, err := Load(args, environ, noFile, append([]Option{Default("STREAM", "tickets"), Default("BUCKET", "tickets")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func faults(t *testing.T, args, environ []string, options ...Option) Faults {
	t.Helper()
	_, err := Load(args, environ, noFile, append([]Option{Default("STREAM", "tickets"), Default("BUCKET", "tickets")}, options...)...)
	if err == nil {
		return nil
	}
	var f Faults
	if !errors.As(err, &f) {
		t.Fatalf("want Faults, got %T: %v", err, err)
	}
	return f
}

func TestFields(t *testing.T) {
	c, err := Load([]string{"--config", "testdata/good/full.yaml"}, nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	zero, twenty := 0.0, int64(20)
	start := c.Start
	want := &Config{
		Stream: "arn:aws:kinesis:eu-central-1:123456789012:stream/tickets", App: "tickets-etl", LeaseTable: "tickets-leases",
		Start: start, WorkerID: "worker-1", MaxLeases: 4, FailoverTime: 90 * time.Second, ShutdownTimeout: 25 * time.Second,
		TimeColumn: "paid_at", TimeFormat: "yyyy-MM-dd HH:mm:ss", PartitionTime: "event", MaxSkew: time.Hour,
		AlertTopic: "arn:aws:sns:eu-central-1:123456789012:alerts", AlertWebhook: "https://hooks.example.com/sluice?token=hush",
		AlertSecret: "0123456789abcdef0123456789abcdef", AlertQuiet: 10 * time.Minute, AlertMost: 5,
		Format: "json", ApacheLogFormat: `%h %l %u %t "%r" %>s %b`, ApacheTypes: "string", Schema: "detect", Nested: "json",
		Enrich: `network(ip), where($env["in"] == "$5" or true)`, GeoIPDatabases: []string{"/city.mmdb", "/asn.mmdb"}, HashKeyFile: "/key",
		Bucket: "my.tickets-1", KMSKey: "alias/tickets",
		Prefix: "TicketTransactionStreamingData/ingest_year=!{timestamp:yyyy}/", ErrorPrefix: "rejects/", StatePrefix: "state/",
		Timezone: zone, Output: "parquet", Compression: "none", FlushBytes: 8 << 20, FlushInterval: 5 * time.Minute, MemoryLimit: 1e9,
		GlueDatabase: "lake", GlueTable: "tickets_2",
		Detectors: []Detector{
			{Name: "source_rate", Kind: "rate", Key: []string{"sourceip", "transactiontype"}, Window: 10 * time.Minute,
				Threshold: &zero, MinCount: &twenty, MaxKeys: 5000, Baseline: "both", Scope: "shard", Metric: "user", Expression: "a > b"},
			{Name: "all", Kind: "rate", Window: 5 * time.Minute, MaxKeys: 100000, Baseline: "population", Scope: "shard"},
		},
		IntakeAddr: ":9465", IntakeStream: "tickets-delivery", IntakeKeysFile: "/etc/sluice/keys",
		HTTPAddr: "[::1]:0", PprofAddr: "[::1]:6060", Status: false, StatusKeys: false, Log: "text", LogLevel: "warn", AllowInsecureEndpoints: true,
		settings: c.settings,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if start.Position != AtTimestamp || !start.Time.Equal(time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("start: %+v", start)
	}
	if c.StreamName() != "tickets" || c.StreamARN() != c.Stream {
		t.Errorf("stream: %s, %s", c.StreamName(), c.StreamARN())
	}
}

func TestDefaults(t *testing.T) {
	c, err := Load(nil, []string{"SLUICE_STREAM=tickets", "SLUICE_BUCKET=tickets", "SLUICE_APP=lab"}, noFile)
	if err != nil {
		t.Fatal(err)
	}
	if c.LeaseTable != "lab" || !c.CreateTable || c.Start.Position != TrimHorizon || c.FlushBytes != 64<<20 ||
		c.FlushInterval != time.Minute || c.Timezone != time.UTC || c.HTTPAddr != "127.0.0.1:9464" || c.Detectors != nil {
		t.Errorf("%+v", c)
	}
	if c.StreamName() != "tickets" || c.StreamARN() != "" {
		t.Errorf("stream: %s, %s", c.StreamName(), c.StreamARN())
	}
	if c.MemoryLimit < 16<<20 {
		t.Errorf("memory limit: %d", c.MemoryLimit)
	}
	if other := load(t, nil, nil); other.WorkerID == c.WorkerID || c.WorkerID == "" {
		t.Errorf("two workers are called %q", c.WorkerID)
	}
}

// Lines are compressed as Firehose does, and Parquet files better, unless something is said.
func TestCompressionFollowsOutput(t *testing.T) {
	for env, want := range map[string]string{
		"SLUICE_APP=orders": "zstd", "SLUICE_OUTPUT=parquet": "zstd", "SLUICE_OUTPUT=json": "gzip", "SLUICE_OUTPUT=raw": "gzip",
		"SLUICE_COMPRESSION=none": "none",
	} {
		if c := load(t, nil, []string{env}); c.Compression != want {
			t.Errorf("%s: the compression is %s; want %s", env, c.Compression, want)
		}
	}
}

// The strongest source that gives a value wins, whatever the others give.
func TestPrecedence(t *testing.T) {
	files := map[string]string{"f.yaml": "app: from-file\n", "g.yaml": "app: other-file\n", "empty.yaml": "app:\n"}
	readFile := func(name string) ([]byte, error) {
		if content, ok := files[name]; ok {
			return []byte(content), nil
		}
		return noFile(name)
	}
	for _, tt := range []struct {
		args, environ []string
		app, source   string
	}{
		{nil, nil, "by-default", "default"},
		{[]string{"--config=f.yaml"}, nil, "from-file", "file f.yaml:1"},
		{nil, []string{"SLUICE_CONFIG=f.yaml"}, "from-file", "file f.yaml:1"},
		{[]string{"--config", "g.yaml"}, []string{"SLUICE_CONFIG=f.yaml"}, "other-file", "file g.yaml:1"},
		{nil, []string{"SLUICE_CONFIG=f.yaml", "SLUICE_APP=from-env"}, "from-env", "env"},
		{nil, []string{"SLUICE_CONFIG=f.yaml", "SLUICE_APP="}, "from-file", "file f.yaml:1"},
		{nil, []string{"SLUICE_CONFIG=empty.yaml"}, "by-default", "default"},
		{[]string{"--app", "from-flag"}, []string{"SLUICE_CONFIG=f.yaml", "SLUICE_APP=from-env"}, "from-flag", "flag --app"},
		{[]string{"-app=first", "-app=last"}, []string{"SLUICE_APP=from-env"}, "last", "flag --app"},
	} {
		c, err := Load(tt.args, tt.environ, readFile, Require(), Default("APP", "by-default"))
		if err != nil {
			t.Errorf("%v %v: %v", tt.args, tt.environ, err)
			continue
		}
		if c.App != tt.app || c.settings["APP"].source != tt.source {
			t.Errorf("%v %v: %s from %s, want %s from %s", tt.args, tt.environ, c.App, c.settings["APP"].source, tt.app, tt.source)
		}
	}
}

func TestRequired(t *testing.T) {
	_, err := Load(nil, nil, noFile)
	want := `SLUICE_STREAM: required; set it in the environment, as stream in the file, or with --stream
SLUICE_BUCKET: required; set it in the environment, as bucket in the file, or with --bucket`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v", err)
	}
	if _, err := Load([]string{"--stream=tickets"}, nil, noFile, Require("STREAM")); err != nil {
		t.Error(err)
	}
}

func TestEnvironmentNames(t *testing.T) {
	f := faults(t, nil, []string{
		"SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_SERVICE_PORT_HTTP=80", "SLUICE_PORT=tcp://10.0.0.1:80",
		"SLUICE_PORT_80_TCP_ADDR=10.0.0.1", // all of these are Kubernetes'
		"SLUICE_FLUSH_BYTS=hush-hush",
		"SLUICE_PORTAL=1",
		"SLUICE_XYZZYXYZZY=1",
		"SLUICE_ANOMALY_DETECTORS=logins",
		"SLUICE_ANOMALY_LOGINS_KIND=rate",
		"SLUICE_ANOMALY_LOGINS_WINDW=5m",
		"SLUICE_ANOMALY_LOGIN_WINDOW=5m",
		"SLUICE_CONFIG=missing.yaml",
	})
	want := `SLUICE_CONFIG: cannot read the file: open missing.yaml: file does not exist
SLUICE_ANOMALY_LOGINS_WINDW: there is no such setting; the nearest is SLUICE_ANOMALY_LOGINS_WINDOW
SLUICE_ANOMALY_LOGIN_WINDOW: no detector is called login in SLUICE_ANOMALY_DETECTORS; the nearest is SLUICE_ANOMALY_LOGINS_WINDOW
SLUICE_FLUSH_BYTS: there is no such setting; the nearest is SLUICE_FLUSH_BYTES
SLUICE_PORTAL: there is no such setting; the nearest is SLUICE_FORMAT
SLUICE_XYZZYXYZZY: there is no such setting; the nearest is SLUICE_KMS_KEY`
	if got := f.Error(); got != want {
		t.Errorf("got:\n%s", got)
	}
}

// Every setting has its three names, and each gives the same value.
func TestEverySettingHasAllNames(t *testing.T) {
	c, err := Load([]string{"--config", "testdata/good/full.yaml"}, nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	var args, environ []string
	for line := range strings.Lines(string(c.Env())) {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, envPrefix)), "=")
		if strings.Trim(value, "'") == hidden {
			value = c.settings[name].text
		}
		args, environ = append(args, "--"+flagName(name)+"="+value), append(environ, envPrefix+name+"="+value)
	}
	file := string(c.YAML())
	for _, k := range keys() {
		if k.secret {
			name := strings.ToLower(k.name)
			file = strings.Replace(file, name+": '"+hidden+"'", name+": "+c.settings[k.name].text, 1)
		}
	}
	if given, all := len(args), len(keys())-1+len(detectorKeys())*2-5; given != all { // CONFIG; five that `all` leaves unset
		t.Errorf("the file and the variables hold %d settings, there are %d", given, all)
	}
	byFlag, err := Load(args, nil, noFile)
	if err != nil {
		t.Fatal(err)
	}
	byEnv, err := Load(nil, environ, noFile)
	if err != nil {
		t.Fatal(err)
	}
	byFile, err := Load([]string{"--config=x"}, nil, func(string) ([]byte, error) { return []byte(file), nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []*Config{byFlag, byEnv, byFile} {
		other.settings = c.settings
		if !reflect.DeepEqual(c, other) {
			t.Errorf("got  %+v\nwant %+v", other, c)
		}
	}
}

func TestDetectorsOfSeveralSources(t *testing.T) {
	file := func(string) ([]byte, error) {
		return []byte("anomaly: {detectors: {rate: {kind: rate, window: 1m}, rate_min: {kind: rate, window: 2m}}}"), nil
	}
	c, err := Load([]string{"--config=f", "--anomaly-rate-min-window", "3m"}, []string{"SLUICE_ANOMALY_RATE_MIN_COUNT=5"}, file, Require())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Detectors) != 2 || *c.Detectors[0].MinCount != 5 || c.Detectors[0].Window != time.Minute ||
		c.Detectors[1].MinCount != nil || c.Detectors[1].Window != 3*time.Minute {
		t.Errorf("%+v", c.Detectors)
	}
	// The strongest list says which run; what is said about the others is no fault.
	c, err = Load([]string{"--config=f", "--anomaly-detectors", "rate_min, own", "--anomaly-own-kind=rate"},
		[]string{"SLUICE_ANOMALY_RATE_WINDOW=7m"}, file, Require())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Detectors) != 2 || c.Detectors[0].Name != "rate_min" || c.Detectors[1].Name != "own" {
		t.Errorf("%+v", c.Detectors)
	}
	if f := faults(t, nil, []string{"SLUICE_ANOMALY_DETECTORS=a,,a,B", "SLUICE_ANOMALY_A_KIND=rate"}); len(f) != 3 {
		t.Errorf("want an empty name, one twice and one in upper case, got:\n%v", f)
	}
}

func TestFaultOfCaller(t *testing.T) {
	c := load(t, []string{"--prefix=x"}, []string{"SLUICE_ERROR_PREFIX=y"})
	all := Faults{c.Fault("PREFIX", "is bad"), c.Fault("ERROR_PREFIX", "is bad"), c.Fault("STATE_PREFIX", "is bad")}
	want := "SLUICE_PREFIX (flag --prefix): is bad\nSLUICE_ERROR_PREFIX: is bad\nSLUICE_STATE_PREFIX (default): is bad"
	if all.Error() != want {
		t.Errorf("got:\n%v", all)
	}
	if all.Usage() || Faults(nil).Err() != nil || !slices.Equal(all.Err().(Faults), all) {
		t.Error("Usage or Err")
	}
}

// A faulty configuration is still given as far as it goes, for the caller's own checks.
func TestConfigBesideFaults(t *testing.T) {
	c, err := Load([]string{"--flush-bytes=x", "--prefix=x/"}, nil, noFile)
	if err == nil || c == nil || c.Prefix != "x/" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestReferenceIsCurrent(t *testing.T) {
	compareFile(t, "../../docs/configuration.md", string(Docs()))
}

func TestUsageNamesEveryFlag(t *testing.T) {
	usage := Usage()
	for _, k := range keys() {
		if !strings.Contains(usage, "--"+flagName(k.name)+"\n") {
			t.Errorf("%s is missing", k.name)
		}
	}
}
