package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/internal/redrive"
	"github.com/sluice-etl/sluice/internal/service"
)

// runRedrive sends rejected records to the stream again, each at most once.
func runRedrive(ctx context.Context, c command) error {
	own := flags("redrive")
	prefix := own.String("prefix", "", "send what lies under this `prefix` (default: the beginning of SLUICE_ERROR_PREFIX, before its first expression)")
	from := own.String("from", "", "send records that arrived since: an RFC 3339 `time`, or a date, in UTC (default: all)")
	to := own.String("to", "", "send records that arrived before: an RFC 3339 `time`, or a date, which is then the last day (default: now)")
	var codes repeated
	own.Var(&codes, "code", "send records with this error `code` alone; may be repeated")
	force := own.Bool("force", false, "send also what was sent before, or may have been")
	dryRun := own.Bool("dry-run", false, "tell what would be sent, and send nothing")
	asJSON := own.Bool("json", false, "print the summary as a line of JSON")
	cfg, err := load(c, own, 0)
	if err != nil {
		return err
	}
	r := redrive.Config{Prefix: *prefix, Codes: codes, Force: *force, DryRun: *dryRun}
	for _, code := range codes {
		if known := pipeline.Reasons(); !slices.Contains(known, code) {
			return usageError(fmt.Sprintf("--code %s: there is no such error code; there are %s", code, strings.Join(known, ", ")))
		}
	}
	if *from != "" || *to != "" {
		begin := *from
		if begin == "" {
			begin = time.Unix(0, 0).UTC().Format(time.RFC3339)
		}
		if r.From, r.To, err = timeRange(begin, *to, time.Now()); err != nil {
			return err
		}
	}
	p := startProgress(c.stderr, c.terminal)
	defer p.stop()
	r.Progress = func(records int) { p.set("records", int64(records), 0) }
	summary, err := service.Redrive(ctx, cfg, r)
	p.stop()
	if summary.Codes != nil { // it began
		if e := printRedrive(c.stdout, summary, *asJSON, *dryRun); err == nil {
			err = e
		}
	}
	return err
}

func printRedrive(w io.Writer, s redrive.Summary, asJSON, dryRun bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d rejected records in %d files\n", s.Records, s.Files)
	for _, code := range slices.Sorted(maps.Keys(s.Codes)) {
		fmt.Fprintf(&b, "  %-16s %d\n", code, s.Codes[code])
	}
	done := "sent"
	if dryRun {
		done = "would be sent"
	}
	fmt.Fprintf(&b, "%d %s\n", s.Sent, done)
	if s.Before > 0 {
		fmt.Fprintf(&b, "%d were sent before; --force sends them again\n", s.Before)
	}
	if s.InDoubt > 0 {
		fmt.Fprintf(&b, "%d are in doubt, and not sent again: a run was cut off while it sent them, or is sending them now; look whether their rows "+
			"are there, and send with --force, --from, --to and --code what is not\n", s.InDoubt)
	}
	if s.Others > 0 {
		fmt.Fprintf(&b, "%d objects are no files of rejects\n", s.Others)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
