package anomaly_test

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
)

// What the first version of the kind rate has saved is taken over: 3,000 records of 40 addresses, 20 a second, with a window of 20 seconds.
func TestFirstVersion(t *testing.T) {
	saved, err := os.ReadFile("testdata/rate-1.snapshot")
	if err != nil {
		t.Fatal(err)
	}
	settings := bySource
	settings.Baseline, settings.Window = anomaly.Both, 20*time.Second
	e := newEngine(t, settings)
	if err := e.Restore(saved); err != nil {
		t.Fatal(err)
	}
	var v *anomaly.RowVerdict
	for range 3 {
		v = e.score([]byte("10.0.0.7"), noon.Add(150*time.Second))
	}
	const score = 2.908946833651852e-12 // by the program that saved it
	if e.Keys(0) != 40 || v.Count != 12 || v.Samples != 7 || v.Expected != 10 || v.Upper != 30 || math.Abs(v.Score/score-1) > 1e-6 {
		t.Errorf("%d keys, %+v", e.Keys(0), v.Verdict)
	}
}
