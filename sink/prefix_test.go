package sink

import (
	"math/rand/v2"
	"slices"
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
		"!{timestamp:Q QQ QQQ QQQQ}":                    "1 01 Q1 1st quarter",
		"!{timestamp:HH 'o''clock'}":                    "00 o'clock",
		"!{timestamp:'it''s' ''}":                       "it's '",
		"!{timestamp:yyyy年MM月}é/":                       "2026年03月é/",
		"!{timestamp:G GGGG GGGGG MMMMM LLL EEEEE}":     "AD Anno Domini A M Mar S",
		"!{timestamp:A n N}":                            "309087 87000000 309087000000",
		"!{timestamp:X x xx xxx Z ZZZZ ZZZZZ}":          "Z +00 +0000 +00:00 +0000 GMT Z",
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
		"data/!{timestamp:yyyy":                             "at character 6: the expression has no closing brace",
		"!{timestamp:}":                                     "no pattern",
		"!{timestamp:YYYY-MM}":                              `at character 13: the letter 'Y' of the pattern "YYYY-MM" is the year of a week`,
		"!{timestamp:yyyy-ww}":                              "at character 18: the letter 'w'",
		"!{timestamp:HH 'o''clock}":                         "at character 16: the pattern",
		"!{timestamp:ddd}":                                  "more often than the 2 times",
		"!{timestamp:'T}":                                   "apostrophe",
		"!{timestamp:[yyyy]}":                               "reserved",
		"!{firehose:random}":                                "not supported",
		"a/!{partitionKeyFromLambda:id}/":                   "at character 3: !{partitionKeyFromLambda:id} is not supported, as there is no function; a column's value is !{partitionKeyFromQuery:COLUMN}",
		strings.Repeat("!{timestamp:N N N N N N N N N}", 9): "bytes, and 512 are allowed",
		"!{partitionKeyFromQuery:}":                         "names no column",
		"!{partitionKeyFromQuery:Id}":                       "try id",
		"x!{firehose:error-output-type}":                    "for the error prefix alone",
		"!{timestamp:yyyy}/!{timestamp:yyyyr}":              "at character 35",
	} {
		if _, err := ParsePrefix(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want an error with %q", expression, err, want)
		}
	}
	for _, expression := range []string{"errors/", "!{firehose:error-output-type}/!{partitionKeyFromQuery:id}/"} {
		if _, err := ParseErrorPrefix(expression); err == nil {
			t.Errorf("the error prefix %s is accepted", expression)
		}
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

func TestPrefixYears(t *testing.T) {
	for year, want := range map[int]string{2004: "2004 04 2004", 999: "0999 99 0999", 0: "0001 01 0000", -12: "0013 13 -0012"} {
		p, err := ParsePrefix("!{timestamp:yyyy yy uuuu}")
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.Append(nil, time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), "")); got != want {
			t.Errorf("the year %d reads %q; want %q", year, got, want)
		}
	}
}

// A cached answer must be the one that rendering gives: through every change of a zone's offset, by whole hours, half
// hours, a day, and from one of odd seconds, and in leap years; the times in order, and not.
func TestPartitioner(t *testing.T) {
	years := map[string]int{
		"UTC": 2024, "Europe/Berlin": 2024, "America/New_York": 2026, "Australia/Lord_Howe": 2026, "Asia/Kathmandu": 1986,
		"America/Sao_Paulo": 2018, "Africa/Monrovia": 1972, "Pacific/Apia": 2011,
	}
	for zone, year := range years {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		var times []int64
		for at := time.Date(year-1, 12, 28, 0, 0, 0, 0, time.UTC); at.Year() <= year; at = at.Add(97 * time.Minute) {
			times = append(times, at.UnixMilli()-1, at.UnixMilli(), at.UnixMilli()+59_999)
			_, change := at.In(location).ZoneBounds()
			if !change.IsZero() && change.Sub(at) < 2*time.Hour {
				times = append(times, change.UnixMilli()-1, change.UnixMilli(), change.UnixMilli()+1)
			}
		}
		shuffled := slices.Clone(times)
		rand.New(rand.NewPCG(1, uint64(year))).Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		for _, pattern := range []string{"yyyy", "yyyy-MM-dd", "D", "h a", "yyyy-MM-dd-HH", "HHmm", "HHmmss", "ssSSS"} {
			p, err := ParsePrefix("!{timestamp:" + pattern + "}")
			if err != nil {
				t.Fatal(err)
			}
			partitions := NewPartitioner(p, location, "")
			for _, ms := range slices.Concat(times, shuffled[:1000]) {
				want := string(p.Append(nil, time.UnixMilli(ms).In(location), ""))
				if got := partitions.Key(partitions.Number(ms)); got != want {
					t.Fatalf("%s of %s at %v: %s; want %s", pattern, zone, time.UnixMilli(ms).UTC(), got, want)
				}
			}
			partitions.Reset()
			if partitions.Len() != 0 || partitions.Number(-1) != 0 || partitions.Len() != 1 {
				t.Error("a reset partitioner does not begin anew")
			}
		}
	}
}

func TestPartitionerNumbers(t *testing.T) {
	p, err := ParsePrefix("dt=!{timestamp:yyyy-MM-dd-HH}/")
	if err != nil {
		t.Fatal(err)
	}
	partitions := NewPartitioner(p, time.UTC, "")
	hour := time.Hour.Milliseconds()
	want := []int32{0, 0, 0, 1, 0, 2, 1}
	for i, ms := range []int64{5, 6, hour - 1, hour, 7, 30 * hour, hour + 1} {
		if got := partitions.Number(ms); got != want[i] {
			t.Errorf("%d ms are in partition %d; want %d", ms, got, want[i])
		}
	}
	if partitions.Len() != 3 || partitions.Key(2) != "dt=1970-01-02-06/" {
		t.Errorf("%d partitions, the last %s", partitions.Len(), partitions.Key(2))
	}
	at := int64(0)
	if n := testing.AllocsPerRun(1000, func() { at += hour; partitions.Number(at % (2 * hour)) }); n != 0 {
		t.Errorf("%v allocations for a time of a known partition", n)
	}
}

func BenchmarkPartition(b *testing.B) {
	location, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	p, err := ParsePrefix("data/dt=!{timestamp:yyyy-MM-dd-HH}/")
	if err != nil {
		b.Fatal(err)
	}
	for name, step := range map[string]int64{"same": 0, "alternating": time.Hour.Milliseconds()} {
		b.Run(name, func(b *testing.B) {
			partitions := NewPartitioner(p, location, "")
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i++ {
				partitions.Number(1_700_000_000_000 + i%2*step)
			}
		})
	}
}
