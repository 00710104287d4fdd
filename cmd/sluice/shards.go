package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/service"
)

// shards shows what the table and the stream tell of each shard. It changes nothing.
func shards(ctx context.Context, c command) error {
	own := flags("shards")
	asJSON := own.Bool("json", false, "print a JSON array")
	cfg, err := load(c, own, 0, config.Require("STREAM"))
	if err != nil {
		return err
	}
	clients, _, err := service.Connect(ctx, cfg, nil)
	if err != nil {
		return err
	}
	reports, err := clients.Report(ctx, cfg.StreamName(), cfg.LeaseTable)
	if err != nil {
		return err
	}
	if *asJSON {
		if reports == nil {
			reports = []consumer.ShardReport{}
		}
		out := json.NewEncoder(c.stdout)
		out.SetIndent("", "  ")
		return out.Encode(reports)
	}
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SHARD\tOWNER\tEPOCH\tPOSITION\tCOMMITTED\tLAG\tPENDING")
	for _, r := range reports {
		owner, position, committed, lag := r.Owner, r.Checkpoint, "never", "unknown"
		if owner == "" {
			owner = "-"
		}
		if position == "" {
			position = "-"
		}
		if r.Commit > 0 && !r.Updated.IsZero() {
			committed = time.Since(r.Updated).Round(time.Second).String() + " ago"
		}
		switch {
		case r.Finished:
			position, lag = "end", "-"
		case r.Lag != nil:
			lag = (time.Duration(*r.Lag * float64(time.Second))).Round(time.Millisecond).String()
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%d\n", r.Shard, owner, r.Epoch, position, committed, lag, r.Pending)
	}
	return table.Flush()
}
