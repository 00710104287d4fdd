package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-etl/sluice/internal/alert"
	"github.com/sluice-etl/sluice/internal/config"
)

// report tells what lies in the bucket, read from the files themselves, and what alerts were sent.
func report(s *standIns, cfg *config.Config, o options, alerts []alert.Alert) error {
	r, err := readResults(s.bucket, cfg, o.module)
	if err != nil {
		return fmt.Errorf("read the results: %w", err)
	}
	states, err := s.aws.Report(context.Background(), cfg.Stream, cfg.LeaseTable)
	if err != nil {
		return fmt.Errorf("read the lease table: %w", err)
	}
	for _, shard := range states {
		r.Commits += int(shard.Commit)
	}
	r.Alerts = alerts
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	r.print(os.Stdout)
	if cfg.GlueTable != "" {
		columns, err := s.glue.Columns(context.Background(), cfg.GlueDatabase, cfg.GlueTable)
		if err != nil {
			return fmt.Errorf("read the catalog: %w", err)
		}
		partitions, err := s.glue.Locations(context.Background(), cfg.GlueDatabase, cfg.GlueTable)
		if err != nil {
			return fmt.Errorf("read the catalog: %w", err)
		}
		fmt.Printf("\nThe table %s.%s has %d columns and these partitions:\n\n  %s\n", cfg.GlueDatabase, cfg.GlueTable, len(columns), strings.Join(partitions, "\n  "))
	}
	return nil
}

// print writes the summary for a person.
func (r *results) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d records came: %d rows and %d rejects, in %d commits.\n", r.Records, r.Rows, r.Rejected, r.Commits)
	fmt.Fprintf(w, "%d files, %d bytes, under\n  %s\n\n", r.Files, r.Bytes, r.DataDir)
	if r.Rows == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	switch {
	case len(r.Top) > 0:
		fmt.Fprintf(w, "%d rows are flagged. The abnormal keys:\n\n", r.Anomalies)
		fmt.Fprintln(table, "  KEY\tFLAGGED ROWS\tHIGHEST SCORE\tDETECTOR")
		for _, a := range r.Top {
			fmt.Fprintf(table, "  %s\t%d\t%.6f\t%s\n", a.Key, a.Count, a.MaxScore, a.Detector)
		}
		table.Flush()
		fmt.Fprintln(w)
		if len(r.Alerts) > 0 {
			fmt.Fprintf(w, "%d alerts were sent, one for each time that a key became abnormal in a shard:\n\n", len(r.Alerts))
			for _, a := range r.Alerts {
				fmt.Fprintf(w, "  %s %s %s: %s\n", a.Opened.Format(time.TimeOnly), a.Shard, a.Detector, a.Reason)
			}
			fmt.Fprintln(w)
		}
	case len(r.detectors) > 0:
		fmt.Fprintln(w, "No record was flagged.")
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "What the lab asks: %s\n\n", r.question.text)
	fmt.Fprintf(table, "  %s\tROWS\n", strings.ToUpper(r.question.column))
	for _, a := range r.Answer {
		fmt.Fprintf(table, "  %s\t%d\n", a.Value, a.Rows)
	}
	table.Flush()
	fmt.Fprintf(w, "\nThe same for DuckDB:\n\n  "+r.question.query+"\n", filepath.Join(r.DataDir, "**", "*.*"))
}
