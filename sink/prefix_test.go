package sink

import (
	"strings"
	"testing"
	"time"
)

func TestPrefix(t *testing.T) {
	at := time.Date(2026, 3, 7, 0, 5, 9, 87_000_000, time.UTC)
	tests := map[string]string{
		"": "", "data/": "data/",
		"data/dt=!{timestamp:yyyy-MM-dd}/":              "data/dt=2026-03-07/",
		"year=!{timestamp:yyyy}/month=!{timestamp:MM}/": "year=2026/month=03/",
		"!{timestamp:yyyy/MM/dd/HH}/":                   "2026/03/07/00/",
		"!{timestamp:yy.M.d H:m:s}":                     "26.3.7 0:5:9",
		"!{timestamp:MMM MMMM E EEEE D DDD}":            "Mar March Sat Saturday 66 066",
		"!{timestamp:k kk h hh K KK a}":                 "24 24 12 12 0 00 AM",
		"!{timestamp:SSS S mm''ss 'year' uuuu}":         "087 0 05'09 year 2026",
		"a!{timestamp:yyyyyy}b!c{d}":                    "a002026b!c{d}",
	}
	for expression, want := range tests {
		p, err := ParsePrefix(expression)
		if err != nil {
			t.Errorf("%q: %v", expression, err)
			continue
		}
		if got := string(p.Append([]byte("<"), at, "")); got != "<"+want {
			t.Errorf("%q gives %q; want %q", expression, got, want)
		}
	}
	p, err := ParseErrorPrefix("errors/!{firehose:error-output-type}/!{timestamp:yyyy}/")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(p.Append(nil, at, "processing-failed")); got != "errors/processing-failed/2026/" || p.Static() != "errors/" {
		t.Errorf("the error prefix gives %q, and begins with %q", got, p.Static())
	}
}

func TestPrefixFaults(t *testing.T) {
	for expression, want := range map[string]string{
		"data/!{timestamp:yyyy":                "at character 6: the expression has no closing brace",
		"!{timestamp:}":                        "no pattern",
		"!{timestamp:yyyy-QQ}":                 `the letter 'Q'`,
		"!{timestamp:ddd}":                     "more often than the 2 times",
		"!{timestamp:'T}":                      "apostrophe",
		"!{timestamp:[yyyy]}":                  "reserved",
		"!{firehose:random-string}":            "not supported",
		"!{partitionKeyFromQuery:id}":          "not supported",
		"x!{firehose:error-output-type}":       "for the error prefix alone",
		"!{timestamp:yyyy}/!{timestamp:yyyyx}": "at character 19",
	} {
		if _, err := ParsePrefix(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want an error with %q", expression, err, want)
		}
	}
	if _, err := ParseErrorPrefix("errors/"); err == nil {
		t.Error("an error prefix without the type is accepted")
	}
}

func FuzzPrefix(f *testing.F) {
	f.Add("data/dt=!{timestamp:yyyy-MM-dd'T'HH}/!{firehose:error-output-type}")
	f.Fuzz(func(t *testing.T, expression string) {
		if p, err := ParseErrorPrefix(expression); err == nil {
			if got := p.Append(nil, time.UnixMilli(0).UTC(), "x"); !strings.HasPrefix(string(got), p.Static()) {
				t.Errorf("%q gives %q, which does not begin with %q", expression, got, p.Static())
			}
		}
	})
}

// A cached answer must be the one that rendering gives, through every change of the zone's offset.
func TestPartitioner(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range []string{"yyyy-MM-dd", "yyyy-MM-dd-HH", "HHmm", "HHmmss", "ssSSS"} {
			p, err := ParsePrefix("!{timestamp:" + pattern + "}")
			if err != nil {
				t.Fatal(err)
			}
			partitions := NewPartitioner(p, location)
			step := 7 * time.Minute
			if strings.Contains(pattern, "s") {
				step = 61 * time.Hour
			}
			for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() == 2026; at = at.Add(step) {
				for _, ms := range []int64{at.UnixMilli(), at.UnixMilli() + 999, at.UnixMilli() + 59_999} {
					want := string(p.Append(nil, time.UnixMilli(ms).In(location), ""))
					if got := partitions.Key(partitions.Partition(ms)); got != want {
						t.Fatalf("%s of %s at %v: %s; want %s", pattern, zone, time.UnixMilli(ms).UTC(), got, want)
					}
				}
			}
			partitions.Reset()
			if partitions.Len() != 0 || partitions.Partition(-1) != 0 || partitions.Len() != 1 {
				t.Error("a reset partitioner does not begin anew")
			}
		}
	}
}
