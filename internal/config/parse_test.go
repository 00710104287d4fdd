package config

import (
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "5B": 5, "1KB": 1000, "1KiB": 1024, "64MiB": 64 << 20, "3MB": 3e6, "2GiB": 2 << 30, "2 GB": 2e9,
		"": -1, "B": -1, "1 K": -1, "1kb": -1, "1KiBB": -1, "-1": -1, "1.5GiB": -1, "MiB": -1, "1TiB": -1, "0x10": -1,
		"9223372036854775807": 1<<63 - 1, "9223372036854775808": -1, "9007199254740992KiB": -1, "1e3": -1, "1iB": -1, "١": -1,
	} {
		got, err := parseSize(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
	for n, want := range map[int64]string{0: "0", 1: "1", 4096: "4KiB", 64 << 20: "64MiB", 5e9: "5GB", 1 << 44: "16384GiB"} {
		got := formatSize(n)
		if back, err := parseSize(got); got != want || err != nil || back != n {
			t.Errorf("%d: %s, and back %d, %v", n, got, back, err)
		}
	}
}

func TestShortDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"1h": time.Hour, "1m": time.Minute, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "10s": 10 * time.Second,
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestValues(t *testing.T) {
	for name, values := range map[string]struct{ good, bad []string }{
		"STREAM": {[]string{"a", "A_b.c-1", "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/x"},
			[]string{"a b", "arn:aws:kinesis:eu-west-1:1:stream/x", "arn:aws:firehose:eu-west-1:123456789012:stream/x", "ü"}},
		"BUCKET": {[]string{"abc", "a.b-c", "123"},
			[]string{"ab", "a..b", "-abc", "abc-", "192.168.0.1", "a_b", "s3://abc"}},
		"START":    {[]string{"LATEST", "TRIM_HORIZON", "2026-01-31T09:00:00.5Z"}, []string{"latest", "AT_TIMESTAMP", "2026-01-31"}},
		"TIMEZONE": {[]string{"UTC", "America/New_York"}, []string{"Local", "../etc/passwd", "+01:00"}},
		"HTTP_ADDR": {[]string{"off", ":0", "localhost:80", "[::]:9464", "0.0.0.0:65535"},
			[]string{"on", "localhost", "http://localhost:80", "::1:80", ":65536", ":http", ":-1"}},
		"PPROF_ADDR": {[]string{"off", "127.0.0.1:6060", "[::1]:0", "127.9.9.9:1"},
			[]string{"on", ":6060", "0.0.0.0:6060", "[::]:6060", "10.0.0.1:6060", "localhost:6060", "127.0.0.1", "127.0.0.1.example.com:1"}},
		"INTAKE_ADDR":   {[]string{"off", ":9465"}, []string{"9465", "https://localhost:9465"}},
		"INTAKE_STREAM": {[]string{"clicks", "a_b.c-1"}, []string{"a b", "arn:aws:firehose:eu-west-1:123456789012:deliverystream/x"}},
		"PREFIX":        {[]string{"data/", "a..b/", ".../", "!{timestamp:yyyy/MM/dd}/"}, []string{"../", "data/../x/", "./", "data/..", "/data/"}},
		"STATE_PREFIX":  {[]string{"state/"}, []string{"../state/", "state"}},
		"KMS_KEY": {[]string{"alias/a", "arn:aws:kms:eu-west-1:123456789012:key/1-a", "1234abcd-12ab-34cd-56ef-1234567890ab",
			"mrk-1234abcd12ab34cd56ef1234567890ab"}, []string{"a", "arn:aws:s3:::b"}},
		"GLUE_TABLE":  {[]string{"orders", "access_logs-2"}, []string{"Orders", "db.orders", "a b"}},
		"COMPRESSION": {[]string{"zstd", "snappy", "gzip", "none"}, []string{"ZSTD", "lzo"}},
	} {
		for _, value := range values.good {
			if f := faults(t, nil, []string{envPrefix + name + "=" + value}); f != nil {
				t.Errorf("%s=%s: %v", name, value, f)
			}
		}
		for _, value := range values.bad {
			if f := faults(t, nil, []string{envPrefix + name + "=" + value}); len(f) != 1 || f[0].Key != envPrefix+name {
				t.Errorf("%s=%s: %v", name, value, f)
			}
		}
	}
}
