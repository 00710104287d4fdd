package sink

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Prefix is an expression for the beginning of keys, in the language of Amazon Data Firehose's custom prefixes: text with
//
//	!{timestamp:PATTERN}             where PATTERN is one of java.time.format.DateTimeFormatter
//	!{firehose:random-string}        11 letters and digits, others for each file and each place
//	!{partitionKeyFromQuery:COLUMN}  in the prefix of data: a column's value
//	!{firehose:error-output-type}    in the prefix of rejects, which has to have it
//
// It does not change, and is safe for concurrent use.
//
// https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
type Prefix struct {
	parts []prefixPart
}

// prefixPart is one of these.
type prefixPart struct {
	literal   string
	date      []dateField
	column    string
	random    bool
	errorType bool
}

// columnNamespace is Firehose's for values that a query finds in a record. Here a column's name is the query.
const columnNamespace = "partitionKeyFromQuery"

// ParsePrefix reads the prefix of data. An error tells the place, counted in bytes from 1.
func ParsePrefix(expression string) (*Prefix, error) { return parsePrefix(expression, false) }

// ParseErrorPrefix reads the prefix of rejects, which has to tell their error-output-type.
func ParseErrorPrefix(expression string) (*Prefix, error) { return parsePrefix(expression, true) }

func parsePrefix(expression string, rejects bool) (*Prefix, error) {
	p := &Prefix{}
	told := false
	for at := 0; at < len(expression); {
		literal, rest, found := strings.Cut(expression[at:], "!{")
		if literal != "" {
			p.parts = append(p.parts, prefixPart{literal: literal})
		}
		if !found {
			break
		}
		at += len(literal)
		inner, _, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, placed(at, "the expression has no closing brace; it reads !{timestamp:yyyy-MM-dd}")
		}
		part, err := parseExpression(inner, rejects)
		if fault := (*patternError)(nil); errors.As(err, &fault) {
			return nil, placed(at+len("!{timestamp:")+fault.at, "%v", err)
		} else if err != nil {
			return nil, placed(at, "%v", err)
		}
		told = told || part.errorType
		p.parts = append(p.parts, part)
		at += len("!{") + len(inner) + len("}")
	}
	if rejects && !told {
		return nil, fmt.Errorf("!{firehose:error-output-type} is missing, by which one kind of rejects is told from another")
	}
	if n := len(p.Append(nil, longest, "format-conversion-failed")); n > maxPrefix {
		return nil, fmt.Errorf("it makes prefixes of up to %d bytes, and %d are allowed", n, maxPrefix)
	}
	return p, nil
}

// longest is a time of which every field is as long as can be, but for years beyond 9999.
var longest = time.Date(2026, time.September, 23, 23, 59, 59, 999_999_999, time.FixedZone("", -(11*3600+59*60+59)))

// placed is an error at an offset of the expression.
func placed(at int, format string, args ...any) error {
	return fmt.Errorf("at character %d: %s", at+1, fmt.Sprintf(format, args...))
}

// parseExpression reads what is in braces.
func parseExpression(inner string, rejects bool) (prefixPart, error) {
	namespace, argument, _ := strings.Cut(inner, ":")
	switch {
	case namespace == "timestamp":
		date, err := parseDatePattern(argument)
		return prefixPart{date: date}, err
	case inner == "firehose:random-string":
		return prefixPart{random: true}, nil
	case inner == "firehose:error-output-type" && rejects:
		return prefixPart{errorType: true}, nil
	case inner == "firehose:error-output-type":
		return prefixPart{}, fmt.Errorf("!{%s} is for the error prefix alone", inner)
	case strings.HasPrefix(namespace, "partitionKeyFrom") && rejects:
		return prefixPart{}, fmt.Errorf("!{%s} is not for the error prefix: rejects have no columns", inner)
	case namespace == "partitionKeyFromLambda":
		return prefixPart{}, fmt.Errorf("!{%s} is not supported, as there is no function; a column's value is !{%s:COLUMN}", inner, columnNamespace)
	case namespace == columnNamespace && argument == "":
		return prefixPart{}, fmt.Errorf("!{%s} names no column; it reads !{%s:COLUMN}", inner, columnNamespace)
	case namespace == columnNamespace && argument != strings.ToLower(argument):
		return prefixPart{}, fmt.Errorf("!{%s} is for no column, as their names are lower-case; try %s", inner, strings.ToLower(argument))
	case namespace == columnNamespace:
		return prefixPart{column: argument}, nil
	}
	return prefixPart{}, fmt.Errorf("!{%s} is not supported; !{timestamp:PATTERN}, !{firehose:random-string} and !{%s:COLUMN} are, "+
		"and !{firehose:error-output-type} in the error prefix", inner, columnNamespace)
}

// Static is the text before the first expression: what all keys begin with.
func (p *Prefix) Static() string {
	if len(p.parts) > 0 {
		return p.parts[0].literal
	}
	return ""
}

// Columns are those whose values the prefix shows, in its order.
func (p *Prefix) Columns() []string {
	var names []string
	for _, part := range p.parts {
		if part.column != "" {
			names = append(names, part.column)
		}
	}
	return names
}

// FolderColumns are the columns that have folders as Hive names them, COLUMN=VALUE/. Readers of such folders add these columns to
// those in the files, which must not have them, too.
func (p *Prefix) FolderColumns() []string {
	var names []string
	before := "/"
	for i, part := range p.parts {
		if part.column != "" && strings.HasSuffix(before, "/"+part.column+"=") && i+1 < len(p.parts) && strings.HasPrefix(p.parts[i+1].literal, "/") {
			names = append(names, part.column)
		}
		before = part.literal
		if i == 0 {
			before = "/" + before
		}
	}
	return names
}

// Append appends the prefix of a time, as the time's location shows it. The errorType is one of Firehose's
// error-output-types. Columns have no values here, and are left out.
func (p *Prefix) Append(dst []byte, at time.Time, errorType string) []byte {
	return p.append(dst, at, errorType, nil, true)
}

// append appends the prefix of a time and of values, one for each column unless they are nil. What is random may be left out.
func (p *Prefix) append(dst []byte, at time.Time, errorType string, values []string, random bool) []byte {
	column := 0
	for _, part := range p.parts {
		switch {
		case part.date != nil:
			dst = appendDate(dst, part.date, at)
		case part.errorType:
			dst = append(dst, errorType...)
		case part.random && random:
			for range randomLength {
				dst = append(dst, randomLetters[rand.IntN(len(randomLetters))])
			}
		case part.column != "" && values != nil:
			dst = append(dst, values[column]...)
			column++
		default:
			dst = append(dst, part.literal...)
		}
	}
	return dst
}

const (
	randomLength  = 11
	randomLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// unit is the smallest unit of time that the prefix shows, at most a day: within one of a clock that does not change
// its offset, the prefix does not change.
func (p *Prefix) unit() time.Duration {
	unit := 24 * time.Hour
	for _, part := range p.parts {
		for _, f := range part.date {
			switch f.letter {
			case 'H', 'k', 'h', 'K', 'a':
				unit = min(unit, time.Hour)
			case 'm':
				unit = min(unit, time.Minute)
			case 's':
				unit = min(unit, time.Second)
			case 'S', 'A', 'n', 'N':
				unit = time.Millisecond
			}
		}
	}
	return unit
}
