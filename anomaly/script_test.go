package anomaly_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
)

// TestScripts runs the cases of testdata/*.script. A case is
//
//	== name
//	detector kind=value metric=x key=key window=10s   its settings, as in the configuration; kind=track is a Track
//	feed 500 every 1s x = normal(42, 1)               so many rows, each so long after the one before it; x is any expression
//	feed 1 every 0s late 10m x = 42 key = "a"         a row that is late by so much, and its key, also an expression
//	skip 1h                                           time goes by; a negative time sets the clock back
//	restart                                           the detector is saved, and another goes on from there
//	expect flags 1..3                                 rows that were flagged since the last line like this, or since the
//	expect warming 50                                 beginning; rows for which the detector was warming up,
//	expect unusable 2                                 and those without a number
//	expect keys 1..100                                keys that the detector knows
//	expect reason text                                that the last flag had
//	expect opens 1                                    notices of episodes, likewise peaks and closes, as they are told at a commit
//
// In expressions i is the number of the row in its line, from 0, and hour the time of day in hours; normal, uniform and lognormal draw
// at random, the same in every run. Lines that begin with # are comments.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n, one := range strings.Split("\n"+string(text), "\n== ")[1:] {
			name, body, _ := strings.Cut(one, "\n")
			t.Run(strings.TrimSuffix(filepath.Base(file), ".script")+"/"+strings.TrimSpace(name), func(t *testing.T) {
				t.Parallel()
				s := &script{phases: map[string]int{}, sequences: map[string]int{}, at: noon, random: rand.New(rand.NewPCG(uint64(n), 1))}
				for i, line := range strings.Split(body, "\n") {
					if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
						continue
					}
					if err := s.run(line); err != nil {
						t.Errorf("line %d, %s: %v", i+1, line, err)
					}
				}
				if s.expected == 0 {
					t.Error("it expects nothing")
				}
			})
		}
	}
}

type script struct {
	settings anomaly.Settings
	engine   *anomaly.Engine
	track    *anomaly.Track
	table    *columns.Table
	random   *rand.Rand
	at       time.Time

	flags, warming, unusable int // since the last expect of the same
	before                   uint64
	reason                   string
	phases                   map[string]int
	sequences                map[string]int // of each episode's last notice
	expected                 int
}

func (s *script) run(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "detector":
		return s.make(strings.Fields(rest))
	case "feed":
		return s.feed(rest)
	case "skip":
		d, err := time.ParseDuration(rest)
		s.at = s.at.Add(d)
		return err
	case "restart":
		return s.restart()
	case "expect":
		s.expected++
		return s.expect(rest)
	}
	return errors.New("there is no such command")
}

func (s *script) make(settings []string) (err error) {
	s.settings = anomaly.Settings{Name: "d"}
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		number, bad := strconv.ParseFloat(value, 64)
		whole := int64(number)
		switch name {
		case "kind":
			s.settings.Kind, bad = value, nil
		case "metric":
			s.settings.Metric, bad = value, nil
		case "key":
			s.settings.Key, bad = strings.Split(value, ","), nil
		case "expression":
			s.settings.Expression, bad = value, nil
		case "baseline":
			s.settings.Baseline, bad = value, nil
		case "window":
			s.settings.Window, bad = time.ParseDuration(value)
		case "threshold":
			s.settings.Threshold = &number
		case "min_count":
			s.settings.MinCount = &whole
		case "max_keys":
			s.settings.MaxKeys = int(whole)
		default:
			bad = fmt.Errorf("there is no setting %s", name)
		}
		if bad != nil {
			return bad
		}
	}
	if s.settings.Kind == "track" {
		threshold := anomaly.SeriesThreshold
		if s.settings.Threshold != nil {
			threshold = *s.settings.Threshold
		}
		s.track = anomaly.NewTrack(threshold)
		return nil
	}
	s.table = columns.NewTable([]columns.Field{{Name: "key", Type: columns.String}, {Name: "x", Type: columns.Double}})
	return s.renew()
}

func (s *script) renew() (err error) {
	if s.engine, err = anomaly.NewEngine([]anomaly.Settings{s.settings}); err != nil {
		return err
	}
	s.engine.Follow("shard", 0)
	return s.engine.Bind([]columns.Field{{Name: "key", Type: columns.String}, {Name: "x", Type: columns.Double}})
}

// tell counts the notices of a commit. Those of an episode begin with its opening, and come in their order.
func (s *script) tell() error {
	s.engine.Settle()
	s.engine.Snapshot(nil)
	for _, n := range s.engine.Durable() {
		last, known := s.sequences[n.ID]
		if known == (n.Phase == anomaly.Opens) || known && n.Sequence <= last {
			return fmt.Errorf("after the notice %d of its episode comes %+v", last, n)
		}
		s.sequences[n.ID] = n.Sequence
		s.phases[n.Phase]++
		s.engine.Told(n.ID, n.Sequence)
	}
	return nil
}

func (s *script) restart() error {
	if err := s.tell(); err != nil {
		return err
	}
	saved := s.engine.Snapshot(nil)
	if err := s.renew(); err != nil {
		return err
	}
	s.before = 0
	if err := s.engine.Restore(saved); err != nil {
		return err
	}
	if again := s.engine.Snapshot(nil); !bytes.Equal(again, saved) {
		return errors.New("what is restored is not what was saved")
	}
	return nil
}

// feed reads N every D [late D] x = EXPRESSION [key = EXPRESSION].
func (s *script) feed(text string) error {
	head, value, ok := strings.Cut(text, " x = ")
	var n int
	var step, late time.Duration
	words := strings.Fields(head)
	for i := 0; i+1 < len(words) && ok; i += 2 {
		var err error
		switch words[i] {
		case "every":
			step, err = time.ParseDuration(words[i+1])
		case "late":
			late, err = time.ParseDuration(words[i+1])
		default:
			n, err = strconv.Atoi(words[i])
			i--
		}
		if err != nil {
			return err
		}
	}
	if n == 0 {
		return errors.New("want: feed N every TIME x = EXPRESSION")
	}
	value, key, ok := strings.Cut(value, " key = ")
	if !ok {
		key = `"k"`
	}
	variables := map[string]any{
		"i": 0, "hour": 0.0, "NaN": math.NaN(), "Inf": math.Inf(1), "pi": math.Pi, "sin": math.Sin,
		"normal":    func(mean, deviation float64) float64 { return mean + deviation*s.random.NormFloat64() },
		"lognormal": func(mean, deviation float64) float64 { return math.Exp(mean + deviation*s.random.NormFloat64()) },
		"uniform":   func(low, high float64) float64 { return low + (high-low)*s.random.Float64() },
	}
	x, err := expr.Compile(value, expr.Env(variables), expr.AsFloat64())
	if err != nil {
		return err
	}
	k, err := expr.Compile(key, expr.Env(variables))
	if err != nil {
		return err
	}
	for i := range n {
		if late == 0 {
			s.at = s.at.Add(step)
		}
		at := s.at.Add(-late)
		variables["i"], variables["hour"] = i, math.Mod(at.Sub(noon).Hours()+12, 24)
		x, err := expr.Run(x, variables)
		if err != nil {
			return err
		}
		k, err := expr.Run(k, variables)
		if err != nil {
			return err
		}
		s.row(at.UnixMilli(), x.(float64), k.(string))
	}
	return nil
}

func (s *script) row(at int64, x float64, key string) {
	if s.track != nil {
		v, ok := s.track.Observe(at, x)
		s.count(v.Abnormal, v.Warming && ok, !ok)
		return
	}
	s.table.Truncate(0)
	s.table.Columns[0].AppendString(key)
	s.table.Columns[1].AppendDouble(x)
	s.table.EndRow()
	v := s.engine.Score(s.table, 0, at)
	s.count(len(v.Flags) > 0, v.Scored && v.Warming, s.engine.Unusable(0) > s.before)
	s.before = s.engine.Unusable(0)
	if len(v.Flags) > 0 {
		s.reason = string(v.Reason)
	}
}

func (s *script) count(flagged, warming, unusable bool) {
	for of, is := range map[*int]bool{&s.flags: flagged, &s.warming: warming, &s.unusable: unusable} {
		if is {
			*of++
		}
	}
}

func (s *script) expect(text string) error {
	what, want, _ := strings.Cut(text, " ")
	got := 0
	switch what {
	case "flags":
		got, s.flags = s.flags, 0
	case "warming":
		got, s.warming = s.warming, 0
	case "unusable":
		got, s.unusable = s.unusable, 0
	case anomaly.Opens, anomaly.Peaks, anomaly.Closes:
		if err := s.tell(); err != nil {
			return err
		}
		got, s.phases[what] = s.phases[what], 0
	case "keys":
		got = s.engine.Keys(0)
	case "reason":
		if s.reason != want {
			return fmt.Errorf("it is %q", s.reason)
		}
		return nil
	default:
		return errors.New("there is nothing such to expect")
	}
	least, most, ranged := strings.Cut(want, "..")
	if !ranged {
		most = least
	}
	low, err := strconv.Atoi(least)
	high, other := strconv.Atoi(most)
	if err != nil || other != nil {
		return errors.New("want a number, or two with .. between them")
	}
	if got < low || got > high {
		return fmt.Errorf("there are %d", got)
	}
	return nil
}
