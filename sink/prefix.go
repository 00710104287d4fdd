package sink

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Prefix is an expression for the beginning of keys, in the language of Amazon Data Firehose's custom prefixes: text
// with !{timestamp:PATTERN}, where PATTERN is one of java.time.format.DateTimeFormatter, and, in the prefix of
// rejects, !{firehose:error-output-type}. It does not change, and is safe for concurrent use.
//
// https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
type Prefix struct {
	parts []prefixPart
}

// prefixPart is one of three.
type prefixPart struct {
	literal   string
	date      []dateField
	errorType bool
}

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
		namespace, argument, _ := strings.Cut(inner, ":")
		fail := func(format string, args ...any) (*Prefix, error) {
			return nil, fmt.Errorf("at character %d: %s", at+1, fmt.Sprintf(format, args...))
		}
		switch {
		case !closed:
			return fail("the expression has no closing brace; it reads !{timestamp:yyyy-MM-dd}")
		case namespace == "timestamp":
			date, err := parseDatePattern(argument)
			if fault := (*patternError)(nil); errors.As(err, &fault) {
				at += len("!{timestamp:") + fault.at
				return fail("%v", err)
			}
			p.parts = append(p.parts, prefixPart{date: date})
		case inner == "firehose:error-output-type" && rejects:
			told = true
			p.parts = append(p.parts, prefixPart{errorType: true})
		case inner == "firehose:error-output-type":
			return fail("!{%s} is for the error prefix alone", inner)
		default:
			return fail("!{%s} is not supported; !{timestamp:PATTERN} is, and !{firehose:error-output-type} in the error prefix", inner)
		}
		at += len("!{") + len(inner) + len("}")
	}
	if rejects && !told {
		return nil, fmt.Errorf("!{firehose:error-output-type} is missing, by which one kind of rejects is told from another")
	}
	return p, nil
}

// Static is the text before the first expression: what all keys begin with.
func (p *Prefix) Static() string {
	if len(p.parts) > 0 {
		return p.parts[0].literal
	}
	return ""
}

// Append appends the prefix of a time, as the time's location shows it. The errorType is one of Firehose's
// error-output-types.
func (p *Prefix) Append(dst []byte, at time.Time, errorType string) []byte {
	for _, part := range p.parts {
		switch {
		case part.date != nil:
			dst = appendDate(dst, part.date, at)
		case part.errorType:
			dst = append(dst, errorType...)
		default:
			dst = append(dst, part.literal...)
		}
	}
	return dst
}

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
			case 'S':
				unit = time.Millisecond
			}
		}
	}
	return unit
}
