package kdg

import (
	"bytes"
	"math"
	"testing"
	"time"
)

func TestStreamMergesByTime(t *testing.T) {
	normal, abnormal := mustParse(t, TransactionNormal), mustParse(t, TransactionAbnormal)
	s := NewStream([]Source{{normal, Rate{Mean: 100}}, {abnormal, Rate{Mean: 1}}, {mustParse(t, "x"), Rate{}}}, 5, someTime)
	counts := make([]int, 3)
	previous := someTime
	for {
		record, source, at := s.Next(nil)
		if at.Sub(someTime) >= 60*time.Second {
			break
		}
		if at.Before(previous) {
			t.Fatalf("%v after %v", at, previous)
		}
		previous = at
		counts[source]++
		if source == 1 && !bytes.Contains(record, []byte("221.233.116.256")) {
			t.Fatalf("%s of source 1", record)
		}
		if source != 2 && !bytes.Contains(record, at.AppendFormat(nil, "2006-01-02T15:04:05-07:00")) {
			t.Fatalf("%s does not show %v", record, at)
		}
	}
	if counts[0] != 6000 || counts[1] != 60 || counts[2] != 60_000 {
		t.Errorf("records in 60 s: %v", counts)
	}
}

func TestStreamIsDeterministic(t *testing.T) {
	normal, abnormal := mustParse(t, TransactionNormal), mustParse(t, TransactionAbnormal)
	take := func(seed uint64, sources ...Source) (all []byte, ofFirst []byte) {
		s := NewStream(sources, seed, someTime)
		for range 5000 {
			record, source, _ := s.Next(nil)
			all = append(all, record...)
			if source == 0 {
				ofFirst = append(ofFirst, record...)
			}
		}
		return all, ofFirst
	}
	first, _ := take(1, Source{normal, Rate{Mean: 100}}, Source{abnormal, Rate{Mean: 50}})
	again, own := take(1, Source{normal, Rate{Mean: 100}}, Source{abnormal, Rate{Mean: 50}})
	if !bytes.Equal(first, again) {
		t.Error("the same seed gives other bytes")
	}
	if other, _ := take(2, Source{normal, Rate{Mean: 100}}, Source{abnormal, Rate{Mean: 50}}); bytes.Equal(first, other) {
		t.Error("another seed gives the same bytes")
	}
	if alone, _ := take(1, Source{normal, Rate{Mean: 100}}); !bytes.HasPrefix(alone, own) {
		t.Error("a source's records depend on the other sources")
	}
	twins, own := take(1, Source{normal, Rate{Mean: 100}}, Source{normal, Rate{Mean: 100}})
	if bytes.Contains(twins[len(twins)/2:], own[:100]) {
		t.Error("two sources of one template give the same records")
	}
}

func TestStreamOddRates(t *testing.T) {
	x := mustParse(t, "x")
	for rate, want := range map[float64]time.Duration{
		3: time.Second / 3, 1e-300: math.MaxInt64, 0: time.Millisecond, -1: time.Millisecond,
		math.NaN(): time.Millisecond, math.Inf(1): time.Millisecond, 1e12: 0,
	} {
		s := NewStream([]Source{{x, Rate{Mean: rate}}}, 1, time.Unix(0, 0))
		s.Next(nil)
		if _, _, at := s.Next(nil); at.Sub(time.Unix(0, 0)) != want {
			t.Errorf("rate %v: the second record is due at %v, not %v", rate, at.Sub(time.Unix(0, 0)), want)
		}
	}
	record, source, at := NewStream(nil, 1, someTime).Next([]byte("kept"))
	if string(record) != "kept" || source != -1 || !at.Equal(someTime) {
		t.Errorf("without sources: %q, %d, %v", record, source, at)
	}
}

func BenchmarkStream(b *testing.B) {
	s := NewStream([]Source{{mustParse(b, TransactionNormal), Rate{Mean: 10_000}}, {mustParse(b, TransactionAbnormal), Rate{Mean: 100}}}, 1, someTime)
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buffer, _, _ = s.Next(buffer[:0])
	}
}
