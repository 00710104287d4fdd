package transform

import "fmt"

// A nickname is a format of a well-known log.
type nickname struct {
	format   string
	later    string // what newer lines have at their end; these formats also may have more
	comments bool   // lines that begin with # are headers
}

// nicknames are the log formats that have names. In those of AWS, which say the same in other words, requests are %r, and
// what Apache does not have is written as notes, %{name:type}n.
var nicknames = map[string]nickname{
	"common":         {format: `%h %l %u %t "%r" %>s %b`},
	"kdg":            {format: `%h %l %u %t "%r" %>s %b`}, // its requests have no version
	"combined":       {format: `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`},
	"nginx":          {format: `%h - %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`},
	"vhost_combined": {format: `%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"`},
	"alb": {
		format: `%{type:string}n %{end:%Y-%m-%dT%H:%M:%S}t.%{end:usec_frac}tZ %{elb:string}n %h:%{remote}p %{target:string}n ` +
			`%{request_processing_time:double}n %{target_processing_time:double}n %{response_processing_time:double}n ` +
			`%>s %{target_status:int64}n %I %O "%r" "%{User-Agent}i" %{ssl_cipher:string}n %{ssl_protocol:string}n ` +
			`%{target_group_arn:string}n "%{trace_id}n" "%{domain_name}n" "%{chosen_cert_arn}n" %{matched_rule_priority:int64}n ` +
			`%{%Y-%m-%dT%H:%M:%S}t.%{usec_frac}tZ "%{actions_executed}n" "%{redirect_url}n" "%{error_reason}n"`,
		later: ` "%{target_list}n" "%{target_status_list}n" "%{classification}n" "%{classification_reason}n" %{conn_trace_id:string}n`,
	},
	"cloudfront": {
		format: `%{%Y-%m-%d%t%H:%M:%S}t\t%{edge_location:string}n\t%{returned_obj_size:int64}n\t%h\t%m\t%{domain_name:string}n\t%U\t%>s\t` +
			`%{Referer}i\t%{User-Agent}i\t%q\t%{cookie}n\t%{edge_result_type:string}n\t%{request_id:string}n\t%{Host}i\t` +
			`%{protocol:string}n\t%{bytes_received:int64}n\t%{time_taken:double}n\t%{X-Forwarded-For}i\t%{ssl_protocol:string}n\t` +
			`%{ssl_cipher:string}n\t%{edge_response_result_type:string}n\t%H`,
		later: `\t%{fle_status:string}n\t%{fle_encrypted_fields:string}n\t%{remote}p\t%{time_to_first_byte:double}n\t` +
			`%{edge_detailed_result_type:string}n\t%{content_type}n\t%{content_length:int64}n\t%{range_start:int64}n\t%{range_end:int64}n`,
		comments: true,
	},
	"s3": {
		format: `%{bucket_owner:string}n %{bucket:string}n %t %h %{requester:string}n %{request_id:string}n %{operation:string}n ` +
			`%{key:string}n "%r" %>s %{error_code:string}n %b %{object_size:int64}n %{total_time:int64}n %{turn_around_time:int64}n ` +
			`"%{Referer}i" "%{User-Agent}i" %{version_id:string}n`,
		later: ` %{host_id:string}n %{signature_version:string}n %{cipher_suite:string}n %{authentication_type:string}n ` +
			`%{host_header:string}n %{tls_version:string}n %{access_point_arn:string}n %{acl_required:string}n %{source_region:string}n`,
	},
}

// candidates are the formats that LogDetector tries. A user's name may have spaces, so that a line with a virtual host may
// match combined, too, and has to be tried before. The other formats match nothing that these do not.
var candidates = []string{"vhost_combined", "combined", "common", "alb", "cloudfront", "s3"}

// layoutOf compiles a nickname's format, or a LogFormat.
func layoutOf(logFormat string) (*layout, error) {
	n, known := nicknames[logFormat]
	if !known {
		return compile(logFormat)
	}
	l, err := compile(n.format + n.later)
	if err != nil {
		return nil, fmt.Errorf("the log format %s: %w", logFormat, err)
	}
	if n.later != "" {
		required, err := compile(n.format)
		if err != nil {
			return nil, fmt.Errorf("the log format %s: %w", logFormat, err)
		}
		l.required, l.open = required.required, true
	}
	l.comments = n.comments
	return l, nil
}

// LogDetector finds out which log format lines have: of those that have nicknames, the one that most lines of the sample
// match, and of several the first. It is not safe for concurrent use.
type LogDetector struct {
	text     bool
	reserved []string
	formats  []*Apache
	matches  []int
}

// NewLogDetector makes a detector, for columns of text alone or of all types; see [ApacheSchema].
func NewLogDetector(text bool, reserved ...string) *LogDetector {
	d := &LogDetector{text: text, reserved: reserved, matches: make([]int, len(candidates))}
	for _, name := range candidates {
		format, err := NewApache(Schema{LogFormat: name})
		if err != nil {
			panic(err) // a test compiles them all
		}
		d.formats = append(d.formats, format)
	}
	return d
}

// Add learns from the lines of a payload.
func (d *LogDetector) Add(payload []byte) {
	for i, format := range d.formats {
		d.matches[i] += format.matching(payload)
	}
}

// best is the index of the format that matches most.
func (d *LogDetector) best() int {
	best := 0
	for i, n := range d.matches {
		if n > d.matches[best] {
			best = i
		}
	}
	return best
}

// Records is the number of lines that the best format matches.
func (d *LogDetector) Records() int { return d.matches[d.best()] }

// Schema is the schema of the best format.
func (d *LogDetector) Schema() Schema {
	s, err := ApacheSchema(candidates[d.best()], d.text, d.reserved...)
	if err != nil {
		panic(err) // see NewLogDetector
	}
	return s
}
