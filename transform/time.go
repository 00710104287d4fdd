package transform

const day = 24 * 60 * 60 * 1000 // milliseconds

// The times of the years 0000 to 9999 UTC, in milliseconds since 1970: the last one is excluded.
const (
	minTime = -719528 * day
	endTime = 2932897 * day
)

// parseTime reads an ISO 8601 time of the form 2006-01-02T15:04:05[.000](Z|+07:00) as milliseconds since 1970 UTC.
// Everything else is not ok: finer fractions, no offset, leap seconds, dates that do not exist, and times before the
// year 0000 or after 9999 UTC.
func parseTime(b []byte) (ms int64, ok bool) {
	if len(b) < len("2006-01-02T15:04:05Z") || len(b) > len("2006-01-02T15:04:05.000+07:00") ||
		b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	c := clock{
		year: 100*digits2(b[0:]) + digits2(b[2:]), month: digits2(b[5:]), date: digits2(b[8:]),
		hour: digits2(b[11:]), minute: digits2(b[14:]), second: digits2(b[17:]),
	}
	var rest []byte
	if c.milli, rest = thousandths(b[19:]); c.milli < 0 {
		return 0, false
	}
	if c.offset, ok = parseOffset(rest); !ok {
		return 0, false
	}
	return c.time()
}

// clock is what a text says of a time. Numbers below zero are none.
type clock struct {
	year, month, date           int
	hour, minute, second, milli int
	offset                      int // from UTC, in milliseconds
}

// time gives the milliseconds since 1970 UTC, if there is such a time.
func (c *clock) time() (ms int64, ok bool) {
	if c.year|c.hour|c.minute|c.second < 0 || c.hour > 23 || c.minute > 59 || c.second > 59 ||
		c.month < 1 || c.month > 12 || c.date < 1 || c.date > daysIn(c.year, c.month) {
		return 0, false
	}
	ms = daysSince1970(c.year, c.month, c.date)*day + int64(c.hour*3600+c.minute*60+c.second)*1000 + int64(c.milli-c.offset)
	return ms, minTime <= ms && ms < endTime
}

// digits2 reads two digits; it is negative if b does not begin with them.
func digits2(b []byte) int {
	tens, units := b[0]-'0', b[1]-'0'
	if tens > 9 || units > 9 {
		return -1 << 16 // stays negative when another is added, also a hundred times
	}
	return int(tens)*10 + int(units)
}

// thousandths reads a fraction of one to three digits, if there is one; it is negative if the fraction is of other length.
func thousandths(b []byte) (fraction int, rest []byte) {
	if b[0] != '.' {
		return 0, b
	}
	b = b[1:]
	n := 0
	for n < len(b) && b[n]-'0' <= 9 {
		fraction = fraction*10 + int(b[n]-'0')
		n++
	}
	switch n {
	case 1:
		return fraction * 100, b[n:]
	case 2:
		return fraction * 10, b[n:]
	case 3:
		return fraction, b[n:]
	}
	return -1, b
}

// parseOffset reads Z, or hours and minutes from UTC with a colon, as milliseconds.
func parseOffset(b []byte) (ms int, ok bool) {
	if len(b) == 1 {
		return 0, b[0] == 'Z'
	}
	if len(b) != len("+07:00") || b[0] != '+' && b[0] != '-' || b[3] != ':' {
		return 0, false
	}
	hours, minutes := digits2(b[1:]), digits2(b[4:])
	if hours < 0 || minutes < 0 || hours > 23 || minutes > 59 {
		return 0, false
	}
	ms = (hours*60 + minutes) * 60 * 1000
	if b[0] == '-' {
		ms = -ms
	}
	return ms, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 counts in years that begin in March, so that the leap day comes last.
func daysSince1970(year, month, date int) int64 {
	month -= 3
	if month < 0 {
		month += 12
		year--
	}
	year += 400 // no negative division; 400 years have 146097 days
	return int64(year*365+year/4-year/100+year/400+(month*153+2)/5+date-1) - 146097 - 719468
}
