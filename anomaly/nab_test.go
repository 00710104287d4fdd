package anomaly

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"flag"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

var nab = flag.String("nab", "", "folder with data/ and labels/combined_windows.json of the Numenta Anomaly Benchmark")

// benchmark is one series, with what an alert at each of its rows is worth (Lavin and Ahmad 2015, standard profile).
type benchmark struct {
	at      []int64
	values  []float64
	worth   []float64 // in a window from 1 down to 0, elsewhere 0 down to -0.11
	window  []int     // or none, or ignored
	windows int
}

const (
	none    = -1
	ignored = -2
)

func loadBenchmarks(t *testing.T, folder string) (all []*benchmark) {
	text, err := os.ReadFile(filepath.Join(folder, "labels", "combined_windows.json"))
	if err != nil {
		t.Fatal(err)
	}
	var labels map[string][][2]string
	if err := json.Unmarshal(text, &labels); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		f, err := os.Open(filepath.Join(folder, "data", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		b := &benchmark{windows: len(labels[name])}
		for _, row := range rows[1:] {
			at, err := time.Parse(time.DateTime, row[0])
			x, bad := strconv.ParseFloat(row[1], 64)
			if err != nil || bad != nil {
				t.Fatalf("%s: %v", name, row)
			}
			b.at, b.values = append(b.at, at.UnixMilli()), append(b.values, x)
		}
		b.weigh(t, labels[name])
		all = append(all, b)
	}
	return all
}

func (b *benchmark) weigh(t *testing.T, labels [][2]string) {
	row := func(text string) int {
		at, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Index(b.at, at.UnixMilli()) // the first of equal times
	}
	fall := func(x float64) float64 {
		if x > 3 {
			return -1
		}
		return 2/(1+math.Exp(5*x)) - 1
	}
	n := len(b.at)
	b.worth, b.window = slices.Repeat([]float64{-0.11}, n), slices.Repeat([]int{none}, n)
	for w, label := range labels {
		first, last := row(label[0]), row(label[1])
		width := float64(last - first + 1)
		for i := first; i <= last; i++ {
			b.window[i], b.worth[i] = w, fall(-float64(last-i+1)/width)/fall(-1)
		}
		for i := last + 1; i < n; i++ {
			b.worth[i] = 0.11 * fall(float64(i-last)/(width-1))
		}
	}
	for i := range min(n*15/100, 750) {
		b.window[i] = ignored
	}
}

// scores are those of a tuning, row by row.
func (b *benchmark) scores(t tuning) []float64 {
	track := newTrack(t, SeriesThreshold)
	scores := make([]float64, len(b.values))
	for i, x := range b.values {
		v, _ := track.Observe(b.at[i], x)
		scores[i] = v.Score
	}
	return scores
}

func runBenchmarks(all []*benchmark, t tuning) (scores [][]float64) {
	for _, b := range all {
		scores = append(scores, b.scores(t))
	}
	return scores
}

// total is the normalised score: 0 for no alert at all, 100 for one at the first row of each window. At a threshold of
// NaN it is that at the best threshold for all series together, which it tells.
func total(all []*benchmark, scores [][]float64, threshold float64) (score, at float64) {
	type alert struct {
		series, row int
		score       float64
	}
	var alerts []alert
	windows := 0
	for k, b := range all {
		windows += b.windows
		for i, s := range scores[k] {
			if s > 0 && b.window[i] != ignored {
				alerts = append(alerts, alert{k, i, s})
			}
		}
	}
	slices.SortStableFunc(alerts, func(a, b alert) int { return cmp.Compare(b.score, a.score) })
	best, at := 0.0, math.Inf(1)
	sum := 0.0
	found := map[[2]int]float64{} // window: what it is worth so far, more than not to be found, which is -1
	for i, a := range alerts {
		if a.score < threshold {
			break
		}
		b := all[a.series]
		if w := [2]int{a.series, b.window[a.row]}; w[1] == none {
			sum += b.worth[a.row]
		} else if gain := b.worth[a.row] + 1; gain > found[w] {
			sum += gain - found[w]
			found[w] = gain
		}
		if last := i+1 == len(alerts) || alerts[i+1].score < a.score; last && sum > best {
			best, at = sum, a.score
		}
	}
	if math.IsNaN(threshold) {
		sum = best
	} else {
		at = threshold
	}
	return 100 * sum / float64(2*windows), at
}

func every(second int, all []*benchmark) (half []*benchmark) {
	for i, b := range all {
		if i%2 == second {
			half = append(half, b)
		}
	}
	return half
}

// TestNAB measures the kind series by the Numenta Anomaly Benchmark: go test ./anomaly -run NAB -nab FOLDER -v. The constants as they are,
// over all files; then chosen on every second file alone, and measured on the others at the threshold that was best where they were chosen.
func TestNAB(t *testing.T) {
	if *nab == "" {
		t.Skip("needs the benchmark's folder: -nab FOLDER")
	}
	all := loadBenchmarks(t, *nab)
	score, at := total(all, runBenchmarks(all, standardTuning()), math.NaN())
	t.Logf("all files: %.2f at the threshold %.4f", score, at)
	if score < 74 {
		t.Errorf("want 74 at least")
	}
	sum := 0.0
	for chosen := range 2 {
		here, there := every(chosen, all), every(1-chosen, all)
		tuning := choose(here)
		own, at := total(here, runBenchmarks(here, tuning), math.NaN())
		other, _ := total(there, runBenchmarks(there, tuning), at)
		_, fixed := total(here, runBenchmarks(here, standardTuning()), math.NaN())
		asIs, _ := total(there, runBenchmarks(there, standardTuning()), fixed)
		t.Logf("chosen on %d files: %.2f there, %.2f on the other %d (%.2f with the constants as they are); %+v", len(here), own, other, len(there), asIs, tuning)
		sum += other
	}
	t.Logf("mean of the files on which nothing was chosen: %.2f", sum/2)
	if sum/2 < 62 {
		t.Errorf("want 62 at least")
	}
}

// choose begins with round numbers, and takes one constant after the other, twice, the value with the best score.
func choose(all []*benchmark) tuning {
	best := tuning{
		weights: [views]float64{1, 1, 1, 1, 1}, stretch: stretch{once: 1, again: 1, often: 1, freely: 50}, floor: 0.01,
		mid: 16, slow: 1000, swift: 64, day: 48, damping: 1000, gate: 60,
	}
	score, _ := total(all, runBenchmarks(all, best), math.NaN())
	try := func(value func(*tuning) *float64, candidates ...float64) {
		for _, c := range candidates {
			next := best
			*value(&next) = c
			if s, _ := total(all, runBenchmarks(all, next), math.NaN()); s > score {
				best, score = next, s
			}
		}
	}
	for range 2 {
		for v := range views {
			try(func(t *tuning) *float64 { return &t.weights[v] }, 0.5, 0.75, 1)
		}
		try(func(t *tuning) *float64 { return &t.stretch.once }, 0.25, 0.5, 1)
		try(func(t *tuning) *float64 { return &t.floor }, 0.01, 0.02)
		try(func(t *tuning) *float64 { return &t.mid }, 16, 24, 32)
		try(func(t *tuning) *float64 { return &t.slow }, 1000, 2000)
		try(func(t *tuning) *float64 { return &t.day }, 24, 48)
		try(func(t *tuning) *float64 { return &t.damping }, 300, 1000)
		try(func(t *tuning) *float64 { return &t.gate }, 30, 60)
	}
	return best
}
