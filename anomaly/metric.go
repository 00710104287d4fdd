package anomaly

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/sluice-etl/sluice/internal/columns"
)

// metric is what a series is made of: an aggregate of the rows in a window.
type metric struct {
	text      string
	aggregate string
	// Of ratio the two conditions, of others the first holds the column, if there is one.
	over, under condition
}

// condition is that a column has a value.
type condition struct {
	name   string
	value  []byte
	column int
}

var metricSyntax = regexp.MustCompile(`^(?:(count)|(sum|mean|min|max)\(([^=,()]+)\)|(ratio)\(([^=,()]+)=([^,()]*),([^=,()]+)=([^,()]*)\))$`)

// aggregates are what a metric can be, for a person.
const aggregates = "count, sum(c), mean(c), min(c), max(c) or ratio(c=v,c=w) with columns c and values v and w"

func parseMetric(text string) (m metric, err error) {
	parts := metricSyntax.FindStringSubmatch(text)
	if parts == nil {
		return m, fmt.Errorf("there is no metric %q; want %s", text, aggregates)
	}
	column := func(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
	m = metric{text: text, aggregate: parts[1] + parts[2] + parts[4]}
	m.over.name = column(parts[3] + parts[5])
	m.over.value = []byte(strings.TrimSpace(parts[6]))
	m.under = condition{name: column(parts[7]), value: []byte(strings.TrimSpace(parts[8]))}
	return m, nil
}

func (m *metric) bind(find finder) (err error) {
	if m.aggregate == "count" {
		return nil
	}
	if m.aggregate != "ratio" {
		m.over.column, err = find("metric", m.over.name, columns.Int64, columns.Double, columns.Decimal)
		return err
	}
	if m.over.column, err = find("metric", m.over.name); err == nil {
		m.under.column, err = find("metric", m.under.name)
	}
	return err
}

// part is what one row, or one slot, adds to the aggregate: two numbers.
type part struct{ a, b float64 }

// of is a row's part. It is not ok where the row has no number.
func (m *metric) of(row *row) (p part, ok bool) {
	switch m.aggregate {
	case "count":
		return part{1, 1}, true
	case "ratio":
		if row.matches(&m.over) {
			p.a = 1
		}
		if row.matches(&m.under) {
			p.b = 1
		}
		return p, true
	}
	x, ok := number(&row.table.Columns[m.over.column], row.row)
	return part{x, 1}, ok
}

func (m *metric) add(p, q part) part {
	switch {
	case q.b == 0 && m.aggregate != "ratio":
		return p
	case p.b == 0 && m.aggregate != "ratio":
		return q
	case m.aggregate == "min":
		return part{min(p.a, q.a), p.b + q.b}
	case m.aggregate == "max":
		return part{max(p.a, q.a), p.b + q.b}
	}
	return part{p.a + q.a, p.b + q.b}
}

// result is the aggregate of a window of so many seconds; counts and sums are by the second, so that what was learned fits any window. It
// is not ok where the window has none.
func (m *metric) result(p part, seconds float64) (x float64, ok bool) {
	switch m.aggregate {
	case "count", "sum":
		x, ok = p.a/seconds, true
	case "min", "max":
		x, ok = p.a, p.b > 0
	default:
		x, ok = p.a/p.b, p.b > 0
	}
	return x, ok && math.Abs(x) <= greatest
}

// grain is by how much a result that is about the usual one changes for no reason, where records come at random: by three standard
// deviations of Poisson distributions.
func (m *metric) grain(p part, usual, seconds float64) float64 {
	usual = max(usual, 0)
	switch m.aggregate {
	case "count":
		return 3 * math.Sqrt(usual/seconds)
	case "ratio":
		return 3 * math.Sqrt(float64(usual*(1+usual))/p.b)
	}
	return 0
}

// shown is a result as a person expects it: counts and sums are of the whole window.
func (m *metric) shown(x, seconds float64) float64 {
	if m.aggregate == "count" || m.aggregate == "sum" {
		return float64(x * seconds)
	}
	return x
}

// matches tells whether the row has the value of a condition.
func (r *row) matches(c *condition) bool {
	column := &r.table.Columns[c.column]
	if !column.Valid[r.row] {
		return false
	}
	if column.Type == columns.String {
		return bytes.Equal(column.TextAt(r.row), c.value)
	}
	*r.scratch = column.AppendValue((*r.scratch)[:0], r.row)
	return bytes.Equal(*r.scratch, c.value)
}
