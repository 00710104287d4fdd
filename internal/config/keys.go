package config

import (
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"
)

// envPrefix begins every name in the environment.
const envPrefix = "SLUICE_"

// key is one setting: a line of the table from which everything about it follows. T is what holds the value.
type key[T any] struct {
	name     string // in the environment, without SLUICE_ (and, for a detector's, without its ANOMALY_NAME_)
	kind     kind
	def      string // default, as it would be written; empty: none, or as note says
	note     string // what stands in the place of a default in the reference, where def is empty
	doc      string // Markdown, one line
	secret   bool   // never printed, not even in a fault
	required bool
	live     bool                   // can change while the service runs; a live setting of Config has a default, see Config.Reload
	set      func(*T, string) error // parses, checks and stores; its errors do not repeat the text
}

// kind is how a value is written in YAML, and whether its flag may stand without a value.
type kind uint8

const (
	kindText kind = iota
	kindList      // separated by commas, or a YAML sequence
	kindNumber
	kindBool
)

// yamlKey and flagName follow from the name in the environment.
func yamlKey(name string) string { return strings.ToLower(name) }

func flagName(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "-")) }

// keys is the table of settings, in the order of the reference. It is not changed.
var keys = sync.OnceValue(func() []key[Config] {
	const hour = time.Hour
	return []key[Config]{
		{
			name: "STREAM", required: true,
			doc: "the Kinesis data stream: its name or its ARN",
			set: into(func(c *Config) *string { return &c.Stream },
				matching(`[a-zA-Z0-9_.-]{1,128}|arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128}`,
					"a stream's name (letters, digits, _ . -; at most 128) or its ARN")),
		},
		{
			name: "APP", def: "sluice",
			doc: "the application: processes with the same name share the stream's shards, as in KCL",
			set: into(func(c *Config) *string { return &c.App },
				matching(`[a-zA-Z0-9_.-]{1,128}`, "letters, digits, _ . - (at most 128)")),
		},
		{
			name: "LEASE_TABLE", note: "the application's name",
			doc: "the DynamoDB table of leases and positions",
			set: into(func(c *Config) *string { return &c.LeaseTable }, tableName),
		},
		{
			name: "CREATE_TABLE", kind: kindBool, def: "true",
			doc: "create the lease table (billed on demand) when it is missing",
			set: into(func(c *Config) *bool { return &c.CreateTable }, parseBool),
		},
		{
			name: "START", def: string(TrimHorizon),
			doc: "where the shards of the first listing begin: `TRIM_HORIZON`, `LATEST`, or an RFC 3339 time; shards that have a position go on from it",
			set: into(func(c *Config) *Start { return &c.Start }, parseStart),
		},
		{
			name: "WORKER_ID", note: "host name and a random part",
			doc: "this process's name among the owners of leases; unique for each process",
			set: into(func(c *Config) *string { return &c.WorkerID },
				matching(`[a-zA-Z0-9._:@/-]{1,200}`, "letters, digits, . _ : @ / - (at most 200)")),
		},
		{
			name: "MAX_LEASES", kind: kindNumber, def: "0",
			doc: "shards that one process takes at most; 0 for no limit",
			set: into(func(c *Config) *int { return &c.MaxLeases }, integer(0, 10_000)),
		},
		{
			name: "FAILOVER_TIME", def: "10s",
			doc: "a worker whose heartbeat stands still for so long is taken for dead, and others take its shards",
			set: into(func(c *Config) *time.Duration { return &c.FailoverTime }, duration(500*time.Millisecond, hour)),
		},
		{
			name: "SHUTDOWN_TIMEOUT", def: "20s",
			doc: "the time from SIGTERM to the exit, in which what was received is committed",
			set: into(func(c *Config) *time.Duration { return &c.ShutdownTimeout }, duration(time.Second, hour)),
		},
		{
			name: "FORMAT", def: "json",
			doc: "the records' format: `json`, one object in a record or several separated by newlines; lines of an access log (`apache`), of `csv` or `tsv`, or of any text, kept as it is (`raw`)",
			set: into(func(c *Config) *string { return &c.Format }, oneOf("json", "apache", "csv", "tsv", "raw")),
		},
		{
			name: "APACHE_LOG_FORMAT", def: "combined",
			doc: "the format of access logs: a LogFormat as Apache has it (such as `%h %l %u %t \"%r\" %>s %b`), or `common`, `combined`, `vhost_combined`, `kdg`, `nginx`, `alb`, `cloudfront`, `s3`, or `auto`: that of these which most of the first records match",
			set: into(func(c *Config) *string { return &c.ApacheLogFormat }, anyText),
		},
		{
			name: "APACHE_TYPES", def: "typed",
			doc: "the columns of access logs: statuses and sizes as numbers and times as timestamps (`typed`), or everything as it stands (`string`)",
			set: into(func(c *Config) *string { return &c.ApacheTypes }, oneOf("typed", "string")),
		},
		{
			name: "SCHEMA", def: "detect",
			doc: "the columns and their types: `detect` takes them from the first records (of `csv` and `tsv`, the first line names them), or a file declares them: `{\"fields\": [{\"name\": \"id\", \"type\": \"int64\"}]}`, where types are `string`, `int64`, `double`, `decimal(P,S)`, `boolean` and `timestamp`, and `source` is the key of a column that is called otherwise (docs/schema.md); they are kept in the lease table, and grow while workers run",
			set: into(func(c *Config) *string { return &c.Schema }, anyText),
		},
		{
			name: "NESTED", def: "json",
			doc: "what becomes of an object within a JSON record: its text (`json`), or columns of its own keys (`flatten`: of `{\"a\":{\"b\":1}}` the column `a_b`); a file of SLUICE_SCHEMA may say it, too",
			set: into(func(c *Config) *string { return &c.Nested }, oneOf("json", "flatten")),
		},
		{
			name: "ENRICH", note: "none",
			doc: "what is done to each row, in this order: steps separated by commas, of `geoip(column)`, `network(column)`, `user_agent(column)`, `hash(column)`, `drop(column)`, `compute(name, expression)` and `where(expression)`; see [enrichment](enrichment.md)",
			set: into(func(c *Config) *string { return &c.Enrich }, anyText),
		},
		{
			name: "GEOIP_DATABASE", kind: kindList, note: "none",
			doc: "the MaxMind DB file of `geoip`, or several separated by commas, such as one of cities and one of networks' operators (ASN); read at the start",
			set: into(func(c *Config) *[]string { return &c.GeoIPDatabases }, fileList),
		},
		{
			name: "HASH_KEY_FILE", note: "none",
			doc: "the file with the key of `hash`: at least 32 random bytes, a newline at their end not counted, as `openssl rand -hex 32` makes them; read at the start",
			set: into(func(c *Config) *string { return &c.HashKeyFile }, anyText),
		},
		{
			name: "TIME_COLUMN", note: "none",
			doc: "the column that tells when what a record is about happened: a timestamp, or a text or number that `SLUICE_TIME_FORMAT` reads. The detectors' clock follows it, and Parquet files are sorted by it",
			set: into(func(c *Config) *string { return &c.TimeColumn }, matching(`[a-z0-9_]{1,255}`, "a column's name: lower-case letters, digits and underscores")),
		},
		{
			name: "TIME_FORMAT", def: "auto",
			doc: "the form of these times: `auto` (ISO 8601, an access log's, or seconds, milliseconds and so on since 1970), `epoch_s`, `epoch_ms`, a pattern of Java's (`yyyy-MM-dd HH:mm:ss`) or of Go's (`2006-01-02 15:04:05`), as in a schema; without an offset they are UTC's",
			set: into(func(c *Config) *string { return &c.TimeFormat }, anyText),
		},
		{
			name: "PARTITION_TIME", def: "arrival",
			doc: "the time that `SLUICE_PREFIX` shows: the records' `arrival`, or that of the `event`, from `SLUICE_TIME_COLUMN`, where a row has one",
			set: into(func(c *Config) *string { return &c.PartitionTime }, oneOf("arrival", "event")),
		},
		{
			name: "MAX_SKEW", def: "168h",
			doc: "a time that is further from the arrival is not believed: the arrival is used, and the time is in the column `rescued`, too",
			set: into(func(c *Config) *time.Duration { return &c.MaxSkew }, duration(0, 100*365*24*hour)),
		},
		{
			name: "BUCKET", required: true,
			doc: "the S3 bucket of everything written",
			set: into(func(c *Config) *string { return &c.Bucket }, parseBucket),
		},
		{
			name: "KMS_KEY", note: "none",
			doc: "the KMS key (its id, its ARN, or `alias/NAME`) with which everything written is encrypted; without it the bucket's own encryption applies",
			set: into(func(c *Config) *string { return &c.KMSKey },
				matching(`arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[a-zA-Z0-9/_-]+|alias/[a-zA-Z0-9/_-]+|mrk-[0-9a-f]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`,
					"a KMS key's id, its ARN, or alias/NAME")),
		},
		{
			name: "PREFIX", def: "data/dt=!{timestamp:yyyy-MM-dd}/",
			doc: "where the data lies: a Firehose prefix expression, of `!{timestamp:PATTERN}`, `!{firehose:random-string}` and `!{partitionKeyFromQuery:COLUMN}`",
			set: into(func(c *Config) *string { return &c.Prefix }, objectPrefix),
		},
		{
			name: "ERROR_PREFIX", def: "errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/",
			doc: "where rejected records lie: a Firehose prefix expression, with `!{firehose:error-output-type}` and without columns",
			set: into(func(c *Config) *string { return &c.ErrorPrefix }, objectPrefix),
		},
		{
			name: "STATE_PREFIX", def: "_sluice/",
			doc: "where the detectors' snapshots lie",
			set: into(func(c *Config) *string { return &c.StatePrefix }, folderPrefix),
		},
		{
			name: "TIMEZONE", def: "UTC",
			doc: "the time zone of the prefix expressions",
			set: into(func(c *Config) **time.Location { return &c.Timezone }, parseTimezone),
		},
		{
			name: "OUTPUT", def: parquet,
			doc: "what the files of rows are: `parquet`, `json` (a line with an object for each row), or `raw` (for each row its line, byte for byte as it came)",
			set: into(func(c *Config) *string { return &c.Output }, oneOf(parquet, "json", "raw")),
		},
		{
			name: "COMPRESSION", note: "`zstd` for `parquet`, `gzip` else",
			doc: "the files' compression: `zstd`, `snappy` (for `parquet` alone), `gzip` or `none`",
			set: into(func(c *Config) *string { return &c.Compression }, oneOf("zstd", "snappy", "gzip", "none")),
		},
		{
			name: "FLUSH_BYTES", def: "64MiB",
			doc: "the size, encoded or estimated, at which a batch ends",
			set: into(func(c *Config) *int64 { return &c.FlushBytes }, size(4<<10, 1<<30)),
		},
		{
			name: "FLUSH_INTERVAL", def: "60s",
			doc: "the age at which a batch ends, also when no newer record comes",
			set: into(func(c *Config) *time.Duration { return &c.FlushInterval }, duration(100*time.Millisecond, 24*hour)),
		},
		{
			name: "MEMORY_LIMIT", note: "70% of the container's or the machine's memory, or `GOMEMLIMIT` where that is less",
			doc: "reading pauses and batches end early before the process holds so much",
			set: into(func(c *Config) *int64 { return &c.MemoryLimit }, size(leastMemory, 1<<44)),
		},
		{
			name: "GLUE_DATABASE", note: "none",
			doc: "the database of the Glue table; it must exist",
			set: into(func(c *Config) *string { return &c.GlueDatabase }, glueName),
		},
		{
			name: "GLUE_TABLE", note: "none",
			doc: "the table of the Glue catalog that is made and kept up to date: its columns, and a partition for each folder below `PREFIX`",
			set: into(func(c *Config) *string { return &c.GlueTable }, glueName),
		},
		{
			name: "ANOMALY_DETECTORS", kind: kindList, note: "none",
			doc: "names of the anomaly detectors, separated by commas; in the file they are the keys of the map `anomaly: {detectors: {...}}`",
			set: func(*Config, string) error { return nil }, // made of several settings: see detectors
		},
		{
			name: "ALERT_SNS_TOPIC", note: "none",
			doc: "the ARN of the SNS topic to which episodes of abnormal keys are announced (see [alerts.md](alerts.md))",
			set: into(func(c *Config) *string { return &c.AlertTopic },
				matching(`arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]{1,256}(\.fifo)?`, "an SNS topic's ARN, such as arn:aws:sns:eu-central-1:123456789012:alerts")),
		},
		{
			name: "ALERT_WEBHOOK", note: "none", secret: true,
			doc: "the URL to which they are posted as JSON; never printed, since it often holds a token",
			set: into(func(c *Config) *string { return &c.AlertWebhook }, webhookURL),
		},
		{
			name: "ALERT_WEBHOOK_SECRET", note: "none: posts are not signed", secret: true,
			doc: "the key of the posts' signatures, at least 16 characters, as `openssl rand -hex 32` makes it",
			set: into(func(c *Config) *string { return &c.AlertSecret }, matching(`.{16,}`, "at least 16 characters on one line")),
		},
		{
			name: "ALERT_QUIET", note: "the detector's window",
			doc: "an episode closes when its key has not been abnormal for so long, by the records' times",
			set: into(func(c *Config) *time.Duration { return &c.AlertQuiet }, duration(time.Second, 31*24*hour)),
		},
		{
			name: "ALERT_MOST", kind: kindNumber, def: "20",
			doc: "the episodes that each process announces one by one in a minute; the others are one summary",
			set: into(func(c *Config) *int { return &c.AlertMost }, integer(1, 1000)),
		},
		{
			name: "INTAKE_ADDR", def: "off",
			doc: "the address of the Direct PUT endpoint, host:port such as `:9465`, which takes records as Amazon Data Firehose does and puts them into the stream (see [direct-put.md](direct-put.md)); `off` for none",
			set: into(func(c *Config) *string { return &c.IntakeAddr }, parseHTTPAddr),
		},
		{
			name: "INTAKE_KEYS_FILE", note: "none; needed where there is an `INTAKE_ADDR`",
			doc: "a file of the access keys by which producers sign for Direct PUT: a line for each, with its id and its secret separated by a space; any number are valid at a time, and the file is read again when it changes",
			set: into(func(c *Config) *string { return &c.IntakeKeysFile }, anyText),
		},
		{
			name: "INTAKE_STREAM", note: "the name of the stream",
			doc: "what producers call the delivery stream",
			set: into(func(c *Config) *string { return &c.IntakeStream },
				matching(`[a-zA-Z0-9_.-]{1,64}`, "a delivery stream's name: letters, digits, _ . - (at most 64)")),
		},
		{
			name: "HTTP_ADDR", def: "127.0.0.1:9464",
			doc: "the address of `/metrics`, `/healthz`, `/readyz` and the [status page](status-page.md); `off` for none",
			set: into(func(c *Config) *string { return &c.HTTPAddr }, parseHTTPAddr),
		},
		{
			name: "STATUS", kind: kindBool, def: "true",
			doc: "serve the status page at `/`",
			set: into(func(c *Config) *bool { return &c.Status }, parseBool),
		},
		{
			name: "STATUS_KEYS", kind: kindBool, def: "true",
			doc: "show keys of abnormal rows on the status page, in their reasons, too, and beside what is counted of them: as exemplars of `sluice_anomalies_total`",
			set: into(func(c *Config) *bool { return &c.StatusKeys }, parseBool),
		},
		{
			name: "PPROF_ADDR", def: "off",
			doc: "the address of the runtime's profiles at `/debug/pprof/` (see [operations.md](operations.md#taking-a-profile)), on the loopback alone, such as `127.0.0.1:6060`; `off` for none",
			set: into(func(c *Config) *string { return &c.PprofAddr }, parseLoopbackAddr),
		},
		{
			name: "LOG", note: "`text` on a terminal, `json` elsewhere",
			doc: "the form of the log on standard error: `json` or `text`",
			set: into(func(c *Config) *string { return &c.Log }, oneOf("json", "text")),
		},
		{
			name: "LOG_LEVEL", def: "info", live: true,
			doc: "the least level that is logged: `debug`, `info`, `warn` or `error`",
			set: into(func(c *Config) *string { return &c.LogLevel }, oneOf("debug", "info", "warn", "error")),
		},
		{
			name: "ALLOW_INSECURE_ENDPOINTS", kind: kindBool, def: "false",
			doc: "allow AWS endpoints over plain http that are not on this machine",
			set: into(func(c *Config) *bool { return &c.AllowInsecureEndpoints }, parseBool),
		},
		{
			name: configKey, note: "none",
			doc: "the YAML file; itself not a key of it",
			set: func(*Config, string) error { return nil }, // read before everything else
		},
	}
})

// parquet is the output that can have every compression.
const parquet = "parquet"

// configKey names the file; it is the one setting that the file cannot have.
const configKey = "CONFIG"

// webhookURL leaves it to others whether the address is one that may be used.
func webhookURL(text string) (string, error) {
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("want a URL such as https://host/path")
	}
	return text, nil
}

var tableName = matching(`[a-zA-Z0-9_.-]{3,255}`, "a table's name: 3 to 255 letters, digits, _ . -")

var glueName = matching(`[a-z0-9_-]{1,255}`, "a name that Glue and Athena take: lower-case letters, digits, _ and - (at most 255)")

// detectorKeys is the table of a detector's settings. It is not changed.
var detectorKeys = sync.OnceValue(func() []key[Detector] {
	return []key[Detector]{
		{
			name: "KIND", required: true,
			doc: "what is abnormal: a key that comes far more often than others (`rate`), or with far more values of the metric (`distinct`); a metric outside of what its key has shown (`value`); a record for which the expression does not hold (`rule`); an aggregate over time outside of what it has been, once an episode (`series`)",
			set: into(func(d *Detector) *string { return &d.Kind }, oneOf("rate", "distinct", "value", "rule", "series")),
		},
		{
			name: "KEY", kind: kindList, note: "none: one key for all",
			doc: "the columns, separated by commas, whose values are told apart",
			set: into(func(d *Detector) *[]string { return &d.Key }, columnList),
		},
		{
			name: "METRIC", note: "required for `distinct`, `value`, `series`",
			doc: "of `distinct` the column whose values are counted, of `value` a column of numbers; of `series` `count`, `sum(c)`, `mean(c)`, `min(c)`, `max(c)`, or `ratio(c=v,d=w)`: how many records have v in c for each that has w in d",
			set: into(func(d *Detector) *string { return &d.Metric }, anyText),
		},
		{
			name: "WINDOW", def: "5m",
			doc: "the rolling window; of `value`, how late a record may be to be learned from",
			set: into(func(d *Detector) *time.Duration { return &d.Window }, duration(time.Second, 31*24*time.Hour)),
		},
		{
			name: "THRESHOLD", kind: kindNumber, live: true, note: "`rate` and `distinct` 0.999, `value` 0.3, `series` 0.2, `rule` 1",
			doc: "the score from which a record is abnormal; scores are in [0,1]",
			set: into(func(d *Detector) **float64 { return &d.Threshold }, optional(share)),
		},
		{
			name: "MIN_COUNT", kind: kindNumber, live: true, note: "`rate` and `distinct` 5, `value` 10, `series` 50",
			doc: "fewer observations than this are never flagged",
			set: into(func(d *Detector) **int64 { return &d.MinCount }, optional(integer[int64](0, 1e12))),
		},
		{
			name: "MAX_KEYS", kind: kindNumber, def: "100000",
			doc: "the most keys that are remembered; evictions are counted",
			set: into(func(d *Detector) *int { return &d.MaxKeys }, integer(1, 10_000_000)),
		},
		{
			name: "BASELINE", def: "population",
			doc: "of `rate` and `distinct`, what a key is compared with: the other keys (`population`), its own past (`self`), or `both`",
			set: into(func(d *Detector) *string { return &d.Baseline }, oneOf("population", "self", "both")),
		},
		{
			name: "SCOPE", def: "shard",
			doc: "of `rate` and `distinct`, the records that a key's counts are of: those of its own shard (`shard`), which is right where the partition key is the detector's key, or of the whole stream (`stream`, with `baseline: population`): with what the other shards had counted at their last commits, for partition keys that are random",
			set: into(func(d *Detector) *string { return &d.Scope }, oneOf("shard", "stream")),
		},
		{
			name: "EXPRESSION", note: "required for `rule`",
			doc: "true when the record is in order, such as `amount > 0 && abs(total - units * price) < 0.005`; the columns are its variables",
			set: into(func(d *Detector) *string { return &d.Expression }, anyText),
		},
	}
})

// detectorSetting is the full name of a detector's setting.
func detectorSetting(detector, key string) string {
	return "ANOMALY_" + strings.ToUpper(detector) + "_" + key
}
