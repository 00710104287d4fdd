package transform

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/columns"
)

func told(t *testing.T, format string, value any) string {
	t.Helper()
	f, err := ParseTimeFormat(format)
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	var c columns.Column
	switch v := value.(type) {
	case string:
		c.AppendString(v)
	case int:
		c.Type = columns.Int64
		c.AppendInt(int64(v))
	case float64:
		c.Type = columns.Double
		c.AppendDouble(v)
	case time.Time:
		c.Type = columns.Timestamp
		c.AppendInt(v.UnixMilli())
	case bool:
		c.Type = columns.Boolean
		c.AppendBool(v)
	default:
		c.AppendNull()
	}
	var all []string
	for range 2 { // the second time other layouts come first
		ms, ok := f.Time(&c, 0)
		if !ok {
			return "none"
		}
		all = append(all, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000"))
	}
	if all[0] != all[1] {
		t.Errorf("%v of %s reads %s, and then %s", value, format, all[0], all[1])
	}
	return all[0]
}

func TestTimeFormat(t *testing.T) {
	const want = "2026-11-25T21:00:01.000"
	at := time.Date(2026, 11, 25, 21, 0, 1, 0, time.UTC)
	for _, test := range []struct {
		format string
		value  any
		want   string
	}{
		{"auto", at, want}, {"yyyy", at, want}, {"auto", int(at.Unix()), want}, {"auto", int(at.UnixMilli()), want}, {"auto", int(at.UnixMicro()), want},
		{"auto", int(at.UnixNano()), want}, {"auto", float64(at.Unix()) + 0.5, "2026-11-25T21:00:01.500"}, {"auto", float64(at.UnixMilli()), want},
		{"auto", "1795640401", want}, {"auto", "1795640401000", want}, {"auto", "2026-11-25T21:00:01Z", want}, {"auto", "2026-11-25T22:00:01.000+01:00", want},
		{"auto", "2026-11-25T21:00:01.123456789Z", "2026-11-25T21:00:01.123"}, {"auto", "2026-11-25 21:00:01", want}, {"auto", "2026-11-25T21:00:01.5", "2026-11-25T21:00:01.500"},
		{"auto", "25/Nov/2026:22:00:01 +0100", want}, {"auto", "2026-11-25", "2026-11-25T00:00:00.000"}, {"auto", "Wed, 25 Nov 2026 21:00:01 +0000", want},
		{"auto", "", "none"}, {"auto", "yesterday", "none"}, {"auto", nil, "none"}, {"auto", true, "none"}, {"auto", "2026-13-01", "none"}, {"auto", 1e300, "none"},
		{"auto", strings.Repeat("1", 100), "none"}, {"yyyy-MM-dd HH:mm:ss", "2026-11-25 21:00:01", want}, {"yyyy-MM-dd HH:mm:ss", "2026-11-25T21:00:01Z", "none"},
		{"dd/MMM/yyyy:HH:mm:ss Z", "25/Nov/2026:22:00:01 +0100", want}, {"yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2026-11-25T16:00:01.000-05:00", want},
		{"EEE, d MMMM yy h:mm:ss a", "Wed, 25 November 26 9:00:01 PM", want}, {"yyyyMMdd", 20261125, "2026-11-25T00:00:00.000"}, {"yyyy-DDD", "2026-329", "2026-11-25T00:00:00.000"},
		{"2006-01-02 15.04.05", "2026-11-25 21.00.01", want}, {"yyyyMMdd", 1.5, "none"}, {"epoch_s", int(at.Unix()), want}, {"epoch_s", float64(at.Unix()) + 0.5, "2026-11-25T21:00:01.500"},
		{"epoch_ms", "1795640401000", want}, {"yyyy-MM-dd'at'HH", "2026-11-25at21", "2026-11-25T21:00:00.000"}, {"yyyy-MM-dd HH:mm:ss", "2026-11-25 21:00:01.5", "none"},
	} {
		if test.format == "yyyy" {
			test.format = "yyyy-MM-dd"
		}
		if got := told(t, test.format, test.value); got != test.want {
			t.Errorf("%v of %s is %s; want %s", test.value, test.format, got, test.want)
		}
	}
	for format, want := range map[string]string{
		"": "does not say the year", "HH:mm": "does not say the year", "yyyy-MM": "the month and the day", "nonsense": `"n" is not supported`,
		"yyyy-MM-dd'T": "an apostrophe is not closed", "yyyy-MM-dd z": `"z" is not supported`, "2006-01-02 MST": `"MST" is not supported`, "yyyy-ww": `"ww"`,
	} {
		if _, err := ParseTimeFormat(format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", format, err, want)
		}
	}
}

// After the first row of a form no more is allocated.
func TestTimeFormatAllocates(t *testing.T) {
	f, err := ParseTimeFormat("auto")
	if err != nil {
		t.Fatal(err)
	}
	var c columns.Column
	c.AppendString("25/Nov/2026:22:00:01 +0000")
	if n := testing.AllocsPerRun(100, func() { f.Time(&c, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzTimeFormat looks for patterns that break the reader, and for times that come back otherwise.
func FuzzTimeFormat(f *testing.F) {
	for _, format := range []string{"auto", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2006-01-02 15:04:05", "EEE, d MMM yyyy hh:mm a Z", "yyyy_d'", "yyyyMMddHHmmss"} {
		f.Add(format, "2026-11-25T21:00:01.123Z", int64(1_795_640_401_123))
	}
	f.Fuzz(func(t *testing.T, format, text string, ms int64) {
		read, err := ParseTimeFormat(format)
		if err != nil {
			return
		}
		var c columns.Column
		c.AppendString(text)
		if ms, ok := read.Time(&c, 0); ok && (ms < minTime || ms >= endTime) {
			t.Errorf("%q of %q is %d", text, format, ms)
		}
		if at := time.UnixMilli(ms % endTime).UTC(); format == "auto" && at.Year() >= 0 {
			c.AppendString(at.Format("2006-01-02 15:04:05.000"))
			if got, ok := read.Time(&c, 1); !ok || got != at.UnixMilli() {
				t.Errorf("%s reads %d, %t; want %d", c.TextAt(1), got, ok, at.UnixMilli())
			}
		}
	})
}
