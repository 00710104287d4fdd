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

	"github.com/sluice-etl/sluice/internal/config"
)

// report tells what lies in the bucket, read from the files themselves.
func report(s *standIns, cfg *config.Config, o options) error {
	r, err := readResults(s.bucket, cfg.Detectors)
	if err != nil {
		return fmt.Errorf("read the results: %w", err)
	}
	states, err := s.aws.Report(context.Background(), stream, cfg.LeaseTable)
	if err != nil {
		return fmt.Errorf("read the lease table: %w", err)
	}
	for _, shard := range states {
		r.Commits += int(shard.Commit)
	}
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
	if len(r.Top) == 0 {
		fmt.Fprintln(w, "No record was flagged.")
	} else {
		fmt.Fprintf(w, "%d rows are flagged. The abnormal keys:\n\n", r.Anomalies)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "  KEY\tFLAGGED ROWS\tHIGHEST SCORE\tDETECTOR")
		for _, a := range r.Top {
			fmt.Fprintf(table, "  %s\t%d\t%.6f\t%s\n", a.Key, a.Count, a.MaxScore, a.Detector)
		}
		table.Flush()
	}
	files := filepath.Join(r.DataDir, "*", "*", "*", "*", "*.parquet")
	fmt.Fprintf(w, `
The lab's two queries, as DuckDB runs them. Which address comes how often in the newest hour?

  WITH transactions AS (
    SELECT * FROM read_parquet('%[1]s',
      hive_partitioning = true, hive_types_autocast = false))
  SELECT sourceip, count(*) AS transactions FROM transactions
  WHERE (ingest_year, ingest_month, ingest_day, ingest_hour) =
    (SELECT max((ingest_year, ingest_month, ingest_day, ingest_hour)) FROM transactions)
  GROUP BY sourceip ORDER BY transactions DESC LIMIT 10;

What did the abnormal one do?

  SELECT * FROM read_parquet('%[1]s',
    hive_partitioning = true, hive_types_autocast = false)
  WHERE sourceip = '221.233.116.256' ORDER BY ingest_time;
`, files)
}
