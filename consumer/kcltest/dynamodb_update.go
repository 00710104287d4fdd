package kcltest

import (
	"errors"
	"math/big"
	"slices"
)

// change is one action of an update expression.
type change struct {
	path   path
	remove bool
	apply  func(before, item attributes) error // values come from the item as it was before all changes
}

// update reads an update expression: each of its clauses once, in any order.
func (p *parser) update() []change {
	var changes []change
	seen := map[string]bool{}
	clause := func(name string, action func() change) bool {
		if !p.take(name) {
			return false
		}
		if seen[name] {
			p.fail("The %q section can only be used once in an update expression;", name)
		}
		seen[name] = true
		changes = append(changes, action())
		for p.take(",") {
			changes = append(changes, action())
		}
		return true
	}
	for clause("SET", p.set) || clause("REMOVE", p.remove) || clause("ADD", p.add) || clause("DELETE", p.delete) {
	}
	for i, c := range changes {
		for _, d := range changes[:i] {
			if n := min(len(c.path), len(d.path)); slices.Equal(c.path[:n], d.path[:n]) {
				p.fail("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", d.path, c.path)
			}
		}
	}
	return changes
}

var errOperand = refuse("An operand in the update expression has an incorrect data type")

// set reads path = value, where a value is a sum or a difference of two, or one.
func (p *parser) set() change {
	to := p.path()
	p.expect("=")
	left := p.setOperand()
	for _, operator := range []string{"+", "-"} {
		if !p.take(operator) {
			continue
		}
		right := p.setOperand()
		return change{path: to, apply: func(before, item attributes) error {
			v, err := left(before)
			w, err2 := right(before)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			sum, err := add(v, w, operator == "-")
			if err != nil {
				return err
			}
			return assign(item, to, sum)
		}}
	}
	return change{path: to, apply: func(before, item attributes) error {
		v, err := left(before)
		if err != nil {
			return err
		}
		return assign(item, to, v.clone())
	}}
}

// setOperand reads an operand that must lead somewhere, if_not_exists or list_append.
func (p *parser) setOperand() func(attributes) (value, error) {
	function := len(p.tokens) > 1 && p.tokens[1] == "("
	switch {
	case function && p.take("if_not_exists"):
		p.expect("(")
		of := p.path()
		p.expect(",")
		other := p.setOperand()
		p.expect(")")
		return func(it attributes) (value, error) {
			if v, ok := lookup(it, of); ok {
				return v, nil
			}
			return other(it)
		}
	case function && p.take("list_append"):
		p.expect("(")
		left := p.setOperand()
		p.expect(",")
		right := p.setOperand()
		p.expect(")")
		return func(it attributes) (value, error) {
			v, err := left(it)
			w, err2 := right(it)
			if err := errors.Join(err, err2); err != nil {
				return value{}, err
			}
			if v.kind != "L" || w.kind != "L" {
				return value{}, errOperand
			}
			return value{kind: "L", l: slices.Concat(v.l, w.l)}, nil
		}
	case function:
		p.fail("Invalid function name; function: %s", p.next())
	}
	operand := p.operand()
	return func(it attributes) (value, error) {
		v, ok := operand(it)
		if !ok {
			return v, refuse("The provided expression refers to an attribute that does not exist in the item")
		}
		return v, nil
	}
}

// add adds or subtracts numbers.
func add(v, w value, subtract bool) (value, error) {
	if v.kind != "N" || w.kind != "N" {
		return value{}, errOperand
	}
	if subtract {
		return numberValue(new(big.Rat).Sub(v.number(), w.number()))
	}
	return numberValue(new(big.Rat).Add(v.number(), w.number()))
}

func (p *parser) remove() change {
	of := p.path()
	return change{path: of, remove: true, apply: func(_, item attributes) error { return unassign(item, of) }}
}

// add reads ADD's path and value: a number is added to a number, members to a set; what is missing begins empty.
func (p *parser) add() change {
	to := p.path()
	right := p.operand()
	return change{path: to, apply: func(before, item attributes) error {
		w, _ := right(before)
		v, ok := lookup(before, to)
		switch {
		case w.kind != "N" && elements[w.kind] == "":
			return errOperand
		case !ok:
			return assign(item, to, w.clone())
		case w.kind == "N":
			sum, err := add(v, w, false)
			if err != nil {
				return err
			}
			return assign(item, to, sum)
		case v.kind != w.kind:
			return errOperand
		}
		v = v.clone()
		for _, member := range w.l {
			if !v.has(member) {
				v.l = append(v.l, member)
			}
		}
		return assign(item, to, v)
	}}
}

// delete reads DELETE's path and the members to take from a set. A set without members is no more.
func (p *parser) delete() change {
	from := p.path()
	right := p.operand()
	return change{path: from, apply: func(before, item attributes) error {
		w, _ := right(before)
		v, ok := lookup(before, from)
		switch {
		case elements[w.kind] == "" || ok && v.kind != w.kind:
			return errOperand
		case !ok:
			return nil
		}
		v = v.clone()
		v.l = slices.DeleteFunc(v.l, w.has)
		if len(v.l) == 0 {
			return unassign(item, from)
		}
		return assign(item, from, v)
	}}
}

var errPath = refuse("The document path provided in the update expression is invalid for update")

// parent gives the map or list in which a path ends, to be changed in place.
func parent(item attributes, to path) (in value, ok bool) {
	in, ok = lookup(item, to[:len(to)-1])
	last := to[len(to)-1]
	return in, ok && (last.name != "") == (in.kind == "M") && (in.kind == "M" || in.kind == "L")
}

// assign puts a value at a path of an item.
func assign(item attributes, to path, v value) error {
	in, ok := parent(item, to)
	last := to[len(to)-1]
	switch {
	case !ok:
		return errPath
	case in.kind == "M":
		in.m[last.name] = v
	case last.index < len(in.l):
		in.l[last.index] = v
	default: // beyond the end is at the end
		return assign(item, to[:len(to)-1], value{kind: "L", l: append(slices.Clone(in.l), v)})
	}
	return nil
}

// unassign removes what is at a path, if anything.
func unassign(item attributes, of path) error {
	in, ok := parent(item, of)
	last := of[len(of)-1]
	switch {
	case !ok && len(of) > 1:
		return errPath
	case in.kind == "M":
		delete(in.m, last.name)
	case last.index < len(in.l):
		return assign(item, of[:len(of)-1], value{kind: "L", l: slices.Delete(slices.Clone(in.l), last.index, last.index+1)})
	}
	return nil
}

// applyUpdate gives an item as it is after an update.
func applyUpdate(before attributes, changes []change) (attributes, error) {
	after := cloneItem(before)
	// All indexes of a list are meant as they were before: what is removed goes last, and from the end on.
	slices.SortStableFunc(changes, func(a, b change) int {
		order := a.path[len(a.path)-1].index - b.path[len(b.path)-1].index
		switch {
		case a.remove != b.remove && a.remove:
			return 1
		case a.remove != b.remove:
			return -1
		case a.remove:
			return -order
		}
		return order
	})
	for _, c := range changes {
		if err := c.apply(before, after); err != nil {
			return nil, err
		}
	}
	return after, nil
}
