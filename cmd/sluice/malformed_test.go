package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A configuration that cannot be meant is refused before anything starts, by the name of what is wrong, and without showing
// what may be a secret.
func TestMalformedConfiguration(t *testing.T) {
	const secret = "hunter2"
	for setting, key := range map[string]string{
		"SLUICE_FLUSH_BYTES=99999999999999999999GiB":                "SLUICE_FLUSH_BYTES",
		"SLUICE_FLUSH_BYTES=-1":                                     "SLUICE_FLUSH_BYTES",
		"SLUICE_MEMORY_LIMIT=1B":                                    "SLUICE_MEMORY_LIMIT",
		"SLUICE_MEMORY_LIMIT=8EiB":                                  "SLUICE_MEMORY_LIMIT",
		"SLUICE_FAILOVER_TIME=2540400h10m10s":                       "SLUICE_FAILOVER_TIME",
		"SLUICE_MAX_LEASES=99999999999999999999":                    "SLUICE_MAX_LEASES",
		"SLUICE_BUCKET=s3://../":                                    "SLUICE_BUCKET",
		"SLUICE_BUCKET=../lake":                                     "SLUICE_BUCKET",
		"SLUICE_PREFIX=../other/":                                   "SLUICE_PREFIX",
		"SLUICE_PREFIX=data/\n/":                                    "SLUICE_PREFIX",
		"SLUICE_STATE_PREFIX=_sluice/../data/":                      "SLUICE_STATE_PREFIX",
		"SLUICE_STREAM=orders/../payments":                          "SLUICE_STREAM",
		"SLUICE_APP=../app":                                         "SLUICE_APP",
		"SLUICE_WORKER_ID=" + strings.Repeat("x", 1<<10):            "SLUICE_WORKER_ID",
		"SLUICE_ANOMALY_DETECTORS=../x":                             "SLUICE_ANOMALY_DETECTORS",
		"SLUICE_PASSWORD=" + secret:                                 "SLUICE_PASSWORD",
		"AWS_ENDPOINT_URL_S3=https://169.254.169.254":               "AWS_ENDPOINT_URL_S3",
		"AWS_ENDPOINT_URL_S3=http://user:" + secret + "@[fe80::1]/": "AWS_ENDPOINT_URL_S3",
		"AWS_ENDPOINT_URL=http://user:" + secret + "@10.0.0.1/":     "AWS_ENDPOINT_URL",
		"AWS_ENDPOINT_URL_KINESIS=" + secret:                        "AWS_ENDPOINT_URL_KINESIS",
	} {
		for _, command := range []string{"run", "validate"} {
			status, stdout, stderr := sluice(t, append([]string{"SLUICE_STREAM=orders", "SLUICE_BUCKET=lake"}, setting), command)
			if status != 78 || stdout != "" || !strings.Contains(stderr, "\n"+key+":") || strings.Contains(stderr, secret) {
				t.Errorf("%s with %.60s: status %d, %s%s", command, setting, status, stdout, stderr)
			}
		}
	}
	for text, key := range map[string]string{
		"flush_bytes: 10 elephants\n":           "SLUICE_FLUSH_BYTES",
		"password: " + secret + "\n":            "password",
		"anomaly: {detectors: [1, 2]}\n":        "anomaly.detectors",
		"stream: ${STREAM:?say which stream}\n": "say which stream",
		"stream: \"orders\n":                    "line",
		strings.Repeat("[", 100_000):            "sluice.yaml",
		"a: &a [*a, *a]\n":                      "sluice.yaml",
	} {
		name := filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := sluice(t, []string{"SLUICE_BUCKET=lake", "SLUICE_CONFIG=" + name}, "run")
		if status != 78 || !strings.Contains(stderr, key) || strings.Contains(stderr, secret) {
			t.Errorf("%.60q: status %d, %.500s", text, status, stderr)
		}
	}
}
