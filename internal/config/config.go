// Package config gathers the service's settings from defaults, a YAML file, the environment and flags, in this
// order of precedence, and checks them all before anything starts.
//
// Every setting is one line of one table (see keys): its names in the environment, in the file and as a flag, its
// default, its meaning and its check all follow from that line, and so do the reference in Markdown and the help
// text. Load reports every fault at once.
//
// The package also makes the AWS SDK's configuration (see AWS). It does not interpret what belongs to others: the
// syntax of prefix expressions, and the defaults that depend on a detector's kind.
package config

import (
	"strings"
	"time"
)

// Config is the effective configuration. It is made by Load and not changed afterwards.
type Config struct {
	Stream      string // name or ARN as given; see StreamName and StreamARN
	App         string
	LeaseTable  string
	CreateTable bool
	Start       Start
	WorkerID    string
	MaxLeases   int // 0: no limit

	FailoverTime    time.Duration
	ShutdownTimeout time.Duration

	Format          string // json, apache, csv, tsv or raw
	ApacheLogFormat string // a nickname or a LogFormat; its syntax is not checked here
	ApacheTypes     string // typed or string
	Schema          string // detect, or the name of a file
	Nested          string // json or flatten: what becomes of objects within records

	Enrich         string   // steps; their syntax is not checked here
	GeoIPDatabases []string // files
	HashKeyFile    string   // empty for none

	TimeColumn    string // empty for none
	TimeFormat    string // auto or a pattern, which is not checked here
	PartitionTime string // arrival or event
	MaxSkew       time.Duration

	Bucket      string
	KMSKey      string // empty: the bucket's own encryption
	Prefix      string // an expression; its syntax is not checked here
	ErrorPrefix string // an expression; its syntax is not checked here
	StatePrefix string
	Timezone    *time.Location
	Output      string // parquet, json or raw
	Compression string // zstd, snappy (of parquet alone), gzip or none

	FlushBytes    int64
	FlushInterval time.Duration
	MemoryLimit   int64 // bytes

	GlueDatabase, GlueTable string // both are set, or the catalog is left alone

	Detectors []Detector // in the order in which they were named

	AlertTopic   string        // an ARN; empty: none
	AlertWebhook string        // a URL, which may hold a secret; empty: none
	AlertSecret  string        // of the posts' signatures; empty: they are not signed
	AlertQuiet   time.Duration // 0: the detector's window
	AlertMost    int           // episodes a minute

	IntakeAddr     string // host:port, or off
	IntakeStream   string // by which producers call it
	IntakeKeysFile string // empty: none

	HTTPAddr   string // host:port, or off
	PprofAddr  string // a loopback address and a port, or off
	Status     bool   // the status page is served there
	StatusKeys bool   // keys of abnormal rows are shown there
	Log        string // json, text, or empty: text on a terminal and json elsewhere
	LogLevel   string // debug, info, warn or error

	AllowInsecureEndpoints bool

	Traces *Traces // nil: no spans are made

	Args []string // the arguments that are no flags, in their order

	settings map[string]setting // by name, without SLUICE_
}

// Detector is the configuration of one anomaly detector. Pointers are nil where nothing was set, and the detector's
// kind then decides.
type Detector struct {
	Name      string
	Kind      string
	Key       []string // columns, lower-case; none: one key for all rows
	Metric    string   // its syntax is not checked here
	Window    time.Duration
	Threshold *float64 // in [0,1]
	MinCount  *int64
	MaxKeys   int
	Baseline  string // population, self or both
	Scope     string // shard or stream

	Expression string // its syntax is not checked here
}

// Position is where reading starts in a shard that nobody has read before.
type Position string

// The positions, by the names that Kinesis gives them.
const (
	TrimHorizon Position = "TRIM_HORIZON"
	Latest      Position = "LATEST"
	AtTimestamp Position = "AT_TIMESTAMP"
)

// Start says where the shards of the first listing begin. Time is set for AtTimestamp alone.
type Start struct {
	Position Position
	Time     time.Time
}

func (s Start) String() string {
	if s.Position == AtTimestamp {
		return s.Time.Format(time.RFC3339Nano)
	}
	return string(s.Position)
}

// StreamName is the stream's name, also where an ARN was configured.
func (c *Config) StreamName() string {
	return c.Stream[strings.LastIndexByte(c.Stream, '/')+1:]
}

// StreamARN is the stream's ARN, or empty where a name was configured.
func (c *Config) StreamARN() string {
	if strings.HasPrefix(c.Stream, "arn:") {
		return c.Stream
	}
	return ""
}

// setting is a value as it was written, and where: "default", "file NAME:LINE", "env" or "flag --NAME".
type setting struct {
	text   string
	source string
}
