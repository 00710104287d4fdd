package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-etl/sluice/internal/audit"
	"github.com/sluice-etl/sluice/internal/service"
)

// auditBucket names every difference between what the commits claim and what lies in the bucket. It changes nothing.
func auditBucket(ctx context.Context, c command) error {
	own := flags("audit")
	from := own.String("from", "", "beginning of the range: an RFC 3339 `time`, or a date, in UTC (default: 24 hours before the end)")
	to := own.String("to", "", "end of the range: an RFC 3339 `time`, or a date, which is then its last day (default: now)")
	asJSON := own.Bool("json", false, "print each difference as a line of JSON, and the summary as the last line")
	cfg, err := load(c, own, 0)
	if err != nil {
		return err
	}
	a := audit.Config{}
	if a.From, a.To, err = timeRange(*from, *to, time.Now()); err != nil {
		return err
	}
	out := auditOutput{w: c.stdout, progress: startProgress(c.stderr, c.terminal)}
	defer out.progress.stop()
	if *asJSON {
		out.json = json.NewEncoder(c.stdout)
		out.json.SetEscapeHTML(false)
	}
	a.Report = out.difference
	a.Progress = func(p audit.Progress) { out.progress.set(p.Part, p.Done, p.Share) }
	summary, err := service.Audit(ctx, cfg, a)
	out.progress.stop()
	if err != nil {
		return err
	}
	if err := out.summary(summary); err != nil {
		return err
	}
	if n := differences(summary); n > 0 {
		return fmt.Errorf("%s between what is claimed and what was found", count(n, "difference"))
	}
	return nil
}

// timeRange reads a range, which ends now at the latest.
func timeRange(from, to string, now time.Time) (begin, end time.Time, err error) {
	now = now.UTC()
	end = now
	if to != "" {
		var date bool
		if end, date, err = timeOrDate("to", to); err != nil {
			return begin, end, err
		}
		if date {
			end = end.AddDate(0, 0, 1)
		}
		if end.After(now) {
			end = now
		}
	}
	begin = end.AddDate(0, 0, -1)
	if from != "" {
		if begin, _, err = timeOrDate("from", from); err != nil {
			return begin, end, err
		}
	}
	if !begin.Before(end) {
		return begin, end, usageError(fmt.Sprintf("the range from %s to %s is empty: --from has to be earlier than --to, and than now",
			begin.Format(time.RFC3339), end.Format(time.RFC3339)))
	}
	return begin, end, nil
}

func timeOrDate(flag, text string) (at time.Time, date bool, err error) {
	if at, err = time.Parse(time.DateOnly, text); err == nil {
		return at, true, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err == nil {
		return at.UTC(), false, nil
	}
	return at, false, usageError(fmt.Sprintf("--%s %q is neither an RFC 3339 time, as 2026-01-31T12:00:00Z is, nor a date, as 2026-01-31 is", flag, text))
}

// auditOutput prints what an audit finds.
type auditOutput struct {
	w        io.Writer
	json     *json.Encoder // nil: for people
	progress *progress
	err      error // the first one of a write
}

func (o *auditOutput) difference(d audit.Difference) {
	o.progress.hide()
	if o.json != nil {
		o.keep(o.json.Encode(d))
		return
	}
	_, err := fmt.Fprintln(o.w, d)
	o.keep(err)
}

// summary prints the summary, and tells whether all could be printed.
func (o *auditOutput) summary(s *audit.Summary) error {
	if o.json != nil {
		o.keep(o.json.Encode(s))
	} else {
		o.keep(printSummary(o.w, s))
	}
	return o.err
}

func (o *auditOutput) keep(err error) {
	if o.err == nil {
		o.err = err
	}
}

func printSummary(w io.Writer, s *audit.Summary) error {
	if differences(s) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "stream %s, application %s, from %s to %s: %s\n\n", s.Stream, s.App,
		s.From.Format(time.RFC3339), s.To.Format(time.RFC3339), count(s.Commits, "commit"))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tCLAIMED\tFOUND\t")
	for _, line := range []struct {
		name           string
		claimed, found int64
	}{
		{"files", s.Claimed.Files, s.Found.Files}, {"rows", s.Claimed.Rows, s.Found.Rows}, {"bytes", s.Claimed.Bytes, s.Found.Bytes},
	} {
		fmt.Fprintf(table, "%s\t%d\t%d\t\n", line.name, line.claimed, line.found)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if s.GivenUp > 0 {
		fmt.Fprintf(w, "%s given up, since the uploads were aborted before they were visible; the records were read again.\n", count(s.GivenUp, "commit"))
	}
	fmt.Fprintf(w, "%s of this time lie under the prefixes of data and rejects", count(s.Objects, "object"))
	if s.Others > 0 {
		fmt.Fprintf(w, ", %d of them files of other streams", s.Others)
	}
	fmt.Fprintln(w, ".")
	verdict := "No difference."
	if n := differences(s); n > 0 {
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(s.Differences)) {
			kinds = append(kinds, fmt.Sprintf("%d %s", s.Differences[kind], kind))
		}
		verdict = count(n, "difference") + ": " + strings.Join(kinds, ", ") + "."
	}
	_, err := fmt.Fprintln(w, verdict)
	return err
}

func differences(s *audit.Summary) (n int64) {
	for _, of := range s.Differences {
		n += of
	}
	return n
}

// count is a number of things.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
