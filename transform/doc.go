// Package transform turns the records of a stream into columns, finds their schema, and says why something is no record.
//
// It does not know where payloads come from, which columns the service adds, or how columns are stored; and it never
// stops on bad input: every line of a payload becomes a row or a [Reject].
//
// The formats are JSON objects ([JSON]), lines of an access log ([Apache]), CSV and TSV ([Delimited]) and lines that are
// kept as they are ([Raw]). What is said first of each is what a line is.
//
// # JSON: lines
//
// A payload holds one JSON object, or several, set apart by newlines, other white space or nothing at all. An object may
// span physical lines: it is one line here. Blank lines are no lines, a byte order mark at the start is passed over, and
// a payload without any line is one reject. After a syntax error the rest of the physical line belongs to the same
// reject. If the error is found on a later physical line than the object's first, the reject reaches to the next physical
// line that begins with "{" and is indented no deeper than the bad object: so neither a truncated object swallows the
// objects after it, nor does a broken pretty-printed object yield rows made of its inner parts. A record that breaks a
// limit, but is JSON, is a reject for itself.
//
// The syntax is exactly that which encoding/json accepts, with these limits: at most 64 levels of nesting (the record
// itself is the first), at most 1,000 keys at the top of a record, and UTF-8 must be valid.
//
// # JSON: keys
//
// A key finds its column without regard to case. When two keys of a record mean the same column the later one wins, and
// a duplicate is counted. A key that the schema does not know is kept in the column "rescued"; there, too, the last of
// equal keys wins. A key with a lone surrogate names no column.
//
// # JSON: values
//
// The value null is a null in every column. Other values:
//
//   - A string column takes the text of strings, the literals of numbers and of true and false, and nested values as
//     compact JSON. A lone surrogate becomes U+FFFD.
//   - An int64 column takes the literals of integers that fit; neither 1.0 nor 1e2 is one. -0 becomes 0.
//   - A double column takes the nearest double to a number.
//   - A boolean column takes true and false.
//   - A decimal column takes numbers, and strings that hold one, that have no digit more than it, zeros at the end aside. -0
//     becomes 0.
//   - A timestamp column takes ISO 8601 texts with seconds, at most three digits of their fraction, and an offset (Z, or
//     hours and minutes with a colon), of the years 0000 to 9999 UTC; or what its format says, where it has one.
//
// What a column does not take is null there, and is kept in "rescued".
//
// # JSON: nested objects
//
// Where the schema says flatten, the keys of an object whose own key has no column are keys of the record, with that key and a
// point before them: of {"a":{"b":1}} the key is a.b, in "rescued" too. An empty object is a value, and so are arrays.
//
// # What a schema may demand
//
// A line without a value for a required column, and, where the schema rescues nothing, a line with anything that would be
// in "rescued", is a reject.
//
// # JSON: the column rescued
//
// Null, where everything fitted; else a JSON object, from the record's own keys to the tokens that came, without white
// space. Beside values that no column took it holds those that a column took, but not in full: numbers of more
// than 15 significant digits in a double column (all digits count from the first that is not zero), -0 in an int64
// column, strings with a lone surrogate. A number of which a double would not keep every digit (more than 15 significant
// ones, or too large or too small for a double) is there as a string of its literal, so that reading the JSON loses
// nothing. Numbers within nested values stay as they came.
//
// # Columns that come later
//
// A schema has versions; each has the columns of the one before, as they are, and more behind them. Declared columns may be
// added ([Schema.Declare]). Keys of JSON become columns by themselves where the decoder was told to learn ([JSON.Learn]); a
// key that comes rarely stays in "rescued", so that keys which are data make no columns. Of CSV and TSV columns are only
// declared: values there have no name, and a header on the way may be that of another producer.
//
// # Text: what the other formats share
//
// A line is a physical line; LF or CRLF ends it. Blank lines are no lines, and a byte order mark at the start is passed over.
// Header lines are passed over, too; but a payload with no line beside them is one reject, as one without any line is: every
// record of the stream is accounted for.
//
// A string column takes any text, with U+FFFD for each byte that is not part of valid UTF-8. Other columns take what the JSON
// column takes of the same type, written without quotes; an empty text is null there. What a column does not take, or not in
// full, is in the column rescued, by its source. All values are strings there, written as Apache writes texts into its log: \\
// for a backslash and \xhh for a byte that is not part of valid UTF-8, so that no byte is lost and all are visible.
//
// # Access logs
//
// The format is a LogFormat of Apache's mod_log_config, or the nickname of one: common, combined, vhost_combined, kdg
// (common, for the access log of a well-known lab), nginx, alb, cloudfront and s3 (see nicknames.go). A line matches as a whole,
// but for white space around it, or it is a reject that tells the byte and the directive where it stopped matching.
//
// Where a value ends:
//
//   - Within quotes at the next quote that no backslash escapes, or where the text that follows begins, if that is before.
//   - Words (addresses, numbers, names of hosts, methods, protocols) at white space, or where the text that follows begins. They
//     are not empty. As addresses have colons, a host that a colon follows ends at the last colon of the word.
//   - Other texts (headers, users, paths, times) where the text that follows begins, up to the quote or bracket of the next
//     value. So users may have spaces before the bracket of %t. The end of a time is not looked for within its pattern. %q may
//     follow another directive at once, which then ends at a question mark.
//
// Which request or statuses a directive is for (%>s, %!200,304{Referer}i) does not matter to a line's form. Apache's escapes (\"
// \\ \b \n \r \t \v \xhh) are undone in values. A - is null, but of %X. The formats of AWS are open: lines may lack the fields
// that came with the years, and have more, which are rescued under the key "more"; and a bare - may stand for what is in quotes.
//
// The columns, by their sources; a name that comes again gets the suffix _2, _3 and so on:
//
//	%h %a                     client_ip               %{c}a %{c}h    peer_ip, peer_host
//	%l                        client_id               %A             local_ip
//	%u                        user_id                 %v %V          server_name, requested_server_name
//	%t %{format}t             request_received_time   %{end:...}t    request_finished_time
//	%r                        client_request (the method), resource, version
//	%m %U %H                  the same                %q             query
//	%s                        status                  %R %f          handler, filename
//	%b %B                     returned_obj_size       %k %X          keepalive_requests, connection_status
//	%I %O %S                  bytes_received, bytes_sent, bytes_transferred
//	%p %{local}p %{remote}p   server_port, local_port, client_port
//	%P %{tid}P %{hextid}P     process_id, thread_id   %L %{c}L       log_id, connection_log_id
//	%T %{ms}T %{us}T %D       duration_s, duration_ms, duration_us   %^FB   first_byte_us
//	%{X-Name}i %{N}n %{V}x    x_name, n, v            %{N}o          response_n
//	%{N}C %{N}e               cookie_n, env_n         %{N}^ti %{N}^to  trailer_n, response_trailer_n
//
// Statuses, sizes, ports, identifiers and durations are int64, times are timestamps, and everything else is string. A note may
// have a type, as in %{cost:double}n; then it is a word. A request without a version has a null there; what has no method
// and no resource is no request: it is rescued under the key "%r".
//
// A timestamp is made of strftime's conversions that say when, by their numbers and English names; a pattern with others (weeks),
// or one that does not say the day and the minute, is a string. Several %t, as in %{%d/%b/%Y %T}t.%{msec_frac}t %{%z}t, tell one
// time together, in the column of the first. Offsets may have a colon; a time without one is UTC's. %{sec}t and
// %{msec}t are timestamps by themselves; %{usec}t, msec_frac and usec_frac are int64 (request_received_us, ..._msec_frac,
// ..._usec_frac), as a timestamp keeps only milliseconds.
//
// # CSV and TSV
//
// Values go to the columns in their order, separated by commas or by tabs, in both with the quotes of RFC 4180: a value that
// begins with a quote ends at a quote that is not doubled, and may hold separators and newlines. Elsewhere quotes are text.
// Values beyond the columns are rescued under their place, counted from 1; columns without a value are null. A line whose
// values are the sources of the columns is a header line; so is one with those that an earlier version of the schema had.
//
// After a fault the rest of the physical line belongs to the same reject. If it is found on a later one than the first, only the
// first is the reject, and until the place of the fault no value spans lines: so a quote that does not end leaves the lines
// after it.
//
// # Raw
//
// Each line is the text of the column line, blank lines too.
package transform
