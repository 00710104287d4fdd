package consumer

import (
	"log/slog"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// Observer is told what happens. Its methods are called by several goroutines at once and must not block.
type Observer interface {
	Leases(held int)                                     // the number of shards that this worker holds
	Readable(shards int)                                 // how many shards of the stream are to be read now, by whomever
	Owners(of map[string]string)                         // who holds each shard that is not finished, as the table tells; empty: nobody. The map is the observer's
	Lost(shard string)                                   // a shard was lost to another worker
	GaveUp(commit string)                                // its uploads were aborted by others; its records are read again
	Trimmed(shard, after, before string)                 // records between these were older than the retention, if there were any
	Lag(shard string, behind time.Duration)              // after every read
	Committed(shard string, b Batch, took time.Duration) // after a batch became visible
	Forget(shard string)                                 // the shard is no longer here, and nothing of it waits
	NotReady(what, reason string)                        // something is tried again: "SHARD: OPERATION", or "worker: ..."
	Ready(what string)                                   // it succeeded
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Leases(int)                             {}
func (nobody) Readable(int)                           {}
func (nobody) Owners(map[string]string)               {}
func (nobody) Lost(string)                            {}
func (nobody) GaveUp(string)                          {}
func (nobody) Trimmed(string, string, string)         {}
func (nobody) Lag(string, time.Duration)              {}
func (nobody) Committed(string, Batch, time.Duration) {}
func (nobody) Forget(string)                          {}
func (nobody) NotReady(string, string)                {}
func (nobody) Ready(string)                           {}

// observer logs beside telling the Observer.
type observer struct {
	Observer
	log *slog.Logger
}

func (o observer) lag(shard string, ms int64) { o.Lag(shard, millis(ms)) }

func (o observer) committed(shard string, b Batch, l *protocol.Lease, took time.Duration) {
	o.Committed(shard, b, took)
	rows, size := 0, 0
	for _, f := range b.Files {
		rows += f.Rows
		size += len(f.Body)
	}
	o.log.Info("committed", "shard", shard, "commit", l.CommitNo, "trigger", b.Trigger, "files", len(b.Files), "rows", rows,
		"bytes", size, "checkpoint", l.Checkpoint, "took", took.Round(time.Millisecond))
}

// GaveUp tells of a commit whose uploads were aborted by others.
func (o observer) GaveUp(commit string) {
	o.Observer.GaveUp(commit)
	o.log.Error("the committed uploads of a batch are lost, and it is given up: its records are read again, if the stream still has them; "+
		"find out who aborted them, and see that the bucket's rule for incomplete uploads waits for 30 days", "commit", commit)
}

// Trimmed tells of records that nobody can read any more.
func (o observer) Trimmed(shard, after, before string) {
	o.Observer.Trimmed(shard, after, before)
	o.log.Error("a shard was not read for longer than the stream keeps records: those between two sequence numbers are gone, if there were any",
		"shard", shard, "after", after, "before", before)
}

// retrying reports a failure that is tried again; an empty shard is the whole worker.
func (o observer) retrying(shard, what string, err error) {
	o.NotReady(waiting(shard, what), err.Error())
	o.log.Warn("failed, and is tried again", "shard", shard, "operation", what, "error", err)
}

// clear tells that what may have failed before has succeeded. Other operations may fail still.
func (o observer) clear(shard, what string) { o.Ready(waiting(shard, what)) }

// waiting names an operation among those that keep the worker from being ready.
func waiting(shard, what string) string {
	if shard == "" {
		shard = "worker"
	}
	return shard + ": " + what
}
