package transform

import (
	"fmt"
	"strings"

	"github.com/sluice-etl/sluice/internal/columns"
)

// class says which bytes a value may have that stands in neither quotes nor brackets, and so where it ends.
type class uint8

const (
	classWord class = iota // at least one, and no white space
	classHost              // a word; before a colon it ends at the last one, as addresses have colons
	classText              // any
)

// directive is what a LogFormat can ask for.
type directive struct {
	name  string // of the column; * stands for the argument
	typ   columns.Type
	class class
}

// directives by letter, with the argument where it is one of a few, and with {} where it can be any.
var directives = map[string]directive{
	"a":            {name: "client_ip", class: classHost},
	"{c}a":         {name: "peer_ip", class: classHost},
	"A":            {name: "local_ip", class: classHost},
	"B":            {name: "returned_obj_size", typ: columns.Int64},
	"b":            {name: "returned_obj_size", typ: columns.Int64},
	"{}C":          {name: "cookie_*", class: classText},
	"D":            {name: "duration_us", typ: columns.Int64},
	"{}e":          {name: "env_*", class: classText},
	"f":            {name: "filename", class: classText},
	"h":            {name: "client_ip", class: classHost},
	"{c}h":         {name: "peer_host", class: classHost},
	"H":            {name: "version"},
	"{}i":          {name: "*", class: classText},
	"k":            {name: "keepalive_requests", typ: columns.Int64},
	"l":            {name: "client_id"},
	"L":            {name: "log_id"},
	"{c}L":         {name: "connection_log_id"},
	"m":            {name: "client_request"},
	"{}n":          {name: "*", class: classText},
	"{}o":          {name: "response_*", class: classText},
	"p":            {name: "server_port", typ: columns.Int64},
	"{canonical}p": {name: "server_port", typ: columns.Int64},
	"{local}p":     {name: "local_port", typ: columns.Int64},
	"{remote}p":    {name: "client_port", typ: columns.Int64},
	"P":            {name: "process_id", typ: columns.Int64},
	"{pid}P":       {name: "process_id", typ: columns.Int64},
	"{tid}P":       {name: "thread_id", typ: columns.Int64},
	"{hextid}P":    {name: "thread_id"},
	"q":            {name: "query", class: classText},
	"r":            {name: "request", class: classText},
	"R":            {name: "handler", class: classText},
	"s":            {name: "status", typ: columns.Int64},
	"t":            {name: "request_received_time", typ: columns.Timestamp, class: classText},
	"{}t":          {name: "request_received_time", typ: columns.Timestamp, class: classText},
	"T":            {name: "duration_s", typ: columns.Int64},
	"{s}T":         {name: "duration_s", typ: columns.Int64},
	"{ms}T":        {name: "duration_ms", typ: columns.Int64},
	"{us}T":        {name: "duration_us", typ: columns.Int64},
	"u":            {name: "user_id", class: classText},
	"U":            {name: "resource", class: classText},
	"v":            {name: "server_name", class: classHost},
	"V":            {name: "requested_server_name", class: classHost},
	"X":            {name: "connection_status"},
	"I":            {name: "bytes_received", typ: columns.Int64},
	"O":            {name: "bytes_sent", typ: columns.Int64},
	"S":            {name: "bytes_transferred", typ: columns.Int64},
	"^FB":          {name: "first_byte_us", typ: columns.Int64},
	"{}^ti":        {name: "trailer_*", class: classText},
	"{}^to":        {name: "response_trailer_*", class: classText},
	"{}x":          {name: "*", class: classText},
}

// item is a part of a LogFormat: a directive with the literal text before it.
type item struct {
	before   string
	written  string // the directive
	letter   string
	argument string
	directive
}

// parseLogFormat takes a LogFormat apart. Literal text may have the escapes that Apache's configuration has.
func parseLogFormat(format string) (items []item, after string, err error) {
	var literal strings.Builder
	for pos := 0; pos < len(format); {
		c := format[pos]
		switch {
		case c == '\\' && pos+1 < len(format):
			pos++
			literal.WriteByte(escapedLiteral(format[pos]))
			pos++
		case c == '%' && strings.HasPrefix(format[pos:], "%%"):
			literal.WriteByte('%')
			pos += 2
		case c == '%':
			it, size := parseDirective(format[pos:])
			if size < 0 {
				return nil, "", fmt.Errorf("byte %d: there is no directive %s", pos, format[pos:pos-size])
			}
			it.before = literal.String()
			literal.Reset()
			items = append(items, it)
			pos += size
		default:
			literal.WriteByte(c)
			pos++
		}
		if strings.HasSuffix(literal.String(), "\n") {
			return nil, "", fmt.Errorf("byte %d: a newline within the format; a record is one line", pos)
		}
	}
	return items, strings.TrimRight(literal.String(), " \t\r"), nil
}

func escapedLiteral(c byte) byte {
	switch c {
	case 'n', 'r', 't':
		return unescaped(c)
	}
	return c
}

// parseDirective reads the directive that text begins with. Its size is negative where there is no such directive, by as
// much as would be one.
func parseDirective(text string) (it item, size int) {
	pos := 1
	// Which request of several is looked at, and for which statuses, does not change how a value looks.
	pos += len(text[pos:]) - len(strings.TrimLeft(text[pos:], "!<>,0123456789"))
	braces := false
	if strings.HasPrefix(text[pos:], "{") {
		end := strings.IndexByte(text[pos:], '}')
		if end < 0 {
			return it, -len(text)
		}
		it.argument, braces = text[pos+1:pos+end], true
		pos += end + 1
	}
	pos += len(text[pos:]) - len(strings.TrimLeft(text[pos:], "!<>,0123456789"))
	letters := 1
	if strings.HasPrefix(text[pos:], "^") {
		letters = 3
	}
	if pos+letters > len(text) {
		return it, -len(text)
	}
	it.letter = text[pos : pos+letters]
	pos += letters
	it.written = text[:pos]
	known := false
	if !braces {
		it.directive, known = directives[it.letter]
	} else if it.directive, known = directives["{"+it.argument+"}"+it.letter]; !known {
		it.directive, known = directives["{}"+it.letter]
	}
	if !known || !it.argue() {
		return it, -pos
	}
	return it, pos
}

// argue makes the directive what its argument says. It is not ok with an argument that is none.
func (it *item) argue() (ok bool) {
	name := it.argument
	if it.letter == "n" {
		note, typ, typed := strings.Cut(it.argument, ":")
		if typed && it.typ.UnmarshalText([]byte(typ)) != nil {
			return false
		}
		if name = note; typed {
			it.class = classWord
		}
	}
	it.name = strings.Replace(it.name, "*", strings.ToLower(name), 1)
	return true
}
