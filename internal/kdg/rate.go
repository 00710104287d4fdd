package kdg

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rate is how many records a source has per second: Mean, and where there is a Period, so much more or less as
// Amplitude x sin(2 pi t / Period) says, from the start. At Mean 0 the records are for a caller that takes them as fast as it
// can; their times, which do not matter then, lie 1 ms apart.
type Rate struct {
	Mean, Amplitude float64
	Period          time.Duration
}

const (
	unpaced = 1000
	maxRate = 1e6
)

// ParseRate reads MEAN or MEAN~AMPLITUDE/PERIOD, as in 100~50/24h: records a second.
func ParseRate(text string) (Rate, error) {
	var r Rate
	mean, wave, periodic := strings.Cut(text, "~")
	var err error
	if r.Mean, err = strconv.ParseFloat(mean, 64); err != nil || !(r.Mean > 0 && r.Mean <= maxRate) {
		return r, fmt.Errorf("the rate is a number of records a second, above 0 and at most %.0f", maxRate)
	}
	if !periodic {
		return r, nil
	}
	amplitude, period, _ := strings.Cut(wave, "/")
	if r.Amplitude, err = strconv.ParseFloat(amplitude, 64); err != nil || !(r.Amplitude >= 0 && r.Amplitude <= r.Mean) {
		return r, fmt.Errorf("the amplitude of the rate is a number of records a second, from 0 to the mean, as in 100~50/24h")
	}
	if r.Period, err = time.ParseDuration(period); err != nil || r.Period <= 0 {
		return r, fmt.Errorf("the period of the rate is a time above 0, as in 100~50/24h")
	}
	return r, nil
}

// until is how many records are due in the first t seconds: the integral of the rate.
func (r Rate) until(t float64) float64 {
	n := r.Mean * t
	if r.Amplitude > 0 {
		angular := 2 * math.Pi / r.Period.Seconds()
		n += r.Amplitude / angular * (1 - math.Cos(angular*t))
	}
	return n
}

// when is the inverse of until. It does not add up distances, which would drift.
func (r Rate) when(n float64) float64 {
	if r.Amplitude == 0 {
		return n / r.Mean
	}
	// The wave moves a record by no more than this, and until never falls: so the time is found by halving.
	most := r.Amplitude * r.Period.Seconds() / math.Pi
	low, high := max(0, (n-most)/r.Mean), n/r.Mean
	for range 64 {
		middle := low + (high-low)/2
		if middle == low || middle == high {
			break
		}
		if r.until(middle) < n {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// The kinds of injections.
const (
	Spike   = "spike"   // all rates are ten times as high
	Shift   = "shift"   // all rates are twice as high
	Silence = "silence" // nothing comes
	Flood   = "flood"   // as many records come in addition, of each source all with the same values but for their times
)

// Kinds are those of injections.
func Kinds() []string { return []string{Spike, Shift, Silence, Flood} }

// Injection is something abnormal: what happens from a time on, for a while.
type Injection struct {
	Kind string // one of Kinds
	At   time.Time
	For  time.Duration
}

// ParseInjection reads KIND@TIME+DURATION, where TIME is an RFC 3339 time, or as long after the start as a duration says.
func ParseInjection(text string, start time.Time) (Injection, error) {
	kind, rest, _ := strings.Cut(text, "@")
	plus := strings.LastIndexByte(rest, '+')
	if !slices.Contains(Kinds(), kind) || plus < 0 {
		return Injection{}, fmt.Errorf("want KIND@TIME+DURATION, as in spike@10m+30s; the kinds are %s", strings.Join(Kinds(), ", "))
	}
	i := Injection{Kind: kind}
	if after, err := time.ParseDuration(rest[:plus]); err == nil {
		i.At = start.Add(after)
	} else if i.At, err = time.Parse(time.RFC3339, rest[:plus]); err != nil {
		return i, fmt.Errorf("%q is neither an RFC 3339 time, as 2026-01-31T12:00:00Z is, nor a time after the start, as 10m is", rest[:plus])
	}
	var err error
	if i.For, err = time.ParseDuration(rest[plus+1:]); err != nil || i.For <= 0 {
		return i, fmt.Errorf("%q is no duration above 0, as 30s is", rest[plus+1:])
	}
	if i.At.Before(start) {
		return i, fmt.Errorf("it begins at %s, before the start, which is %s", i.At.Format(time.RFC3339), start.Format(time.RFC3339))
	}
	return i, nil
}

// factor is by what an injection multiplies the rates while it lasts.
func (i Injection) factor() float64 {
	switch i.Kind {
	case Spike:
		return 10
	case Shift:
		return 2
	case Silence:
		return 0
	}
	return 1
}

// schedule says when the records of a source are due: at its rate, multiplied within each stretch of time.
type schedule struct {
	rate      Rate
	stretches []stretch // the last has no end
}

// stretch begins at a time, in seconds, when so many records were due.
type stretch struct {
	from, factor, records float64
}

// newSchedule is that of a source. Injections that overlap multiply each other.
func newSchedule(rate Rate, injections []Injection, start time.Time) *schedule {
	s := &schedule{rate: rate.positive()}
	times := []float64{0}
	for _, i := range injections {
		if i.Kind != Flood {
			times = append(times, i.At.Sub(start).Seconds(), i.At.Add(i.For).Sub(start).Seconds())
		}
	}
	slices.Sort(times)
	for _, from := range slices.Compact(times) {
		factor := 1.0
		for _, i := range injections {
			if begin := i.At.Sub(start).Seconds(); begin <= from && from < i.At.Add(i.For).Sub(start).Seconds() {
				factor *= i.factor()
			}
		}
		s.add(from, factor)
	}
	return s
}

// newFlood is that of the records which a flood adds to a source.
func newFlood(rate Rate, flood Injection, start time.Time) *schedule {
	s := &schedule{rate: rate.positive()}
	s.add(0, 0)
	s.add(flood.At.Sub(start).Seconds(), 1)
	s.add(flood.At.Add(flood.For).Sub(start).Seconds(), 0)
	return s
}

// positive takes a rate that is no positive number for one without a pace.
func (r Rate) positive() Rate {
	if !(r.Mean > 0) || math.IsInf(r.Mean, 1) {
		return Rate{Mean: unpaced}
	}
	return r
}

func (s *schedule) add(from, factor float64) {
	next := stretch{from: from, factor: factor}
	if n := len(s.stretches); n > 0 {
		last := s.stretches[n-1]
		next.records = last.records + last.factor*(s.rate.until(from)-s.rate.until(last.from))
	}
	s.stretches = append(s.stretches, next)
}

// due is when record n is due, counted from 0, after the start. A record that never comes is due after all time.
func (s *schedule) due(n uint64) time.Duration {
	at := len(s.stretches) - 1
	for at > 0 && s.stretches[at].records > float64(n) {
		at--
	}
	in := s.stretches[at]
	if in.factor == 0 {
		return never
	}
	seconds := (float64(n) - in.records) / in.factor
	if in.from > 0 {
		seconds += s.rate.until(in.from)
	}
	due := s.rate.when(seconds) * float64(time.Second)
	if due >= float64(never) {
		return never
	}
	return time.Duration(due)
}
