package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/sink"
)

func layout(t testing.TB, expression string) *Layout {
	t.Helper()
	prefix, err := sink.ParsePrefix(expression)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLayout("lake", prefix)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const labPrefix = "TicketTransactionStreamingData/ingest_year=!{timestamp:yyyy}/ingest_month=!{timestamp:MM}/ingest_day=!{timestamp:dd}/ingest_hour=!{timestamp:HH}/"

func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		prefix, keys string
		object, want string // the partition's values; no: it is none of the table's objects
	}{
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "data/dt=2026-11-25/s-0-e1-c1-0.parquet", "[2026-11-25]"},
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "data/dt=a%2Fb%3d%C3%A9%zz%/x", "[a/b=é%zz%]"},
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "data/dt=__HIVE_DEFAULT_PARTITION__/x", "[__HIVE_DEFAULT_PARTITION__]"},
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "data/dt=%ff/x", "[\uFFFD]"},
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "data/dt=2026/hour=1/x", "no"},
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "data/day=2026/x", "no"},
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "data/dt=/x", "no"},
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "data/x", "no"},
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "errors/dt=2026-11-25/x", "no"},
		{"data/dt=!{timestamp:yyyy-MM-dd}/", "[dt]", "data/dt=" + strings.Repeat("x", 1025) + "/x", "no"},
		{labPrefix, "[ingest_year ingest_month ingest_day ingest_hour]",
			"TicketTransactionStreamingData/ingest_year=2026/ingest_month=01/ingest_day=02/ingest_hour=03/x", "[2026 01 02 03]"},
		{"access-logs-parquet/!{timestamp:yyyy/MM/dd/HH}/", "[year month day hour]", "access-logs-parquet/2026/11/25/09/x", "[2026 11 25 09]"},
		{"a/!{timestamp:yyyy-MM}/v1/Hour=!{timestamp:HH}/part-", "[partition_0 hour]", "a/2026-11/v1/Hour=09/part-x", "[2026-11 09]"},
		{"a/!{timestamp:yyyy-MM}/v1/Hour=!{timestamp:HH}/part-", "[partition_0 hour]", "a/2026-11/v2/Hour=09/part-x", "no"},
		{"data/", "[]", "data/x", "[]"},
	} {
		l := layout(t, tt.prefix)
		if got := fmt.Sprint(l.Keys()); got != tt.keys {
			t.Errorf("%s has the partition keys %s; want %s", tt.prefix, got, tt.keys)
		}
		p, ok := l.Partition(tt.object)
		got := "no"
		if ok {
			got = fmt.Sprint(p.Values)
		}
		if got != tt.want {
			t.Errorf("%s: the object %.80s is of the partition %s; want %s", tt.prefix, tt.object, got, tt.want)
		}
		if folder := tt.object[:strings.LastIndex(tt.object, "/")+1]; ok && (p.Folder != folder || p.uri != "s3://lake/"+folder) {
			t.Errorf("%s: the partition lies in %s, %s", tt.prefix, p.Folder, p.uri)
		}
	}
}

func TestLayoutFaults(t *testing.T) {
	for expression, want := range map[string]string{
		"":                               "a folder of their own",
		"dt=!{timestamp:yyyy}/":          "a folder of their own",
		"data/a-b=!{timestamp:yyyy}/":    `"a-b"`,
		"data/jahr é=!{timestamp:yyyy}/": "letters, digits and underscores",
		"data/dt=!{timestamp:yyyy}/DT=!{timestamp:MM}/":          `"dt"`,
		"data/!{timestamp:yyyy}/year=!{timestamp:yyyy-MM}/":      `"year"`,
		"data/" + strings.Repeat("k", 256) + "=!{timestamp:MM}/": "at most 255",
	} {
		prefix, err := sink.ParsePrefix(expression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewLayout("lake", prefix); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v; want an error with %s", expression, err, want)
		}
	}
}

func FuzzPartition(f *testing.F) {
	f.Add("data/2026-11/v1/hour=09/part-x")
	f.Add("data/%zz/v1/hour=%/%00")
	l := layout(f, "data/!{timestamp:yyyy-MM}/v1/hour=!{timestamp:HH}/")
	f.Fuzz(func(t *testing.T, key string) {
		p, ok := l.Partition(key)
		if !ok {
			return
		}
		// The way back: such a key has its values where the prefix says, each of them escaped or as it is.
		parts := strings.Split(strings.TrimPrefix(p.Folder, "data/"), "/")
		if len(p.Values) != 2 || len(parts) != 4 || parts[1] != "v1" || !strings.HasPrefix(key, p.Folder) ||
			unescape(parts[0]) != p.Values[0] || unescape(strings.TrimPrefix(parts[2], "hour=")) != p.Values[1] {
			t.Errorf("%q is of the partition %q", key, p)
		}
		for _, v := range p.Values {
			if v == "" || len([]rune(v)) > maxValue || strings.ToValidUTF8(v, "") != v {
				t.Errorf("%q has the value %q", key, v)
			}
		}
	})
}
