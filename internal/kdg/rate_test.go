package kdg

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"100": {Mean: 100}, "0.5": {Mean: 0.5}, "100~50/24h": {100, 50, 24 * time.Hour}, "1~1/90s": {1, 1, 90 * time.Second}, "1~0/1m": {1, 0, time.Minute},
	} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "1e9", "NaN", "Inf", "fast", "100~", "100~101/1h", "100~-1/1h", "100~NaN/1h", "100~50", "100~50/0s", "100~50/day"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

func TestParseInjection(t *testing.T) {
	for text, want := range map[string]Injection{
		"spike@10m+30s":                        {Spike, someTime.Add(10 * time.Minute), 30 * time.Second},
		"flood@2099-01-31T12:00:00Z+1h":        {Flood, time.Date(2099, 1, 31, 12, 0, 0, 0, time.UTC), time.Hour},
		"silence@2099-01-31T14:00:00+02:00+1s": {Silence, time.Date(2099, 1, 31, 12, 0, 0, 0, time.UTC), time.Second},
		"shift@0s+1m":                          {Shift, someTime, time.Minute},
	} {
		if got, err := ParseInjection(text, someTime); err != nil || got.Kind != want.Kind || !got.At.Equal(want.At) || got.For != want.For {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "spike", "spike@10m", "storm@10m+30s", "spike@soon+30s", "spike@10m+0s", "spike@10m+-1s", "spike@10m+x", "spike@-1m+2m", "spike@2001-01-01T00:00:00Z+1h"} {
		if got, err := ParseInjection(text, someTime); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

// TestPeriodicRate counts the records of each quarter of two periods.
func TestPeriodicRate(t *testing.T) {
	const mean, amplitude = 100.0, 80.0
	s := NewStream([]Source{{mustParse(t, "x"), Rate{mean, amplitude, time.Minute}}}, 1, someTime)
	var counts [8]int
	previous := time.Duration(-1)
	for {
		_, _, at := s.Next(nil)
		due := at.Sub(someTime)
		if due < previous {
			t.Fatalf("%v after %v", due, previous)
		}
		previous = due
		if due >= 2*time.Minute {
			break
		}
		counts[due/(15*time.Second)]++
	}
	more := amplitude * 60 / (2 * math.Pi) // what a quarter of the wave adds
	for i, n := range counts {
		want := mean*15 + more
		if i%4 >= 2 {
			want = mean*15 - more
		}
		if math.Abs(float64(n)-want) > 1 {
			t.Errorf("%d records in quarter %d; want %.1f", n, i, want)
		}
	}
}

// TestInjections counts the records of each second.
func TestInjections(t *testing.T) {
	for text, want := range map[string][5]int{
		"":                            {20, 20, 20, 20, 20},
		"spike@1s+1s":                 {20, 200, 20, 20, 20},
		"shift@1s+3s":                 {20, 40, 40, 40, 20},
		"silence@0s+2s":               {0, 0, 20, 20, 20},
		"flood@2s+2s":                 {20, 20, 40, 40, 20},
		"shift@1s+2s spike@2s+1s":     {20, 40, 400, 20, 20},
		"silence@1s+2s flood@2s+2s":   {20, 0, 20, 40, 20},
		"silence@1s+1s silence@2s+1s": {20, 0, 0, 20, 20},
	} {
		var injections []Injection
		for _, one := range strings.Fields(text) {
			i, err := ParseInjection(one, someTime)
			if err != nil {
				t.Fatal(err)
			}
			injections = append(injections, i)
		}
		x := mustParse(t, "x")
		s := NewStream([]Source{{x, Rate{Mean: 5}}, {x, Rate{Mean: 15}}}, 1, someTime, injections...)
		var got [5]int
		for {
			_, source, at := s.Next(nil)
			if at.Sub(someTime) >= 5*time.Second {
				break
			}
			if source > 1 {
				t.Fatalf("a record of source %d", source)
			}
			got[at.Sub(someTime)/time.Second]++
		}
		if got != want {
			t.Errorf("with %q come %v records in each second; want %v", text, got, want)
		}
	}
}

// TestFlood tells the records of a flood by what they share; the others are as without it.
func TestFlood(t *testing.T) {
	i, err := ParseInjection("flood@1s+1s", someTime)
	if err != nil {
		t.Fatal(err)
	}
	source := Source{mustParse(t, "{{internet.ip}} {{random.number}} {{date.now(SSS)}}"), Rate{Mean: 50}}
	take := func(injections ...Injection) (lines []string) {
		s := NewStream([]Source{source}, 1, someTime, injections...)
		for {
			line, _, at := s.Next(nil)
			if at.Sub(someTime) >= 3*time.Second {
				return lines
			}
			lines = append(lines, string(line))
		}
	}
	ordinary := map[string]bool{}
	for _, line := range take() {
		ordinary[line] = true
	}
	values, times := map[string]bool{}, map[string]bool{}
	for _, line := range take(i) {
		if ordinary[line] {
			delete(ordinary, line)
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		values[line[:space]], times[line[space:]] = true, true
	}
	if len(ordinary) > 0 || len(values) != 1 || len(times) != 50 {
		t.Errorf("%d ordinary records are missing; the others have %d values and %d times", len(ordinary), len(values), len(times))
	}
}

func TestInjectionsAreDeterministic(t *testing.T) {
	i := Injection{Spike, someTime.Add(time.Second), time.Second}
	source := Source{mustParse(t, TransactionNormal), Rate{100, 50, time.Minute}}
	var texts [2][]byte
	for n := range texts {
		s := NewStream([]Source{source}, 7, someTime, i, Injection{Flood, i.At, i.For})
		for range 1000 {
			texts[n], _, _ = s.Next(texts[n])
		}
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("the same seed, start and injections give other bytes")
	}
}
