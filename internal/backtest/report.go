package backtest

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
)

// topKeys is how many flagged keys of a detector are named.
const topKeys = 10

// Print tells a person what was found: of each detector the alerts by threshold, and the keys that were flagged.
func (r *Result) Print(w io.Writer) error {
	p := &printer{w: w}
	if r.What != "" {
		p.line("%s\n", r.What)
	}
	for _, note := range r.Notes {
		p.line("%s\n", note)
	}
	for _, o := range r.Outcomes {
		if o.Settings.Name == "" {
			p.line("%d rows, %d of them without a number\n", r.Rows, o.Unusable)
		} else {
			p.line("%s: %d rows, of which it could not judge %d while it warmed up, and %d without a number\n", o.Title(), r.Rows, o.Warming, o.Unusable)
		}
		p.thresholds(r, o)
		p.keys(o)
	}
	return p.err
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// Title is the detector's name, and what it does.
func (o *Outcome) Title() string {
	return fmt.Sprintf("%s (%s)", o.Settings.Name, describe(&o.Settings))
}

func describe(s *anomaly.Settings) string {
	text := s.Kind
	if s.Metric != "" {
		text += " of " + s.Metric
	}
	if s.Expression != "" {
		text += " " + s.Expression
	}
	if len(s.Key) > 0 {
		text += " by " + strings.Join(s.Key, ", ")
	}
	if s.Kind != anomaly.KindRule {
		text += " in " + s.Window.String()
	}
	return text
}

// thresholds prints what would have been flagged by threshold.
func (p *printer) thresholds(r *Result, o *Outcome) {
	rows := o.Settings.Name != "" // of a series each alert is a row
	table := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	heads := "threshold\t"
	if rows {
		heads += "flagged rows\tper 1,000\t"
	}
	heads += "alerts\tper 1,000 rows\t"
	if r.Labelled {
		heads += "precision\trecall\t"
	}
	fmt.Fprintln(table, heads+"\t")
	for i, threshold := range o.Thresholds {
		fmt.Fprintf(table, "%g\t", threshold)
		if rows {
			fmt.Fprintf(table, "%d\t%s\t", o.Flags[i], ratio(1000*o.Flags[i], r.Rows))
		}
		fmt.Fprintf(table, "%d\t%s\t", o.Alerts[i], ratio(1000*o.Alerts[i], r.Rows))
		if r.Labelled {
			fmt.Fprintf(table, "%s\t%s\t", ratio(o.Right[i], o.Alerts[i]), ratio(o.Found(i), o.Windows()))
		}
		mark := ""
		if i == o.Chosen {
			mark = "*"
		}
		fmt.Fprintln(table, mark+"\t")
	}
	if err := table.Flush(); p.err == nil {
		p.err = err
	}
	if !rows {
		p.line("\n* the threshold of the column anomaly; another is given by --threshold")
		return
	}
	p.line("\n* the threshold of the configuration; another is given by SLUICE_ANOMALY_%s_THRESHOLD", strings.ToUpper(o.Settings.Name))
	if r.Stored {
		p.line("flagged when they were written: %d rows; now: %d; in both: %d", o.Before, o.Flags[o.Chosen], o.Both)
	}
}

// keys prints the keys with the most flags.
func (p *printer) keys(o *Outcome) {
	top := o.Keys.Top(topKeys)
	if len(top) == 0 {
		p.line("")
		return
	}
	about := ""
	if o.Keys.Forgotten {
		about = ", of more than can be told; the counts may be too low"
	} else if n := o.Keys.Len(); n > len(top) {
		about = fmt.Sprintf(", of %d", n)
	}
	p.line("\nflagged most%s:", about)
	table := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  KEY\tFLAGGED\tHIGHEST SCORE\tAT\tREASON")
	for _, k := range top {
		key := k.Key
		if key == "" {
			key = "(all)"
		}
		fmt.Fprintf(table, "  %s\t%d\t%f\t%s\t%s\n", key, k.Count, k.Score, k.At.Format(time.RFC3339), k.Reason)
	}
	if err := table.Flush(); p.err == nil {
		p.err = err
	}
	p.line("")
}

func ratio(n, of int64) string {
	if of == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(n)/float64(of), 'f', 3, 64)
}
