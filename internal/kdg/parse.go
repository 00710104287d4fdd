package kdg

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Parse reads a template. name is that of its file, for errors, which look like
//
//	payments.kdg:3:17: there is no function "random.numbr"; the nearest is random.number
//
// with lines and columns (in characters) counted from 1. The first fault is reported.
func Parse(name, text string) (*Template, error) {
	t := &Template{name: name}
	parts, err := parseParts(text)
	if err != nil {
		f, ok := errors.AsType[*fault](err)
		if !ok {
			f = &fault{message: err.Error()}
		}
		line, column := place(text, f.offset)
		return nil, fmt.Errorf("%s:%d:%d: %s", name, line, column, f.message)
	}
	t.parts = parts
	return t, nil
}

// fault is an error at a byte offset of the template's text.
type fault struct {
	offset  int
	message string
}

func (f *fault) Error() string { return f.message }

func faultAt(offset int, format string, arguments ...any) error {
	return &fault{offset, fmt.Sprintf(format, arguments...)}
}

func place(text string, offset int) (line, column int) {
	before := text[:offset]
	line = 1 + strings.Count(before, "\n")
	column = 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return line, column
}

// parseParts finds the tags between the first and the last character that is no white space. Offsets stay those of
// the whole text.
func parseParts(text string) ([]part, error) {
	isBlank := func(c rune) bool { return unicode.IsSpace(c) || c == '\uFEFF' } // as JavaScript's trim has it
	end := len(strings.TrimRightFunc(text, isBlank))
	start := end - len(strings.TrimLeftFunc(text[:end], isBlank))
	if start == end {
		return nil, faultAt(0, "the template is empty")
	}
	text = text[:end]

	var parts []part
	for start < end {
		length := strings.Index(text[start:], "{{")
		if length < 0 {
			parts = append(parts, part{literal: oneLine.Replace(text[start:])})
			break
		}
		s := scanner{text: text, at: start + length}
		generate, err := s.tag()
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{literal: oneLine.Replace(text[start : start+length]), generate: generate})
		start = s.at
	}
	return parts, nil
}

var oneLine = strings.NewReplacer("\r", "", "\n", "")

// tag reads from {{ to after }}.
func (s *scanner) tag() (generator, error) {
	open := s.at
	s.at += len("{{")
	s.space()
	nameAt := s.at
	name := s.functionName()
	if name == "" {
		return nil, faultAt(s.at, "after {{ a function is expected, such as random.number or date.now")
	}
	f, ok := functions[name]
	if !ok {
		return nil, faultAt(nameAt, "there is no function %q; the nearest is %s", name, nearest(name, functionNames()))
	}
	call := call{name: name, at: nameAt}
	s.space()
	if s.accept("(") {
		var err error
		if call.arguments, err = s.arguments(f.takesText); err != nil {
			return nil, err
		}
		s.space()
	}
	if !s.accept("}}") {
		if s.at == len(s.text) {
			return nil, faultAt(open, "this {{ is never closed: }} is missing")
		}
		return nil, faultAt(s.at, "}} is expected after %s, not %s", name, s.next())
	}
	return f.build(&call)
}

func (s *scanner) functionName() string {
	start := s.at
	for s.at < len(s.text) && (isWordByte(s.text[s.at]) || s.text[s.at] == '.') {
		s.at++
	}
	return s.text[start:s.at]
}

// arguments reads from after ( to after ). What is no JSON is taken as one text where a function takes such, as
// faker.js does: {{date.now(DD/MM/YYYY)}}.
func (s *scanner) arguments(takesText bool) ([]value, error) {
	start := s.at
	values, err := s.list(')')
	if err == nil || !takesText {
		return values, err
	}
	length := strings.IndexByte(s.text[start:], ')')
	if length <= 0 || s.text[start] == '"' || s.text[start] == '\'' {
		return nil, err
	}
	s.at = start + length + 1
	return []value{{at: start, kind: textKind, text: oneLine.Replace(strings.TrimSpace(s.text[start : start+length]))}}, nil
}
