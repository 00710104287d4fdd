package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/consumer/kpl"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/spans"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
	"github.com/sluice-etl/sluice/transform/enrich"
)

// Config is what all shards have in common. All fields are required, but for Look, and one of Schema and NewDetector.
type Config struct {
	Prefix, ErrorPrefix *sink.Prefix
	Timezone            *time.Location // of the prefixes
	Output, Compression string         // of the files: see sink.Options
	CreatedBy           string         // named in them
	Enrich              enrich.Plan    // the steps for each row
	Detectors           []anomaly.Settings
	EventTime           EventTime
	Quiet               time.Duration // after which an episode of abnormal rows closes; 0: each detector's window
	Announcer           Announcer     // nil: episodes are not followed

	Schema      *transform.Schema                 // what the workers agree on if they have not yet; nil: it is found in the first records,
	NewDetector func(reserved ...string) Detector // by one of these

	FlushBytes    int64         // the size of a batch's files at which it ends, as estimated from the last batch
	FlushInterval time.Duration // the age at which a batch ends
	MemoryLimit   int64         // bytes that the open batches of all shards take together

	Look Looker // nil: rows become files; else they are shown to it, and there are no files

	Spans   *spans.Tracer // nil: nobody wants to know what a batch went through
	Metrics Metrics
	Log     *slog.Logger
}

// Looker is shown the rows of shards on their way, where nothing is to be written. Of one shard it is called by one goroutine.
type Looker interface {
	// Bind tells the columns of the rows that follow. It comes again when columns were added.
	Bind(fields []columns.Field) error
	// Row shows a row of a table, which begins with the columns of Bind, at the time by which detectors judge it: milliseconds since 1970.
	Row(t *columns.Table, row int, at int64)
}

// Metrics hears what happens to records. Its methods are called concurrently.
type Metrics interface {
	Received(records, bytes int)                             // of Kinesis, when they are taken from the shard
	Rejected(reason string, n int)                           // the next seven when the batch is committed
	Rescued(rows int)                                        // rows with something in the column rescued
	Skewed(rows int)                                         // rows of which the time is too far from the arrival
	Duplicates(keys int)                                     // keys that came again in the same record
	Filtered(rows int)                                       // rows that a step left out
	ExpressionFaults(n int)                                  // times that an expression of a step could not be computed
	Anomalies(detector string, n int, key []byte)            // rows that a detector flagged, and the key of one of them
	Abnormal(rows []Abnormal)                                // the last rows that were flagged; they are valid during the call
	Unusable(detector string, n int)                         // rows that a detector could not judge, for want of a number
	Episode(detector, phase string)                          // likewise, for each notice of an episode
	EpisodesPassedOver(n int)                                // that are not followed, or notices that are not kept, for their number
	SnapshotLost()                                           // a detectors' snapshot that should be there could not be used
	PeersLost()                                              // at a commit it was not known what other shards told, though a detector asks
	Buffered(delta int64)                                    // bytes that the open batches hold
	Detector(name, shard string, keys int, evictions uint64) // of a shard's detector, after a commit
}

// Announcer is told of episodes of abnormal rows.
type Announcer interface {
	// Announce takes over a notice that is committed, and never blocks. It calls done, in any goroutine, when there is nothing more to do for
	// it. A notice that was not done when a process ended is announced again, perhaps by another process, and is the same but for done.
	Announce(shard string, n anomaly.Notice, done func())
}

// Shard is the hold on one shard; see consumer.Session.
type Shard interface {
	Shard() string
	Fetches() <-chan consumer.Fetch
	Stopping() <-chan struct{}
	State(ctx context.Context, warn func(error)) (states [][]byte, inherits bool, err error)
	Peers() (summaries [][]byte, ok bool)
	Agreed(ctx context.Context, name string) (string, error)
	Agree(ctx context.Context, name, body string) (string, error)
	Amend(ctx context.Context, name, old, body string) (string, error)
	Commit(ctx context.Context, b consumer.Batch) error
}

// Pipeline turns the records of shards into committed files. It is safe for concurrent use.
type Pipeline struct {
	cfg      Config
	budget   budget
	encoders chan sink.Encoder // as many as can work at once: each holds the memory of a writer

	tuned atomic.Pointer[[]anomaly.Settings] // what Tune was given last; nil: nothing

	mu     sync.Mutex
	agreed *agreement // nil until there is one
}

// New makes a pipeline, or says what is wrong with its configuration.
func New(cfg Config) (*Pipeline, error) {
	p := &Pipeline{cfg: cfg, encoders: make(chan sink.Encoder, runtime.GOMAXPROCS(0))}
	p.budget.limit = cfg.MemoryLimit
	for range cap(p.encoders) {
		e, err := sink.NewEncoder(sink.Options{Output: cfg.Output, Compression: cfg.Compression, CreatedBy: cfg.CreatedBy, SortedBy: cfg.EventTime.Column})
		if err != nil {
			return nil, err
		}
		p.encoders <- e
	}
	if _, err := anomaly.NewEngine(cfg.Detectors); err != nil {
		return nil, fmt.Errorf("anomaly detectors: %w", err)
	}
	return p, nil
}

// Tune gives the detectors of all shards other thresholds and minimal counts; in all else the settings must be those that the
// pipeline was made of. A shard takes them over before its next batch: the rows of one are judged by the same.
func (p *Pipeline) Tune(detectors []anomaly.Settings) error {
	engine, err := anomaly.NewEngine(p.cfg.Detectors)
	if err == nil {
		err = engine.Tune(detectors)
	}
	if err != nil {
		return fmt.Errorf("anomaly detectors: %w", err)
	}
	p.tuned.Store(&detectors)
	return nil
}

// Triggers are the ends of batches: what the label of a metric can be.
func Triggers() []string {
	return []string{"interval", "bytes", "memory", "partitions", "schema", "stop", "shard_end", "idle"}
}

// Reasons are those for which lines are rejected: what the label of a metric can be.
func Reasons() []string {
	reasons := []string{
		transform.CodeEmpty, transform.CodeInvalidJSON, transform.CodeInvalidUTF8, transform.CodeNotAnObject, transform.CodeTooDeep,
		transform.CodeTooManyKeys, transform.CodeNoMatch, transform.CodeInvalidCSV, transform.CodeHeader,
		transform.CodeMissing, transform.CodeMisfit, codePartition,
	}
	for _, r := range []kpl.Reason{kpl.BadChecksum, kpl.BadProtobuf, kpl.BadIndex, kpl.Empty, kpl.TooManyRecords, kpl.TooManyBytes} {
		reasons = append(reasons, string(r))
	}
	return reasons
}
