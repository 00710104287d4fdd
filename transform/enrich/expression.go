package enrich

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/optimizer"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/sluice-etl/sluice/internal/columns"
)

// An expression is compiled for a schema in two steps. The library github.com/expr-lang/expr parses it and finds its types,
// with a variable for each column. As the library has no nulls in the sense of SQL, the operators that look at nulls are then
// taken out of the tree (see lifter) and become terms of this package. What is between them are programs of the library, each
// of which has a null for its result as soon as one of its inputs is null. So null is handled as in SQL: it spreads through
// arithmetic, comparisons and functions; and, or and not know three values; and ?? and == nil look at it.

// source is the text of an expression, and where it stands.
type source struct {
	plan *Plan
	part
	variables []string // that it mentions
}

// expression understands a text as far as that is possible without the columns.
func (p *Plan) expression(text part) (source, error) {
	s := source{plan: p, part: text}
	if text.text == "" {
		return s, errors.New("want an expression")
	}
	tree, err := parser.ParseWithConfig(text.text, language(map[string]any{}))
	if err != nil {
		return s, s.fault(err)
	}
	rules := &rules{}
	ast.Walk(&tree.Node, rules)
	if rules.fault != nil {
		return s, s.fault(rules.fault)
	}
	for _, name := range rules.mentioned {
		if !slices.Contains(rules.declared, name) {
			s.variables = append(s.variables, name)
		}
	}
	return s, nil
}

// language is that of expressions over some variables. What would give another result each time is left out: the clock, and
// lists in the order in which a map happens to be kept.
func language(variables map[string]any) *conf.Config {
	c := conf.CreateNew()
	c.WithEnv(variables)
	expr.Timezone("UTC")(c)
	for _, name := range []string{"now", "keys", "values", "toPairs"} {
		c.Disabled[name] = true
		delete(c.Builtins, name)
	}
	expr.Patch(named{})(c)
	return c
}

// named makes $env["x"], by which a column is used whose name is a word of the language or begins with a digit, the same as x.
type named struct{}

func (named) Visit(node *ast.Node) {
	member, ok := (*node).(*ast.MemberNode)
	if !ok {
		return
	}
	env, ok := member.Node.(*ast.IdentifierNode)
	property, text := member.Property.(*ast.StringNode)
	if ok && text && env.Value == "$env" {
		ast.Patch(node, &ast.IdentifierNode{Value: property.Value})
	}
}

// rules finds what the library would take, and this package does not, and the variables.
type rules struct {
	fault     *file.Error
	mentioned []string
	declared  []string // by let
}

func (r *rules) Visit(node *ast.Node) {
	named{}.Visit(node)
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		r.mentioned = append(r.mentioned, n.Value)
	case *ast.VariableDeclaratorNode:
		r.declared = append(r.declared, n.Name)
	case *ast.CallNode:
		if name, ok := n.Callee.(*ast.IdentifierNode); ok {
			r.refuse(n, "there is no function "+name.Value)
		}
	case *ast.BinaryNode:
		if _, constant := n.Right.(*ast.StringNode); n.Operator == "matches" && !constant {
			r.refuse(n.Right, "want the pattern of matches as a text in quotes, which is compiled once")
		}
	case *ast.MemberNode:
		if name, ok := n.Property.(*ast.StringNode); ok && name.Value == "Local" {
			r.refuse(n, "the local time is another on each machine; use .In(timezone(\"Europe/Berlin\"))")
		}
	}
}

func (r *rules) refuse(n ast.Node, message string) {
	if r.fault == nil {
		r.fault = &file.Error{Location: n.Location(), Message: message}
	}
}

// fault makes an error of the library one line that tells the place in the list of steps.
func (s *source) fault(err error) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return err
	}
	before := utf8.RuneCountInString(s.plan.list[:s.at])
	return fmt.Errorf("%s, at character %d", at.Message, before+at.From+1)
}

// compile makes an expression for the columns that a step may use, and tells its type in Go. Columns that it does not mention
// are not there for it, as they could have the name of a function, or of one of its own variables; and columns are added to a
// schema while rows are read.
func (s *source) compile(b *binding) (*expression, reflect.Type, error) {
	variables := map[string]any{}
	for _, name := range s.variables {
		if i, ok := b.places[name]; ok {
			variables[name] = examples[b.fields[i].Type]
		}
	}
	c := language(variables)
	tree, err := checker.ParseCheck(s.text, c)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; the columns are %s", s.fault(err), strings.Join(b.names(), ", "))
	}
	result := tree.Node.Type()
	l := &lifter{config: c, source: tree.Source, terms: map[string]term{}}
	for name := range variables {
		l.terms[name] = &columnTerm{b.places[name]}
	}
	ast.Walk(&tree.Node, l)
	root := l.term(tree.Node)
	if l.err != nil {
		return nil, nil, s.fault(l.err)
	}
	return &expression{root: root, state: state{variables: maps.Clone(variables)}}, result, nil
}

// examples are values of the types that columns have in expressions.
var examples = [...]any{columns.String: "", columns.Int64: 0, columns.Double: 0.0, columns.Boolean: false, columns.Timestamp: time.Time{}, columns.Decimal: 0.0}

// lifter replaces the operators that look at nulls, the innermost first, by variables of which each stands for a term.
type lifter struct {
	config *conf.Config
	source file.Source
	terms  map[string]term // of the columns and of what was replaced, by their variables
	lifted int
	err    error
}

// Visit implements ast.Visitor.
func (l *lifter) Visit(node *ast.Node) {
	if l.err != nil || !l.closed(*node) {
		return
	}
	var t term
	switch n := (*node).(type) {
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			t = &notTerm{l.term(n.Node)}
		}
	case *ast.ConditionalNode:
		t = &choiceTerm{l.term(n.Cond), l.term(n.Exp1), l.term(n.Exp2)}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&":
			t = &bothTerm{l.term(n.Left), l.term(n.Right), false}
		case "or", "||":
			t = &bothTerm{l.term(n.Left), l.term(n.Right), true}
		case "??":
			t = &elseTerm{l.term(n.Left), l.term(n.Right)}
		case "==", "!=":
			operand := n.Left
			if isNil(n.Left) {
				operand = n.Right
			} else if !isNil(n.Right) {
				return
			}
			t = &nilTerm{l.term(operand), n.Operator == "=="}
		}
	}
	if t == nil {
		return
	}
	l.lifted++
	variable := &ast.IdentifierNode{Value: "$" + strconv.Itoa(l.lifted)}
	variable.SetNature(*(*node).Nature())
	ast.Patch(node, variable)
	l.terms[variable.Value] = t
}

func isNil(n ast.Node) bool {
	_, ok := n.(*ast.NilNode)
	return ok
}

// closed tells whether a part of the tree can be computed for itself: whether all its variables are columns or terms, and not
// those of a let or of the function given to any, filter and so on. Within these the library's own rules for nil hold.
func (l *lifter) closed(n ast.Node) bool {
	u := used{known: l.terms}
	ast.Walk(&n, &u)
	return !u.open
}

// used finds the variables in a part of the tree.
type used struct {
	known map[string]term
	names []string
	open  bool // there are other ones
}

func (u *used) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PointerNode:
		u.open = true
	case *ast.IdentifierNode:
		if _, ok := u.known[n.Value]; !ok {
			u.open = true
		} else if !slices.Contains(u.names, n.Value) {
			u.names = append(u.names, n.Value)
		}
	}
}

// term makes a term of a part of the tree in which nothing is left to be replaced.
func (l *lifter) term(n ast.Node) term {
	if name, ok := n.(*ast.IdentifierNode); ok && l.terms[name.Value] != nil {
		return l.terms[name.Value]
	}
	u := used{known: l.terms}
	ast.Walk(&n, &u)
	p := &programTerm{}
	for _, name := range u.names {
		p.inputs = append(p.inputs, input{name, l.terms[name]})
	}
	err := optimizer.Optimize(&n, l.config)
	if err == nil {
		p.program, err = compiler.Compile(&parser.Tree{Node: n, Source: l.source}, l.config)
	}
	if err != nil && l.err == nil {
		l.err = err
	}
	return p
}

// expression computes values for rows. It is used by one goroutine at a time.
type expression struct {
	root  term
	state state
}

// state is what terms share while they compute a value.
type state struct {
	variables map[string]any
	machine   vm.VM // is done with one program before it begins the next
	table     *columns.Table
	row       int
	faults    int
}

// value computes the value for a row; nil is null.
func (e *expression) value(t *columns.Table, row int) any {
	e.state.table, e.state.row = t, row
	return e.root.value(&e.state)
}

func (e *expression) takeFaults() int {
	n := e.state.faults
	e.state.faults = 0
	return n
}

// term computes a part of an expression; nil is null.
type term interface{ value(s *state) any }

// columnTerm is a column's value.
type columnTerm struct{ column int }

func (c *columnTerm) value(s *state) any {
	col := &s.table.Columns[c.column]
	if !col.Valid[s.row] {
		return nil
	}
	switch col.Type {
	case columns.Int64:
		return int(col.Ints[s.row])
	case columns.Double:
		return col.Doubles[s.row]
	case columns.Decimal:
		return col.DecimalAt(s.row)
	case columns.Boolean:
		return col.Bools[s.row]
	case columns.Timestamp:
		return time.UnixMilli(col.Ints[s.row]).UTC()
	}
	return string(col.TextAt(s.row))
}

// programTerm is what the library computes of inputs. One that is null makes it null, and so does a fault: a number that a
// text is none of, an index out of range.
type programTerm struct {
	program *vm.Program
	inputs  []input
}

type input struct {
	name string
	term term
}

func (p *programTerm) value(s *state) any {
	for _, in := range p.inputs {
		v := in.term.value(s)
		if v == nil {
			return nil
		}
		s.variables[in.name] = v
	}
	v, err := s.machine.Run(p.program, s.variables)
	if err != nil {
		s.faults++
		return nil
	}
	return v
}

// bothTerm is and, or or, where decides is true: one operand with the value of decides settles it, whatever the other is; else
// a null makes it null.
type bothTerm struct {
	left, right term
	decides     bool
}

func (b *bothTerm) value(s *state) any {
	left := truth(b.left, s)
	if left == b.decides {
		return left
	}
	right := truth(b.right, s)
	if right == b.decides || left != nil {
		return right
	}
	return nil
}

// truth is a term's value if it is a boolean; another is a fault, as only one of unknown type can be.
func truth(t term, s *state) any {
	v := t.value(s)
	if _, ok := v.(bool); !ok && v != nil {
		s.faults++
		return nil
	}
	return v
}

type notTerm struct{ of term }

func (n *notTerm) value(s *state) any {
	v, ok := truth(n.of, s).(bool)
	if !ok {
		return nil
	}
	return !v
}

// elseTerm is left ?? right.
type elseTerm struct{ left, right term }

func (e *elseTerm) value(s *state) any {
	if v := e.left.value(s); v != nil {
		return v
	}
	return e.right.value(s)
}

// nilTerm is == nil, or != nil.
type nilTerm struct {
	of    term
	equal bool
}

func (n *nilTerm) value(s *state) any { return (n.of.value(s) == nil) == n.equal }

// choiceTerm is condition ? yes : no. As in SQL's CASE, a condition that is null is not fulfilled.
type choiceTerm struct{ condition, yes, no term }

func (c *choiceTerm) value(s *state) any {
	if truth(c.condition, s) == true {
		return c.yes.value(s)
	}
	return c.no.value(s)
}

// where is the step where(expression).
type where struct{ source }

type whereAction struct{ *expression }

func (w *where) adds() []string { return nil }

func (w *where) bind(b *binding) (action, error) {
	e, t, err := w.compile(b)
	if err != nil {
		return nil, err
	}
	if t.Kind() != reflect.Bool {
		return nil, fmt.Errorf("the expression gives %s, and must give a boolean", typeName(t))
	}
	return &whereAction{e}, nil
}

func (w *whereAction) do(t *columns.Table, row int) bool { return w.value(t, row) == true }

// compute is the step compute(name, expression).
type compute struct {
	name string
	source
}

type computeAction struct {
	*expression
	to int
}

func (c *compute) adds() []string { return []string{c.name} }

func (c *compute) bind(b *binding) (action, error) {
	e, t, err := c.compile(b)
	if err != nil {
		return nil, err
	}
	typ, err := columnType(t)
	if err != nil {
		return nil, err
	}
	to, err := b.add(c.name, typ)
	return &computeAction{e, to}, err
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
)

// columnType is the type of the column for values of a type in Go.
func columnType(t reflect.Type) (columns.Type, error) {
	switch {
	case t == timeType:
		return columns.Timestamp, nil
	case t == durationType:
		return 0, errors.New("the expression gives a duration; take a number of it, as in (a - b).Milliseconds()")
	}
	switch t.Kind() {
	case reflect.String:
		return columns.String, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return columns.Int64, nil
	case reflect.Float64, reflect.Float32:
		return columns.Double, nil
	case reflect.Bool:
		return columns.Boolean, nil
	case reflect.Interface:
		return 0, errors.New("the type of the expression is not known beforehand; say it with int(...), float(...) or string(...)")
	}
	return 0, fmt.Errorf("the expression gives %s, and a column holds strings, numbers, booleans or times", typeName(t))
}

func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Interface {
		return "a value whose type is not known beforehand"
	}
	return t.String()
}

func (c *computeAction) do(t *columns.Table, row int) bool {
	to := &t.Columns[c.to]
	if v := c.value(t, row); v == nil {
		to.AppendNull()
	} else if !appendValue(to, v) {
		c.state.faults++
		to.AppendNull()
	}
	return true
}

// appendValue adds a value to a column, and tells whether the column can hold it. Texts that are not UTF-8, as when one is cut
// within a character, get U+FFFD.
func appendValue(c *columns.Column, v any) bool {
	switch c.Type {
	case columns.String:
		text := reflect.ValueOf(v)
		if text.Kind() != reflect.String {
			return false
		}
		c.AppendString(strings.ToValidUTF8(text.String(), "\uFFFD"))
	case columns.Int64:
		if n, ok := v.(int); ok {
			c.AppendInt(int64(n))
			return true
		}
		n := reflect.ValueOf(v)
		if !n.CanInt() {
			return false
		}
		c.AppendInt(n.Int())
	case columns.Double:
		n := reflect.ValueOf(v)
		if n.CanInt() {
			n = reflect.ValueOf(float64(n.Int()))
		}
		if !n.CanFloat() || math.IsNaN(n.Float()) || math.IsInf(n.Float(), 0) {
			return false
		}
		c.AppendDouble(n.Float())
	case columns.Boolean:
		b, ok := v.(bool)
		if !ok {
			return false
		}
		c.AppendBool(b)
	case columns.Timestamp:
		at, ok := v.(time.Time)
		if !ok || at.UTC().Year() < 0 || at.UTC().Year() > 9999 {
			return false
		}
		c.AppendInt(at.UnixMilli())
	}
	return true
}
