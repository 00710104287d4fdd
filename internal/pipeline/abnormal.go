package pipeline

import (
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/anomaly"
)

// Abnormal is a committed row that detectors flagged, as an operator is told of it.
type Abnormal struct {
	Shard     string
	Arrival   int64    // milliseconds since 1970
	Detectors string   // separated by commas
	Keys      [][]byte // by detector, as they stand in the reason; a detector without a key has an empty one
	Reason    []byte
	Score     float64 // in [0,1]: the highest
	Band      bool    // whether there are the next three
	Expected  float64
	Lower     float64
	Upper     float64
	Samples   int64 // that this is judged by
}

// maxAbnormal is how many rows of one batch an operator is told of: the last ones. How many there were is counted.
const maxAbnormal = 20

// lastFlagged finds the last flagged rows of the batch that are in its files, in their order.
func (b *batch) lastFlagged() (rows []Abnormal) {
	if !slices.ContainsFunc(b.flagged, func(n int) bool { return n > 0 }) {
		return nil
	}
	t := b.out.Table
	verdict := t.Columns[b.verdicts:][:len(anomaly.Fields())]
	for row := t.Rows() - 1; row >= 0 && len(rows) < maxAbnormal; row-- {
		if b.partition[row] == nowhere || !verdict[0].Bools[row] {
			continue
		}
		a := Abnormal{
			Shard: b.shard, Arrival: b.ingest[0].Ints[row], Score: verdict[1].Doubles[row], Detectors: string(verdict[2].TextAt(row)),
			Reason: verdict[3].TextAt(row), Band: verdict[4].Valid[row], Expected: verdict[4].Doubles[row],
			Lower: verdict[5].Doubles[row], Upper: verdict[6].Doubles[row], Samples: verdict[7].Ints[row],
		}
		for name := range strings.SplitSeq(a.Detectors, ",") {
			i := slices.IndexFunc(b.p.cfg.Detectors, func(s anomaly.Settings) bool { return s.Name == name })
			a.Keys = append(a.Keys, b.engine.AppendKey(nil, i, t, row))
		}
		rows = append(rows, a)
	}
	slices.Reverse(rows)
	return rows
}
