package kcltest

import (
	"slices"
	"strings"
)

// condition tells whether an item is as asked for.
type condition func(attributes) bool

// condition reads: and-conditions, set apart by OR.
func (p *parser) condition() condition {
	if p.depth++; p.depth > maxDepth {
		p.fail("The expression is nested too deep")
	}
	defer func() { p.depth-- }()
	any := []condition{p.conjunction()}
	for p.take("OR") {
		any = append(any, p.conjunction())
	}
	return func(it attributes) bool {
		return slices.ContainsFunc(any, func(c condition) bool { return c(it) })
	}
}

func (p *parser) conjunction() condition {
	all := []condition{p.negation()}
	for p.take("AND") {
		all = append(all, p.negation())
	}
	return func(it attributes) bool {
		return !slices.ContainsFunc(all, func(c condition) bool { return !c(it) })
	}
}

func (p *parser) negation() condition {
	if p.depth++; p.depth > maxDepth {
		p.fail("The expression is nested too deep")
	}
	defer func() { p.depth-- }()
	switch {
	case p.take("NOT"):
		c := p.negation()
		return func(it attributes) bool { return !c(it) }
	case p.take("("):
		c := p.condition()
		p.expect(")")
		return c
	}
	if len(p.tokens) > 1 && p.tokens[1] == "(" && !strings.EqualFold(p.next(), "size") {
		return p.function()
	}
	return p.comparison()
}

// function reads one of the functions that are conditions. Their names, unlike keywords, are in lower case.
func (p *parser) function() condition {
	name := p.next()
	p.tokens = p.tokens[2:]
	var c condition
	switch name {
	case "attribute_exists", "attribute_not_exists":
		of := p.path()
		c = func(it attributes) bool {
			_, ok := lookup(it, of)
			return ok == (name == "attribute_exists")
		}
	case "attribute_type", "begins_with", "contains":
		of := p.path()
		p.expect(",")
		right := p.operand()
		c = func(it attributes) bool {
			v, ok := lookup(it, of)
			w, defined := right(it)
			return ok && defined && holds(name, v, w)
		}
	default:
		p.fail("Invalid function name; function: %s", name)
	}
	p.expect(")")
	return c
}

// holds evaluates the functions of two arguments.
func holds(function string, v, w value) bool {
	switch function {
	case "attribute_type":
		return w.kind == "S" && v.kind == w.text
	case "begins_with":
		return v.kind == w.kind && (v.kind == "S" || v.kind == "B") && strings.HasPrefix(v.text, w.text)
	}
	if v.kind == "S" || v.kind == "B" {
		return v.kind == w.kind && strings.Contains(v.text, w.text)
	}
	return v.has(w)
}

// comparison reads a comparison of operands. Where one leads nowhere it does not hold, but for <>.
func (p *parser) comparison() condition {
	left := p.operand()
	operator := p.next()
	switch {
	case p.take("BETWEEN"):
		low := p.operand()
		p.expect("AND")
		high := p.operand()
		return func(it attributes) bool {
			return related(it, left, ">=", low) && related(it, left, "<=", high)
		}
	case p.take("IN"):
		p.expect("(")
		list := []operand{p.operand()}
		for p.take(",") {
			list = append(list, p.operand())
		}
		p.expect(")")
		return func(it attributes) bool {
			return slices.ContainsFunc(list, func(one operand) bool { return related(it, left, "=", one) })
		}
	case !slices.Contains([]string{"=", "<>", "<", "<=", ">", ">="}, operator):
		p.fail("Syntax error; token: %q", operator)
	}
	p.tokens = p.tokens[1:]
	right := p.operand()
	return func(it attributes) bool { return related(it, left, operator, right) }
}

func related(it attributes, left operand, operator string, right operand) bool {
	v, ok := left(it)
	w, defined := right(it)
	if !ok || !defined {
		return operator == "<>"
	}
	switch operator {
	case "=":
		return v.equal(w)
	case "<>":
		return !v.equal(w)
	}
	order, comparable := v.compare(w)
	if !comparable {
		return false
	}
	switch operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}
