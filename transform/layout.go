package transform

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-etl/sluice/internal/columns"
)

// form says what becomes of an element's text.
type form uint8

const (
	formPlain    form = iota // a value
	formAlways               // a value, also if it is "-", which is null elsewhere
	formRequest              // three: method, resource and version
	formPart                 // of a time that several elements may tell together
	formFraction             // a value, and part of such a time
	formEpoch                // a number of time units since 1970
)

// element is a directive of a LogFormat: where its text ends, and what becomes of it.
type element struct {
	written string // as it stands in the format
	class   class
	form    form

	open, close byte   // the quotes or brackets around the text; 0 for none
	quoted      bool   // the text is within quotes, beside others
	stop        []byte // the text ends before the first of these; empty: at the end of the line
	inside      bool   // stop occurs in the pattern, too
	query       bool   // the text ends where a query begins
	after       string // what stands before the next element, without its quotes or brackets

	values  []columns.Field // named by source
	pattern []conversion    // of a part
	scale   int             // of an epoch: the milliseconds of a unit; of a fraction: the units of a millisecond
	phase   int             // of times: 0 when the request was received, 1 when it was finished
}

// layout is a LogFormat, compiled.
type layout struct {
	before   string // what stands before the first element
	elements []element
	required int  // so many elements a line must have
	open     bool // it may have more than all, and bare dashes for what is in quotes
	comments bool // lines that begin with # are headers
}

// wholeRequest is the key under which a request is rescued that cannot be taken apart.
const wholeRequest = "%r"

// requestParts are the values of %r.
var requestParts = []columns.Field{{Name: "client_request"}, {Name: "resource"}, {Name: "version"}}

// compile makes a layout of a LogFormat.
func compile(format string) (*layout, error) {
	items, after, err := parseLogFormat(format)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, errors.New("it has no directive")
	}
	l := &layout{elements: make([]element, len(items)), required: len(items)}
	for i := range items {
		if l.elements[i], err = items[i].element(); err != nil {
			return nil, err
		}
	}
	literals := make([]string, 0, len(items)+1)
	for i := range items {
		literals = append(literals, items[i].before)
	}
	l.enclose(append(literals, after))
	if err := l.delimit(); err != nil {
		return nil, err
	}
	l.join()
	l.nameValues()
	return l, nil
}

// element makes an element that does not know its neighbours.
func (it *item) element() (element, error) {
	e := element{written: it.written, class: it.class, values: []columns.Field{{Name: it.name, Type: it.typ}}}
	switch it.letter {
	case "r":
		e.form, e.values = formRequest, requestParts
	case "X":
		e.form = formAlways
	case "t":
		return e, e.timed(it.argument)
	}
	return e, nil
}

// timed makes the element what the argument of %t says.
func (e *element) timed(argument string) error {
	prefix := "request_received_"
	if rest, found := strings.CutPrefix(argument, "end:"); found {
		argument, prefix, e.phase = rest, "request_finished_", 1
	}
	argument = strings.TrimPrefix(argument, "begin:")
	v := columns.Field{Name: prefix + "time", Type: columns.Timestamp}
	e.form, e.class = formEpoch, classWord
	switch argument {
	case "sec":
		e.scale = 1000
	case "msec":
		e.scale = 1
	case "usec": // more digits than a timestamp keeps
		e.form, v = formPlain, columns.Field{Name: prefix + "us", Type: columns.Int64}
	case "msec_frac":
		e.form, e.scale, v = formFraction, 1, columns.Field{Name: prefix + "msec_frac", Type: columns.Int64}
	case "usec_frac":
		e.form, e.scale, v = formFraction, 1000, columns.Field{Name: prefix + "usec_frac", Type: columns.Int64}
	case "":
		e.open, e.close = '[', ']'
		argument = "%d/%b/%Y:%H:%M:%S %z"
		fallthrough
	default:
		e.form, e.class = formPlain, classText
		if strings.Contains(argument, "\n") || strings.Contains(argument, "%n") {
			return fmt.Errorf("%s: a newline; a record is one line", e.written)
		}
		if pattern, ok := strftime(argument); ok {
			e.form, e.pattern = formPart, pattern
		} else {
			v.Type = columns.String
		}
	}
	e.values = []columns.Field{v}
	return nil
}

// enclose finds what stands in quotes, and gives the elements the literals between them.
func (l *layout) enclose(literals []string) {
	within := false
	for i := range l.elements {
		e := &l.elements[i]
		if strings.Count(literals[i], `"`)%2 == 1 {
			within = !within
		}
		e.quoted = within
	}
	for i := range l.elements {
		e := &l.elements[i]
		if e.quoted && e.open == 0 && strings.HasSuffix(literals[i], `"`) && strings.HasPrefix(literals[i+1], `"`) {
			e.open, e.close = '"', '"'
			literals[i], literals[i+1] = literals[i][:len(literals[i])-1], literals[i+1][1:]
		}
	}
	l.before = literals[0]
	for i := range l.elements {
		l.elements[i].after = literals[i+1]
	}
}

// delimit finds where the texts end that nothing encloses.
func (l *layout) delimit() error {
	for i := len(l.elements) - 1; i >= 0; i-- {
		e := &l.elements[i]
		e.stop = []byte(e.after)
		if i == len(l.elements)-1 {
			continue
		}
		next := &l.elements[i+1]
		if next.open != 0 {
			e.stop = append(e.stop, next.open)
		}
		switch {
		case e.open != 0 || len(e.stop) > 0:
		case strings.HasSuffix(next.written, "q"):
			e.stop, e.query = next.stop, true
		default:
			return fmt.Errorf("nothing stands between %s and %s to tell where one ends", e.written, next.written)
		}
		for _, c := range e.pattern {
			e.inside = e.inside || c.letter == 0 && bytes.Contains(c.text, e.stop)
		}
	}
	return nil
}

// join finds out whether the parts of a time tell it together. Parts that do not are texts.
func (l *layout) join() {
	for phase := range 2 {
		var letters strings.Builder
		var parts []*element
		for i := range l.elements {
			if e := &l.elements[i]; e.form == formPart && e.phase == phase {
				parts = append(parts, e)
				for _, c := range e.pattern {
					if c.letter != 0 {
						letters.WriteByte(c.letter)
					}
				}
			}
		}
		if tells(letters.String()) {
			continue
		}
		for _, e := range parts {
			e.form, e.values[0].Type = formPlain, columns.String
		}
	}
}

// nameValues makes the sources differ.
func (l *layout) nameValues() {
	names := map[string]bool{}
	taken := func(name string) bool { return names[name] }
	for i := range l.elements {
		e := &l.elements[i]
		values := make([]columns.Field, len(e.values))
		for j, v := range e.values {
			v.Name = columnName(v.Name, func(string) bool { return false }, taken)
			names[v.Name] = true
			values[j] = v
		}
		e.values = values
	}
}
