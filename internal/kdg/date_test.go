package kdg

import (
	"testing"
	"time"
)

// The wants are what moment.js 2.30.1 writes for the same instants, except that it writes zeros after the milliseconds.
func TestDateFormat(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	newfoundland := time.FixedZone("NST", -(3*3600 + 1800))
	afternoon := time.Date(2026, time.March, 3, 14, 5, 9, 123456789, berlin)
	midnight := time.Date(2021, time.January, 1, 0, 0, 0, 7_000_000, newfoundland)
	noon := time.Date(2010, time.November, 22, 12, 30, 59, 0, time.UTC)
	for _, c := range []struct {
		at            time.Time
		pattern, want string
	}{
		{afternoon, "YYYY-MM-DDTHH:mm:ssZ", "2026-03-03T14:05:09+01:00"},
		{afternoon, "DD/MMM/YYYY:HH:mm:ss ZZ", "03/Mar/2026:14:05:09 +0100"},
		{afternoon, "dddd, MMMM Do YYYY, h:mm:ss a", "Tuesday, March 3rd 2026, 2:05:09 pm"},
		{afternoon, "ddd, hA", "Tue, 2PM"},
		{afternoon, "Y YY Q Qo M Mo D d do dd e E", "2026 26 1 1st 3 3rd 3 2 2nd Tu 2 2"},
		{afternoon, "DDD DDDo DDDD w wo ww gg gggg W Wo WW GG GGGG", "62 62nd 062 10 10th 10 26 2026 10 10th 10 26 2026"},
		{afternoon, "H HH h hh k kk m mm s ss", "14 14 2 02 14 14 5 05 9 09"},
		{afternoon, "S SS SSS SSSSSS SSSSSSSSS", "1 12 123 123456 123456789"},
		{afternoon, "X x", "1772543109 1772543109123"},
		{afternoon, "Hmm Hmmss hmm hmmss", "1405 140509 205 20509"},
		{afternoon, "[YYYY] YYYY [at] \\YYYY [", "YYYY 2026 at YYYY ["},
		{afternoon, "[[YYYY]]", "[YYYY]"},
		{afternoon, "LT|LTS|L|LL|l|ll", "2:05 PM|2:05:09 PM|03/03/2026|March 3, 2026|3/3/2026|Mar 3, 2026"},
		{afternoon, "LLLL; llll", "Tuesday, March 3, 2026 2:05 PM; Tue, Mar 3, 2026 2:05 PM"},
		{afternoon, "é_%", "é_%"},
		{midnight, "h hh H HH k kk A a SSS Z ZZ", "12 12 0 00 24 24 AM am 007 -03:30 -0330"},
		{midnight, "Do w gggg W GGGG E", "1st 1 2021 53 2020 5"},
		{noon, "hA Do DDDo Z x", "12PM 22nd 326th +00:00 1290429059000"},
		{time.Date(2026, time.May, 11, 0, 0, 0, 0, time.UTC), "Do", "11th"},
		{time.Date(2026, time.May, 13, 0, 0, 0, 0, time.UTC), "Do Mo", "13th 5th"},
		{time.Date(2026, time.May, 31, 0, 0, 0, 0, time.UTC), "Do", "31st"},
		{time.Date(800, time.May, 31, 0, 0, 0, 0, time.UTC), "YYYY YY", "0800 00"},
	} {
		if got := string(compilePattern(c.pattern).append(nil, c.at)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.pattern, got, c.want)
		}
	}
}
