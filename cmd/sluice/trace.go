package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/internal/service"
	"github.com/sluice-etl/sluice/internal/trace"
)

// traceRecord tells where a record of the stream went. It changes nothing.
func traceRecord(ctx context.Context, c command) error {
	own := flags("trace SHARD SEQUENCE")
	sub := own.Int64("sub", -1, "only what has this `place` in the Kinesis record, as in ingest_sub (default: all)")
	asJSON := own.Bool("json", false, "print a JSON object")
	cfg, err := load(c, own, 2)
	if err != nil {
		return err
	}
	if len(cfg.Args) != 2 {
		return usageError("want a shard and a sequence number, as the columns ingest_shard and ingest_seq have them: sluice trace shardId-000000000001 4954...")
	}
	shard, sequence := cfg.Args[0], cfg.Args[1]
	if strings.Trim(sequence, "0123456789") != "" || sequence == "" {
		return usageError(fmt.Sprintf("%q is no sequence number, which has digits alone", sequence))
	}
	if strings.Trim(shard, "0123456789") == "" {
		shard = "shardId-" + strings.Repeat("0", max(0, 12-len(shard))) + shard
	}
	sequence = cmp.Or(strings.TrimLeft(sequence, "0"), "0")
	found, err := service.Trace(ctx, cfg, trace.Config{Shard: shard, Sequence: sequence})
	if err != nil {
		return err
	}
	if *sub >= 0 {
		found.Places = slices.DeleteFunc(found.Places, func(p trace.Place) bool { return p.Sub != *sub })
	}
	if *asJSON {
		out := json.NewEncoder(c.stdout)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		return out.Encode(found)
	}
	return printTrace(c.stdout, found)
}

func printTrace(out io.Writer, t *trace.Trace) error {
	w := &strings.Builder{}
	commit := fmt.Sprintf("commit %d in epoch %d, of %s", t.Commit, t.Epoch, t.Time)
	switch {
	case t.State == trace.Visible:
		fmt.Fprintf(w, "%s, as part of %s:\n", t.State, commit)
	case t.State == trace.Pending:
		fmt.Fprintf(w, "%s: %s holds it, and its files become visible as soon as somebody holds the shard\n", t.State, commit)
	case t.State == trace.NotCommitted && t.Commit > 0:
		fmt.Fprintf(w, "%s: the last of the shard is %s, and it ends before\n", t.State, commit)
	case t.State == trace.NotCommitted:
		fmt.Fprintf(w, "%s: there is no commit of %s\n", t.State, t.Shard)
	default:
		fmt.Fprintf(w, "%s: the first of which there is a record is %s, and it begins behind it: the application began later, or the records of commits were deleted\n", t.State, commit)
	}
	for _, p := range t.Places {
		fmt.Fprintf(w, "  %d  row %d of %s", p.Sub, p.Row, p.Object)
		if p.Code != "" {
			fmt.Fprintf(w, ", a reject (%s): %s", p.Code, p.Message)
		}
		if p.Reason != "" {
			fmt.Fprintf(w, ", flagged: %s", p.Reason)
		}
		fmt.Fprintln(w)
	}
	for _, key := range t.Raw {
		fmt.Fprintf(w, "  perhaps in %s: raw lines do not tell whose they are\n", key)
	}
	for _, key := range t.Gone {
		fmt.Fprintf(w, "  perhaps in %s, which is not there any more\n", key)
	}
	if t.State == trace.Visible && len(t.Places)+len(t.Raw)+len(t.Gone) == 0 {
		fmt.Fprintln(w, "  no row and no reject is of it: SLUICE_ENRICH has left it out, or the stream has no such record")
	}
	_, err := io.WriteString(out, w.String())
	return err
}
