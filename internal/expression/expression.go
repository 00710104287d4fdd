// Package expression asks of a row of a table whether something holds, by the language of github.com/expr-lang/expr, in which
// each column is a variable: amount > 0 && abs(total - units * price) < 0.005.
//
// Whatever would give another result each time (the clock, the order of a map) is left out of the language.
package expression

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/nearest"
)

// Expression is a condition that is compiled for the columns of a table. It is not safe for concurrent use.
type Expression struct {
	program *vm.Program
	machine vm.VM
	values  map[string]any // of the columns that it uses, by their names
	used    []use
	nulls   bool // it says itself what of nulls
}

type use struct {
	name   string
	column int
}

// Check tells whether a text is an expression at all, as far as that can be known without the columns.
func Check(text string) error {
	_, err := parser.Parse(text)
	return shown(err)
}

// shown makes one line of an error of the library, which draws where in the text it is.
func shown(err error) error {
	if err == nil {
		return nil
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(first)
}

// Compile makes a condition of a text. The types of its variables are those of the columns: string, int64, double and decimal (float64),
// boolean, and timestamp (a time.Time in UTC); its result must be true or false.
func Compile(text string, fields []columns.Field) (*Expression, error) {
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, shown(err)
	}
	names := &identifiers{}
	ast.Walk(&tree.Node, names)
	e := &Expression{values: map[string]any{}, nulls: names.nulls}
	var known []string
	for i, f := range fields {
		known = append(known, f.Name)
		if names.found[f.Name] {
			e.used = append(e.used, use{f.Name, i})
			e.values[f.Name] = examples[f.Type]
		}
	}
	e.program, err = expr.Compile(text, expr.Env(e.values), expr.AsBool(), expr.Timezone("UTC"),
		expr.DisableBuiltin("now"), expr.DisableBuiltin("keys"), expr.DisableBuiltin("values"), expr.DisableBuiltin("toPairs"))
	if err != nil {
		err = shown(err)
		if _, name, ok := strings.Cut(err.Error(), "unknown name "); ok {
			name, _, _ = strings.Cut(name, " ")
			return nil, fmt.Errorf("%w; the nearest is %q", err, nearest.Of(name, known))
		}
		return nil, err
	}
	return e, nil
}

// Columns names the columns that the condition uses.
func (e *Expression) Columns() (names []string) {
	for _, u := range e.used {
		names = append(names, u.name)
	}
	return names
}

// examples are values of the types that columns have in expressions.
var examples = [...]any{columns.String: "", columns.Int64: int64(0), columns.Double: 0.0, columns.Decimal: 0.0, columns.Boolean: false, columns.Timestamp: time.Time{}}

// Holds tells whether the condition holds for a row. It is not known where a column that it uses is null, unless the text
// compares something with nil or has ??, or where it cannot be evaluated.
func (e *Expression) Holds(t *columns.Table, row int) (holds, known bool) {
	for _, u := range e.used {
		c := &t.Columns[u.column]
		if !c.Valid[row] && !e.nulls {
			return false, false
		}
		e.values[u.name] = value(c, row)
	}
	result, err := e.machine.Run(e.program, e.values)
	holds, known = result.(bool)
	return holds && err == nil, known && err == nil
}

func value(c *columns.Column, row int) any {
	if !c.Valid[row] {
		return nil
	}
	switch c.Type {
	case columns.Int64:
		return c.Ints[row]
	case columns.Double:
		return c.Doubles[row]
	case columns.Decimal:
		return c.DecimalAt(row)
	case columns.Boolean:
		return c.Bools[row]
	case columns.Timestamp:
		return time.UnixMilli(c.Ints[row]).UTC()
	}
	return string(c.TextAt(row))
}

// identifiers finds the variables of a tree, and whether it looks at nulls.
type identifiers struct {
	found map[string]bool
	nulls bool
}

// Visit implements ast.Visitor.
func (v *identifiers) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if v.found == nil {
			v.found = map[string]bool{}
		}
		v.found[n.Value] = true
	case *ast.NilNode:
		v.nulls = true
	case *ast.BinaryNode:
		v.nulls = v.nulls || n.Operator == "??"
	}
}
