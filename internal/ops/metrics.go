package ops

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-etl/sluice/consumer"
)

var _ consumer.Observer = (*Metrics)(nil)

// Metrics counts what the service does, in a registry of its own. It is the consumer's Observer, and hears the pipeline
// and the AWS clients. Its methods are safe for concurrent use and never block.
type Metrics struct {
	prometheus.Gatherer // of all that is counted

	build    Build
	health   *Health
	shards   *shards
	abnormal abnormal
	owners   atomic.Pointer[map[string]string]
	keys     bool // of abnormal rows are shown

	// Beside being metrics, these are shown by Status.
	received, receivedBytes, rows, rejects, flags, published atomic.Uint64
	buffered, leases                                         atomic.Int64

	readable, memoryLimit atomic.Int64

	intakeBytes    atomic.Uint64
	intakeInFlight atomic.Int64

	rescued, skewed, duplicates, filtered, expressionFaults, files, lost, trimmed, givenUp, snapshots, peersLost prometheus.Counter
	rejected, anomalies, unusable, commits, awsErrors, catalogErrors                                             *counters
	intakeRecords, intakeRequests                                                                                *counters
	alerts, alertsSent, alertFailures, alertsDropped                                                             *counters
	alertsPassedOver, alertsMuted                                                                                prometheus.Counter
	alertQueue                                                                                                   *prometheus.GaugeVec
	spansSent                                                                                                    prometheus.Counter
	spansDropped                                                                                                 *counters
	partitions                                                                                                   prometheus.Counter
	catalogCurrent                                                                                               prometheus.Gauge
	now                                                                                                          func() time.Time
	commitDuration, fileSize                                                                                     prometheus.Histogram
}

// Histograms have fixed buckets, and beside them native ones for a Prometheus that asks for them in its protobuf format: each
// is at most a tenth wider than the one before, and there are so many of them at most, which bounds what a series costs.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100
)

// NewMetrics makes the metrics of one service. What the consumer tells of readiness goes on to health.
func NewMetrics(build Build, health *Health) *Metrics { return newMetrics(build, health, time.Now) }

func newMetrics(build Build, health *Health, now func() time.Time) *Metrics {
	r := prometheus.NewRegistry()
	m := &Metrics{Gatherer: r, build: build, health: health, shards: newShards(now, health.failing), now: now, abnormal: abnormal{totals: map[string]uint64{}}}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.shards)

	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_build_info", Help: "Always 1; the labels tell which program this is.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "go_version": build.Go},
	})
	info.Set(1)
	r.MustRegister(info)

	total := func(name, help string, value *atomic.Uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value.Load()) }))
	}
	level := func(name, help string, value *atomic.Int64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value.Load()) }))
	}
	count := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets, NativeHistogramMinResetDuration: time.Hour})
		r.MustRegister(h)
		return h
	}

	total("sluice_records_received_total",
		"Kinesis records taken from the shards. A record that is read again after a failover counts again.", &m.received)
	total("sluice_bytes_received_total",
		"Bytes of data in the Kinesis records taken from the shards, without partition keys.", &m.receivedBytes)
	total("sluice_rows_committed_total",
		"Rows that became visible in files, each exactly once. Worry when it stands still while records are received.", &m.rows)
	level("sluice_buffered_bytes",
		"Memory of the batches that are not committed yet, over the shards held. Worry when it stays near the memory limit: commits do not keep up.", &m.buffered)
	level("sluice_leases_owned",
		"Shards that this process holds. The sum over all processes is the number of shards that are read; worry when it stays below sluice_shards_readable.", &m.leases)
	level("sluice_shards_readable",
		"Shards of the stream that are to be read now, as this process sees it: neither finished, nor children of one that is not. Worry when all processes together hold fewer: some shard is read by nobody.", &m.readable)
	level("sluice_memory_limit_bytes",
		"The memory limit that the process keeps to. Worry when process_resident_memory_bytes stays near it: reading pauses and batches end early.", &m.memoryLimit)
	m.rescued = count("sluice_rows_rescued_total",
		"Committed rows with something in the column rescued, which did not fit the schema. Worry when it is a large part of the rows: the schema is not that of the records.")
	m.skewed = count("sluice_time_skewed_total",
		"Committed rows of which the time is further from their arrival than allowed; the arrival is used. Worry when it grows: clocks are wrong, or old data come.")
	m.duplicates = count("sluice_duplicate_keys_total",
		"Keys that came more than once in the same record; the last one is in the row.")
	m.filtered = count("sluice_rows_filtered_total",
		"Rows that a where of the enrichment left out. They are neither rows nor rejects; worry when it is another share of what comes than you want.")
	m.expressionFaults = count("sluice_expression_faults_total",
		"Times that an expression of the enrichment could not be computed for a row, as when a text is no number, and had no value. Worry when it grows with the rows: the expression does not fit the records.")
	m.files = count("sluice_files_published_total",
		"Files that became visible, of rows and of rejected records.")
	m.lost = count("sluice_lease_lost_total",
		"Shards that another process took while this one thought to hold them. Nothing is lost with it; worry when it keeps growing: the process stalls, or reaches DynamoDB too late.")
	m.givenUp = count("sluice_commits_given_up_total",
		"Committed batches whose uploads others aborted before they were visible, and whose records are read again. Worry at the first: the bucket has a rule that aborts uploads too soon, or somebody does.")
	m.trimmed = count("sluice_records_trimmed_total",
		"Times that records may have grown older than the stream's retention before they were read; the log has the range. Kinesis does not tell how many they were. Worry at the first: lengthen the retention, and find out why nobody read.")
	m.snapshots = count("sluice_detector_snapshots_lost_total",
		"Snapshots of the detectors that were missing, damaged or of other settings when a shard was taken, so that its detectors began anew. Once after a change of the detectors is in order; worry about any other.")
	m.peersLost = count("sluice_detector_peers_lost_total",
		"Commits at which it was not known what all other shards had counted, though a detector has the scope stream. It goes on with what it was told before, and as soon as that has left its window, by its own shard alone. A few after the start are in order; worry when it grows with the commits: snapshots under SLUICE_STATE_PREFIX cannot be read.")
	m.rejected = newCounters(r, "sluice_records_rejected_total",
		"Records that are no rows, and were written under the error prefix. Worry when it is more than a trickle, and read the files there.", "reason")
	m.anomalies = newCounters(r, "sluice_anomalies_total",
		"Committed rows that the detector flagged as abnormal.", "detector")
	m.unusable = newCounters(r, "sluice_detector_unusable_total",
		"Rows that a detector could not judge: its metric was no number, or its rule told nothing.", "detector")
	m.commits = newCounters(r, "sluice_commits_total",
		"Batches that became visible, by what ended them. Worry when memory is the usual trigger: files are smaller than configured.", "trigger")
	m.awsErrors = newCounters(r, "sluice_aws_errors_total",
		"Attempts of AWS calls that failed, also those that were tried again. Worry about denied and not_found at once, about the others when they last.", "service", "operation", "class")
	m.partitions = count("sluice_partitions_registered_total",
		"Partitions that were added to the Glue table. Of all processes one does that.")
	m.catalogErrors = newCounters(r, "sluice_catalog_errors_total",
		"What could not be done in the Glue catalog, and is tried again; type and refused are left as they are: the log has the column or the folder. No data waits for it. Worry when it lasts: queries do not see new partitions.", "operation")
	m.catalogCurrent = prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_catalog_last_success_timestamp_seconds",
		Help: "When this process last found the Glue table as it should be; 0: it did not. Worry when the highest of all processes is older than 15 minutes."})
	r.MustRegister(m.catalogCurrent)
	total("sluice_intake_bytes_total",
		"Bytes of data in the records that were put at the Direct PUT endpoint and acknowledged.", &m.intakeBytes)
	level("sluice_intake_in_flight",
		"Requests that the Direct PUT endpoint is answering.", &m.intakeInFlight)
	m.intakeRecords = newCounters(r, "sluice_intake_records_total",
		"Records put at the Direct PUT endpoint: acknowledged, or failed, which their producer puts again. Worry when failed keeps growing: the stream has too few shards, or cannot be reached; the log tells which.", "outcome")
	m.intakeRequests = newCounters(r, "sluice_intake_requests_total",
		"Requests that the Direct PUT endpoint answered, by operation and error code, OK for none. Worry about InvalidSignatureException: a producer has the wrong key, region or clock, or somebody tries; and when ServiceUnavailableException lasts.", "operation", "code")
	for _, outcome := range []string{acknowledged, failed} {
		m.intakeRecords.with(outcome)
	}
	m.alerts = newCounters(r, "sluice_alerts_total",
		"Episodes of abnormal keys that opened, peaked and closed, in committed rows, whether or not anybody was told.", "detector", "phase")
	m.alertsPassedOver = count("sluice_alerts_passed_over_total",
		"Episodes that were not followed, or notices that were not kept, because there were too many at a time. Worry at the first: a detector's threshold is too low, or much is wrong.")
	m.alertsMuted = count("sluice_alerts_summarised_total",
		"Episodes that were told as part of a summary, since more opened in a minute than SLUICE_ALERT_MOST.")
	m.alertsSent = newCounters(r, "sluice_alerts_sent_total", "Alerts that a receiver took.", "receiver")
	m.alertFailures = newCounters(r, "sluice_alert_failures_total",
		"Attempts to tell a receiver of an alert that failed; most are tried again. Worry when it lasts; the log has the cause.", "receiver")
	m.alertsDropped = newCounters(r, "sluice_alerts_dropped_total",
		"Alerts that a receiver will not get: it refused them, could not be reached for long, or the queue to it was full. Worry at the first.", "receiver", "cause")
	m.alertQueue = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_alert_queue_length",
		Help: "Alerts that wait for a receiver, or are being sent. Worry when it grows: the receiver does not answer."}, []string{"receiver"})
	r.MustRegister(m.alertQueue)
	m.spansSent = count("sluice_spans_sent_total",
		"Spans that the OpenTelemetry collector took.")
	m.spansDropped = newCounters(r, "sluice_spans_dropped_total",
		"Spans that the OpenTelemetry collector did not get: it refused them, could not be reached for a minute, or was so slow that the queue to it was full. No data waits for it. Worry when it grows with the commits, if you want to see them.", "cause")
	m.commitDuration = histogram("sluice_commit_duration_seconds",
		"Time from the end of a batch until it is visible. Worry when it comes near the flush interval.",
		[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300})
	m.fileSize = histogram("sluice_file_size_bytes",
		"Sizes of the published files of rows. Worry when most are small: queries over many small files are slow and dear, and a longer flush interval or fewer partitions help.",
		prometheus.ExponentialBuckets(1<<10, 4, 10))
	return m
}

// maxScrapes is how many scrapes are answered at the same time. Each gathers all that is counted, and one that cannot write
// its answer holds it: more than a few are of no use to anybody, and are told to come again.
const maxScrapes = 8

// Handler serves the metrics to Prometheus.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics: true}) // which has exemplars
}

// Expect makes the series of label values that are known in advance start at zero. Without it, the first event of a
// kind creates its series, and a rate over it misses that event.
func (m *Metrics) Expect(reasons, detectors, triggers []string) {
	for _, r := range reasons {
		m.rejected.with(r)
	}
	for _, d := range detectors {
		m.anomalies.with(d)
		m.unusable.with(d)
		m.shards.expect(d)
		m.abnormal.count(d, 0)
	}
	for _, t := range triggers {
		m.commits.with(t)
	}
}

// Received counts Kinesis records, and the bytes of their data, as they are taken from a shard.
func (m *Metrics) Received(records, bytes int) {
	m.received.Add(uint64(records))
	m.receivedBytes.Add(uint64(bytes))
}

// Rejected counts committed records that are no rows.
func (m *Metrics) Rejected(reason string, n int) {
	m.rejects.Add(uint64(n))
	m.rejected.with(reason).Add(float64(n))
}

// Rescued counts committed rows that hold something in the column rescued.
func (m *Metrics) Rescued(rows int) { m.rescued.Add(float64(rows)) }

// Skewed counts committed rows of which the time is too far from the arrival.
func (m *Metrics) Skewed(rows int) { m.skewed.Add(float64(rows)) }

// Duplicates counts keys that came again in the same record.
func (m *Metrics) Duplicates(keys int) { m.duplicates.Add(float64(keys)) }

// Filtered counts rows of committed batches that the enrichment left out.
func (m *Metrics) Filtered(rows int) { m.filtered.Add(float64(rows)) }

// ExpressionFaults counts how often expressions of the enrichment failed.
func (m *Metrics) ExpressionFaults(n int) { m.expressionFaults.Add(float64(n)) }

// ShowKeys keeps the keys of abnormal rows in what is remembered of them, and makes them exemplars of what is counted. It is
// called before anything is.
func (m *Metrics) ShowKeys() { m.keys = true }

// maxExemplar is how many characters of a key are shown: OpenMetrics allows 128 for an exemplar's labels and their values.
const maxExemplar = 100

// Anomalies counts committed rows that a detector flagged, one of them with the key.
func (m *Metrics) Anomalies(detector string, n int, key []byte) {
	m.flags.Add(uint64(n))
	m.abnormal.count(detector, n)
	c := m.anomalies.with(detector)
	if n == 0 || len(key) == 0 || !m.keys {
		c.Add(float64(n))
		return
	}
	text := []rune(strings.ToValidUTF8(string(key[:min(len(key), 4*maxExemplar)]), "?"))
	c.(prometheus.ExemplarAdder).AddWithExemplar(float64(n), prometheus.Labels{"key": string(text[:min(len(text), maxExemplar)])})
}

// Buffered tells that the open batches grew by so many bytes, or shrank.
func (m *Metrics) Buffered(delta int64) { m.buffered.Add(delta) }

// SnapshotLost counts snapshots of detectors that could not be used.
func (m *Metrics) SnapshotLost() { m.snapshots.Inc() }

// PeersLost counts commits without what the other shards told.
func (m *Metrics) PeersLost() { m.peersLost.Inc() }

// Detector tells how many keys a detector keeps for a shard, and how many it has forgotten for want of room since its
// engine was made for that shard.
func (m *Metrics) Detector(name, shard string, keys int, evictions uint64) {
	m.shards.detector(name, shard, keys, evictions)
}

// Episode counts notices of episodes.
func (m *Metrics) Episode(detector, phase string) { m.alerts.with(detector, phase).Inc() }

// EpisodesPassedOver counts what is not announced for its number.
func (m *Metrics) EpisodesPassedOver(n int) { m.alertsPassedOver.Add(float64(n)) }

// ExpectAlerts makes the series of receivers start at zero, as Expect does, and those of episodes.
func (m *Metrics) ExpectAlerts(detectors, phases, receivers, causes []string) {
	for _, d := range detectors {
		for _, p := range phases {
			m.alerts.with(d, p)
		}
	}
	for _, r := range receivers {
		m.alertsSent.with(r)
		m.alertFailures.with(r)
		m.alertQueue.WithLabelValues(r)
		for _, c := range causes {
			m.alertsDropped.with(r, c)
		}
	}
}

// AlertSent implements alert.Metrics.
func (m *Metrics) AlertSent(receiver string) { m.alertsSent.with(receiver).Inc() }

// AlertFailed implements alert.Metrics.
func (m *Metrics) AlertFailed(receiver string) { m.alertFailures.with(receiver).Inc() }

// AlertDropped implements alert.Metrics.
func (m *Metrics) AlertDropped(receiver, cause string) { m.alertsDropped.with(receiver, cause).Inc() }

// AlertQueue implements alert.Metrics.
func (m *Metrics) AlertQueue(receiver string, delta int) {
	m.alertQueue.WithLabelValues(receiver).Add(float64(delta))
}

// AlertMuted implements alert.Metrics.
func (m *Metrics) AlertMuted() { m.alertsMuted.Inc() }

// ExpectSpans makes the series of dropped spans start at zero, as Expect does.
func (m *Metrics) ExpectSpans(causes []string) {
	for _, c := range causes {
		m.spansDropped.with(c)
	}
}

// SpansSent implements spans.Metrics.
func (m *Metrics) SpansSent(n int) { m.spansSent.Add(float64(n)) }

// SpansDropped implements spans.Metrics.
func (m *Metrics) SpansDropped(cause string, n int) { m.spansDropped.with(cause).Add(float64(n)) }

// Unusable counts rows that a detector could not judge, for want of a number.
func (m *Metrics) Unusable(detector string, n int) {
	m.unusable.with(detector).Add(float64(n))
}

// AWSError counts a failed attempt of a call.
func (m *Metrics) AWSError(service, operation, class string) {
	m.awsErrors.with(service, operation, class).Inc()
}

// PartitionsRegistered counts partitions that were added to the catalog's table.
func (m *Metrics) PartitionsRegistered(n int) { m.partitions.Add(float64(n)) }

// CatalogError counts an operation that failed on the catalog.
func (m *Metrics) CatalogError(operation string) { m.catalogErrors.with(operation).Inc() }

// CatalogCurrent tells that the catalog is as it should be.
func (m *Metrics) CatalogCurrent() { m.catalogCurrent.Set(float64(m.now().UnixMilli()) / 1000) }

// ExpectCatalog makes the errors of the catalog start at zero, as Expect does.
func (m *Metrics) ExpectCatalog(operations []string) {
	for _, o := range operations {
		m.catalogErrors.with(o)
	}
}

// The outcomes of sluice_intake_records_total.
const (
	acknowledged = "acknowledged"
	failed       = "failed"
)

// IntakeRequest implements intake.Observer.
func (m *Metrics) IntakeRequest(operation, code string) { m.intakeRequests.with(operation, code).Inc() }

// IntakeRecords implements intake.Observer.
func (m *Metrics) IntakeRecords(taken, refused, bytes int) {
	m.intakeRecords.with(acknowledged).Add(float64(taken))
	m.intakeRecords.with(failed).Add(float64(refused))
	m.intakeBytes.Add(uint64(bytes))
}

// IntakeInFlight implements intake.Observer.
func (m *Metrics) IntakeInFlight(delta int) { m.intakeInFlight.Add(int64(delta)) }

// Leases implements consumer.Observer.
func (m *Metrics) Leases(held int) { m.leases.Store(int64(held)) }

// Readable implements consumer.Observer.
func (m *Metrics) Readable(shards int) { m.readable.Store(int64(shards)) }

// MemoryLimit tells the limit in bytes that the process keeps to.
func (m *Metrics) MemoryLimit(bytes int64) { m.memoryLimit.Store(bytes) }

// Owners implements consumer.Observer.
func (m *Metrics) Owners(of map[string]string) { m.owners.Store(&of) }

// Lost implements consumer.Observer.
func (m *Metrics) Lost(string) { m.lost.Inc() }

// GaveUp implements consumer.Observer.
func (m *Metrics) GaveUp(string) { m.givenUp.Inc() }

// Trimmed implements consumer.Observer.
func (m *Metrics) Trimmed(string, string, string) { m.trimmed.Inc() }

// Lag implements consumer.Observer.
func (m *Metrics) Lag(shard string, behind time.Duration) { m.shards.wasRead(shard, behind) }

// Committed implements consumer.Observer.
func (m *Metrics) Committed(shard string, b consumer.Batch, took time.Duration) {
	for _, f := range b.Files {
		if f.Rows > 0 {
			m.rows.Add(uint64(f.Rows))
			m.fileSize.Observe(float64(len(f.Body)))
		}
	}
	m.files.Add(float64(len(b.Files)))
	m.commits.with(b.Trigger).Inc()
	m.published.Add(1)
	m.commitDuration.Observe(took.Seconds())
	m.shards.hasCommitted(shard)
}

// Forget implements consumer.Observer. The series of the shard end, and it keeps nobody from being ready.
func (m *Metrics) Forget(shard string) {
	m.shards.forget(shard)
	m.health.Forget(shard)
}

// NotReady implements consumer.Observer.
func (m *Metrics) NotReady(what, reason string) { m.health.NotReady(what, reason) }

// Ready implements consumer.Observer.
func (m *Metrics) Ready(what string) { m.health.Ready(what) }

// Status is a summary for people; the numbers count from the start of the process.
type Status struct {
	Received, ReceivedBytes uint64 // Kinesis records
	Rows, Rejected          uint64 // committed
	Anomalies               uint64 // flags of all detectors; several may flag the same row
	Commits                 uint64
	Buffered                int64             // bytes
	Flags                   map[string]uint64 // by detector
	Keys                    map[string]int    // likewise: those that it keeps statistics of
	Shards                  []ShardStatus     // those that are held
	Owners                  map[string]string // of the shards that are not finished, as the lease table told when it was last looked at; nil: not yet. It is not to be changed
}

// ShardStatus is that of one shard that is held.
type ShardStatus struct {
	Shard     string
	Read      bool          // whether Lag is known
	Lag       time.Duration // behind the end of the shard
	Committed time.Time     // when a batch last became visible here; zero for not yet
}

// Lag is the highest of all shards.
func (s Status) Lag() (worst time.Duration) {
	for _, sh := range s.Shards {
		worst = max(worst, sh.Lag)
	}
	return worst
}

// Status is how things stand now.
func (m *Metrics) Status() Status {
	var owners map[string]string
	if of := m.owners.Load(); of != nil {
		owners = *of
	}
	return Status{
		Commits: m.published.Load(), Flags: m.abnormal.flags(), Keys: m.shards.keys(), Owners: owners,
		Received: m.received.Load(), ReceivedBytes: m.receivedBytes.Load(), Rows: m.rows.Load(), Rejected: m.rejects.Load(),
		Anomalies: m.flags.Load(), Buffered: m.buffered.Load(), Shards: m.shards.status(),
	}
}
