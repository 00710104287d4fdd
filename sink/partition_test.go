package sink

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/columns"
)

// oneRow is a table with a column of each type.
func oneRow(text string) *columns.Table {
	t := columns.NewTable([]columns.Field{
		{Name: "s", Type: columns.String}, {Name: "i", Type: columns.Int64}, {Name: "d", Type: columns.Double},
		{Name: "b", Type: columns.Boolean}, {Name: "at", Type: columns.Timestamp}, {Name: "none", Type: columns.String},
	})
	t.Columns[0].AppendString(text)
	t.Columns[1].AppendInt(-7)
	t.Columns[2].AppendDouble(2.5)
	t.Columns[3].AppendBool(true)
	t.Columns[4].AppendInt(time.Date(2026, 3, 7, 1, 2, 3, 4e6, time.UTC).UnixMilli())
	t.EndRow()
	return t
}

func byColumns(t testing.TB, expression string, table *columns.Table) *Partitioner {
	t.Helper()
	prefix, err := ParsePrefix(expression)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPartitioner(prefix, time.UTC, "")
	if err := p.Bind(table); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPartitionsByColumns(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "s=plain/", "": "s=__HIVE_DEFAULT_PARTITION__/", ".": "s=%2E/", "..": "s=%2E%2E/", "...": "s=.../",
		"a/b=c:d?": "s=a%2Fb%3Dc%3Ad%3F/", "\x00\n\x7f": "s=%00%0A%7F/", "{[]^}\\\"'#%*": "s=%7B%5B%5D%5E}%5C%22%27%23%25%2A/", "é ü~!&+": "s=é ü~!&+/",
	} {
		p := byColumns(t, "s=!{partitionKeyFromQuery:s}/", oneRow(text))
		n, err := p.Partition(0, 0, 1)
		if err != nil || p.Key(n) != want {
			t.Errorf("%q: %v, %v; want %s", text, p.keys, err, want)
		}
	}
	p := byColumns(t, "!{partitionKeyFromQuery:i}-!{partitionKeyFromQuery:d}/!{timestamp:yyyy}/b=!{partitionKeyFromQuery:b}/at=!{partitionKeyFromQuery:at}/!{partitionKeyFromQuery:none}/", oneRow("x"))
	n, err := p.Partition(0, 0, 1)
	if want := "-7-2.5/1970/b=true/at=2026-03-07T01%3A02%3A03.004Z/__HIVE_DEFAULT_PARTITION__/"; err != nil || p.Key(n) != want {
		t.Errorf("%q, %v; want %s", p.keys, err, want)
	}
	if got := p.prefix.FolderColumns(); !slices.Equal(got, []string{"b", "at"}) {
		t.Errorf("folders: %q", got)
	}
	for expression, want := range map[string]string{
		"s=!{partitionKeyFromQuery:s}/": "[s]", "data/s=!{partitionKeyFromQuery:s}/": "[s]", "s=!{partitionKeyFromQuery:s}-!{timestamp:yyyy}/": "[]",
		"xs=!{partitionKeyFromQuery:s}/": "[]", "s=!{partitionKeyFromQuery:s}": "[]", "s=!{partitionKeyFromQuery:i}/": "[]",
		"!{timestamp:yyyy}/s=!{partitionKeyFromQuery:s}/i=!{partitionKeyFromQuery:i}/x": "[s i]",
	} {
		if p := byColumns(t, expression, oneRow("")); fmt.Sprint(p.prefix.FolderColumns()) != want {
			t.Errorf("%s: folders %v; want %s", expression, p.prefix.FolderColumns(), want)
		}
	}
	prefix, err := ParsePrefix("!{partitionKeyFromQuery:city}/")
	if err != nil {
		t.Fatal(err)
	}
	if err := NewPartitioner(prefix, time.UTC, "").Bind(oneRow("")); err == nil || !strings.Contains(err.Error(), "there are s, i, d, b, at, none") {
		t.Errorf("a column that there is not: %v", err)
	}
}

// Partitions are told apart by time and values, found again, and limited in number and length.
func TestPartitionLimits(t *testing.T) {
	table := columns.NewTable([]columns.Field{{Name: "s", Type: columns.String}})
	for _, s := range []string{"a", "b", "a", strings.Repeat("x", 500), strings.Repeat("é", 300), strings.Repeat("/", 1<<20)} {
		table.Columns[0].AppendString(s)
		table.EndRow()
	}
	p := byColumns(t, "dt=!{timestamp:yyyy-MM-dd}/s=!{partitionKeyFromQuery:s}/", table)
	const aDay = 24 * 60 * 60 * 1000
	for i, test := range []struct {
		ms, row int
		want    int32
		err     error
	}{
		{5, 0, 0, nil}, {5, 1, 1, nil}, {6, 2, 0, nil}, {aDay, 0, 2, nil}, {7, 0, 0, nil}, {aDay, 1, 0, ErrTooManyPartitions}, {aDay, 2, 2, nil},
	} {
		if n, err := p.Partition(int64(test.ms), test.row, 3); n != test.want || !errors.Is(err, test.err) {
			t.Errorf("%d: partition %d, %v; want %d, %v", i, n, err, test.want, test.err)
		}
	}
	for row := 3; row < 6; row++ {
		if n, err := p.Partition(5, row, 100); !errors.Is(err, ErrLongPrefix) {
			t.Errorf("row %d: partition %d, %v", row, n, err)
		}
	}
	if p.Len() != 3 {
		t.Errorf("%d partitions", p.Len())
	}
	row := 0
	if n := testing.AllocsPerRun(1000, func() { row++; _, _ = p.Partition(int64(row%2), row%3, 3) }); n != 0 {
		t.Errorf("%v allocations for a row of a known partition", n)
	}
}

func TestRandomString(t *testing.T) {
	p := byColumns(t, "!{firehose:random-string}/!{timestamp:HH}-!{firehose:random-string}/", oneRow(""))
	form := regexp.MustCompile(`^([0-9A-Za-z]{11})/\d\d-([0-9A-Za-z]{11})/$`)
	seen := map[string]bool{}
	for range 10 {
		for hour := range int64(24) {
			ms := hour * 3_600_000
			key := p.Key(p.Number(ms))
			m := form.FindStringSubmatch(key)
			if m == nil || seen[m[1]] || seen[m[2]] || m[1] == m[2] || p.Key(p.Number(ms+1)) != key {
				t.Fatalf("the prefix is %q", key)
			}
			seen[m[1]], seen[m[2]] = true, true
		}
		p.Reset()
	}
}

// FuzzEscape holds the escapes against those that URLs have: what is unescaped is the text, and no value leaves its folder.
func FuzzEscape(f *testing.F) {
	for _, text := range []string{"", ".", "..", "a/b", "\x00\x7f%", "__HIVE_DEFAULT_PARTITION__", "é/../\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 100 {
			return
		}
		p := byColumns(t, "a/!{partitionKeyFromQuery:s}/!{timestamp:yyyy}/", oneRow(text))
		n, err := p.Partition(0, 0, math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(p.Key(n), "/")
		if len(parts) != 4 || parts[1] == "." || parts[1] == ".." || parts[2] != "1970" || strings.ContainsAny(parts[1], "=\x00\n:?#*'\"") {
			t.Fatalf("%q gives %q", text, p.Key(n))
		}
		back, err := url.PathUnescape(parts[1])
		if err != nil || back != text && (text != "" || back != NullFolder) {
			t.Errorf("%q gives %q, which reads %q, %v", text, p.Key(n), back, err)
		}
	})
}
