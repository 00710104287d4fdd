package kcltest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// expressions are the expressions of one request, with the placeholders that they share.
type expressions struct {
	names  map[string]string
	values attributes
	used   map[string]bool // placeholders
}

// check refuses placeholders that no expression used.
func (e *expressions) check() error {
	for name := range e.names {
		if !e.used[name] {
			return refuse("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", name)
		}
	}
	for name := range e.values {
		if !e.used[name] {
			return refuse("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", name)
		}
	}
	return nil
}

// parser reads one expression. Its methods are a grammar from top to bottom; the first failure is kept.
type parser struct {
	*expressions
	what   string // of the expression, for errors
	tokens []string
	depth  int
}

// maxDepth bounds how deep an expression is nested.
const maxDepth = 100

type syntaxError string

func (e syntaxError) Error() string { return string(e) }

// parse runs a rule over a whole expression. Rules fail by a panic with a syntaxError, which ends here.
func parse[T any](e *expressions, what, text string, rule func(*parser) T) (result T, err error) {
	defer func() {
		if failure, ok := recover().(syntaxError); ok {
			err = refuse("Invalid %s: %s", what, failure)
		}
	}()
	p := &parser{expressions: e, what: what}
	p.tokens = tokens(text)
	if len(p.tokens) == 0 {
		p.fail("The expression can not be empty;")
	}
	result = rule(p)
	if len(p.tokens) > 0 {
		p.fail("Syntax error; token: %q", p.tokens[0])
	}
	return result, nil
}

func (p *parser) fail(format string, args ...any) { panic(syntaxError(fmt.Sprintf(format, args...))) }

// tokens splits an expression. A character that begins no token is one of its own, which no rule takes.
func tokens(text string) []string {
	var list []string
	word := func(c byte) bool {
		return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for i := 0; i < len(text); {
		n := 1
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case word(c) || c == '#' || c == ':':
			for i+n < len(text) && word(text[i+n]) {
				n++
			}
		case strings.HasPrefix(text[i:], "<>"), strings.HasPrefix(text[i:], "<="), strings.HasPrefix(text[i:], ">="):
			n = 2
		}
		list = append(list, text[i:i+n])
		i += n
	}
	return list
}

// next is the token that comes, or nothing at the end.
func (p *parser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

// take takes a token if it comes, without regard to case.
func (p *parser) take(token string) bool {
	if len(p.tokens) == 0 || !strings.EqualFold(p.tokens[0], token) {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *parser) expect(token string) {
	if !p.take(token) {
		p.fail("Syntax error; token: %q, expected: %q", p.next(), token)
	}
}

// element is a step of a path: a name, or an index.
type element struct {
	name  string
	index int // where the name is empty
}

type path []element

func (p path) String() string {
	var b strings.Builder
	for i, e := range p {
		switch {
		case e.name == "":
			fmt.Fprintf(&b, "[%d]", e.index)
		case i > 0:
			b.WriteString("." + e.name)
		default:
			b.WriteString(e.name)
		}
	}
	return b.String()
}

// path reads a document path.
func (p *parser) path() path {
	list := path{{name: p.name()}}
	for {
		switch {
		case p.take("."):
			list = append(list, element{name: p.name()})
		case p.take("["):
			n, err := strconv.ParseUint(p.next(), 10, 31)
			if err != nil {
				p.fail("Syntax error; token: %q", p.next())
			}
			p.tokens = p.tokens[1:]
			p.expect("]")
			list = append(list, element{index: int(n)})
		default:
			return list
		}
	}
}

// name reads an attribute's name or its placeholder.
func (p *parser) name() string {
	token := p.next()
	switch {
	case token == "" || strings.IndexByte("0123456789", token[0]) >= 0 || !strings.ContainsAny(token[:1], "#_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"):
		p.fail("Syntax error; token: %q", token)
	case token[0] == '#':
		name, ok := p.names[token]
		if !ok {
			p.fail("An expression attribute name used in the document path is not defined; attribute name: %s", token)
		}
		p.used[token] = true
		p.tokens = p.tokens[1:]
		return name
	case slices.Contains(reserved, strings.ToUpper(token)):
		p.fail("Attribute name is a reserved keyword; reserved keyword: %s", token)
	}
	p.tokens = p.tokens[1:]
	return token
}

// operand is evaluated on an item; ok is false where a path leads nowhere.
type operand func(attributes) (v value, ok bool)

// operand reads a value's placeholder, a path, or size(path).
func (p *parser) operand() operand {
	token := p.next()
	if strings.HasPrefix(token, ":") {
		v, ok := p.values[token]
		if !ok {
			p.fail("An expression attribute value used in expression is not defined; attribute value: %s", token)
		}
		p.used[token] = true
		p.tokens = p.tokens[1:]
		return func(attributes) (value, bool) { return v, true }
	}
	if len(p.tokens) > 1 && p.tokens[1] == "(" {
		if !strings.EqualFold(token, "size") {
			p.fail("Invalid function name; function: %s", token)
		}
		p.tokens = p.tokens[2:]
		of := p.path()
		p.expect(")")
		return func(it attributes) (value, bool) { return length(it, of) }
	}
	of := p.path()
	return func(it attributes) (value, bool) { return lookup(it, of) }
}

// lookup follows a path.
func lookup(it attributes, of path) (v value, ok bool) {
	v = value{kind: "M", m: it}
	for _, e := range of {
		switch {
		case e.name != "" && v.kind == "M":
			if v, ok = v.m[e.name]; !ok {
				return value{}, false
			}
		case e.name == "" && v.kind == "L" && e.index < len(v.l):
			v = v.l[e.index]
		default:
			return value{}, false
		}
	}
	return v, true
}

// length is the function size.
func length(it attributes, of path) (value, bool) {
	v, ok := lookup(it, of)
	n := 0
	switch {
	case !ok:
		return value{}, false
	case v.kind == "S", v.kind == "B":
		n = len(v.text)
	case v.kind == "M":
		n = len(v.m)
	case v.l != nil || v.kind == "L":
		n = len(v.l)
	default:
		return value{}, false
	}
	return value{kind: "N", text: strconv.Itoa(n)}, true
}
