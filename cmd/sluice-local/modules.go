package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/internal/kdg"
)

// lab is the module that runs unless another is asked for.
const lab = 3

// module is one of the lab: its records, what is made of them and where it lies, and what the lab asks then.
type module struct {
	title     string
	stream    string
	direct    bool // the records are put through Direct PUT, and not into the stream itself
	templates []template
	settings  map[string]string // of the service, without SLUICE_
	question  question
}

// template makes so many records a second.
type template struct {
	text string
	rate float64
}

// question is the lab's query, as it is answered here: the rows are counted by a column, the most first.
type question struct {
	text   string
	column string // by which rows are counted; of raw lines, a group of pattern
	where  string // a column that must have the value; empty: all rows are counted
	value  string
	// pattern is the regular expression by which the lab's table reads raw lines; empty: the rows have columns.
	pattern string
	query   string // for DuckDB; its %s is the pattern of the files' names
}

// dated are the folders of a day, as the lab's modules 1 and 2 name them.
const dated = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"

var transactions = []template{{kdg.TransactionNormal, 100}, {kdg.TransactionAbnormal, 1}}

// accessLog is the source of modules 1 and 4 to 6.
var accessLog = []template{{kdg.AccessLog, 100}}

// logPattern reads a line of the access log.
const logPattern = `^(?P<client_ip>\S+) (?P<client_id>\S+) (?P<user_id>\S+) \[(?P<request_received_time>[^\]]+)\] "(?P<client_request>\S+) (?P<resource>[^" ]+)" (?P<status>\d+) (?P<returned_obj_size>\d+)$`

// lines is how DuckDB reads lines as they are.
const lines = "read_csv('%s', columns = {'line': 'VARCHAR'},\n" +
	"    delim = '\\x01', quote = '', escape = '', header = false, auto_detect = false)"

// missing is the lab's question about the access log.
func missing(pattern, query string) question {
	return question{text: "Which resources were asked for, and not found (status = '404')?", column: "resource", where: "status", value: "404", pattern: pattern, query: query}
}

// modules are those of the lab that there are, by their numbers.
var modules = map[int]module{
	1: {
		title: "an access log through Direct PUT, to gzip lines", stream: "webaccess", direct: true, templates: accessLog,
		settings: map[string]string{
			"APP": "sluice-module-1", "FORMAT": "raw", "OUTPUT": "raw", "COMPRESSION": "gzip",
			"PREFIX": "data/webaccess/" + dated, "ERROR_PREFIX": "error/webaccess/!{firehose:error-output-type}/" + dated,
		},
		question: question{
			text: "How many requests were answered with which status?", column: "status", pattern: logPattern,
			query: "SELECT regexp_extract(line, '\" ([0-9]+) [0-9]+$', 1) AS status, count(*) AS requests\n  FROM " + lines + "\n" +
				"  GROUP BY status ORDER BY requests DESC;",
		},
	},
	2: {
		title: "payments to gzip JSON lines", stream: "transactions", templates: []template{{kdg.TransactionStrings, 100}},
		settings: map[string]string{
			"APP": "sluice-module-2", "OUTPUT": "json", "COMPRESSION": "gzip",
			"PREFIX": "data/transactions/" + dated, "ERROR_PREFIX": "error/transactions/!{firehose:error-output-type}/" + dated,
		},
		question: question{
			text: "How many transactions are in which state?", column: "status",
			query: "SELECT status, count(*) AS transactions FROM read_json('%s')\n  GROUP BY status ORDER BY transactions DESC;",
		},
	},
	lab: {
		title: "payments to Parquet, the abnormal ones flagged", stream: "TicketTransactionStreamingData", templates: transactions,
		settings: map[string]string{
			"PREFIX":      "TicketTransactionStreamingData/ingest_year=!{timestamp:yyyy}/ingest_month=!{timestamp:MM}/ingest_day=!{timestamp:dd}/ingest_hour=!{timestamp:HH}/",
			"COMPRESSION": "none", "ANOMALY_DETECTORS": "source_rate", "ANOMALY_SOURCE_RATE_KIND": "rate", "ANOMALY_SOURCE_RATE_KEY": "sourceip",
		},
		question: question{
			text: "Which address comes how often?", column: "sourceip",
			query: `WITH transactions AS (
    SELECT * FROM read_parquet('%[1]s',
      hive_partitioning = true, hive_types_autocast = false))
  SELECT sourceip, count(*) AS transactions FROM transactions
  WHERE (ingest_year, ingest_month, ingest_day, ingest_hour) =
    (SELECT max((ingest_year, ingest_month, ingest_day, ingest_hour)) FROM transactions)
  GROUP BY sourceip ORDER BY transactions DESC LIMIT 10;

And what did the abnormal one do?

  SELECT * FROM read_parquet('%[1]s',
    hive_partitioning = true, hive_types_autocast = false)
  WHERE sourceip = '221.233.116.256' ORDER BY ingest_time;`,
		},
	},
	4: {
		title: "an access log to its lines, as they came", stream: "access-logs-tsv", templates: accessLog,
		settings: map[string]string{
			"APP": "sluice-module-4", "FORMAT": "apache", "APACHE_LOG_FORMAT": "kdg", "OUTPUT": "raw", "COMPRESSION": "none",
			"PREFIX": "access-logs-tsv/!{timestamp:yyyy/MM/dd/HH}/",
		},
		question: missing(logPattern, "SELECT line FROM "+lines+"\n"+
			"  WHERE regexp_matches(line, '\" 404 [0-9]+$');"),
	},
	5: {
		title: "an access log to JSON lines", stream: "access-logs-json", templates: accessLog,
		settings: map[string]string{
			"APP": "sluice-module-5", "FORMAT": "apache", "APACHE_LOG_FORMAT": "kdg", "APACHE_TYPES": "string", "OUTPUT": "json", "COMPRESSION": "none",
			"PREFIX": "access-logs-json/!{timestamp:yyyy/MM/dd/HH}/",
		},
		// The status is a string, as the lab has it, also where all of them look like numbers.
		question: missing("", "SELECT * FROM read_json('%s',\n    columns = {client_ip: 'VARCHAR', user_id: 'VARCHAR', client_request: 'VARCHAR', resource: 'VARCHAR', status: 'VARCHAR'})\n  WHERE status = '404';"),
	},
	6: {
		title: "an access log to Parquet", stream: "access-logs-parquet", templates: accessLog,
		settings: map[string]string{
			"APP": "sluice-module-6", "FORMAT": "apache", "APACHE_LOG_FORMAT": "kdg", "APACHE_TYPES": "string", "COMPRESSION": "snappy",
			"PREFIX": "access-logs-parquet/!{timestamp:yyyy/MM/dd/HH}/",
		},
		question: missing("", "SELECT * FROM read_parquet('%s') WHERE status = '404';"),
	},
}

// moduleList is for the help text.
func moduleList() string {
	var b strings.Builder
	for _, n := range slices.Sorted(maps.Keys(modules)) {
		fmt.Fprintf(&b, "  %d  %s\n", n, modules[n].title)
	}
	return b.String()
}
