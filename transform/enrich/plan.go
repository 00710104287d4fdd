package enrich

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/internal/columns"
)

// Resources are what steps need beside the rows.
type Resources struct {
	Databases []Database // of geoip
	Key       *Key       // of hash; nil for none
	Reserved  []string   // names that no added column may have
}

// Plan is a list of steps. The zero value has none, and leaves rows as they are. It does not change, and is safe for
// concurrent use.
type Plan struct {
	list     string
	steps    []placed
	reserved []string
}

// placed is a step with its place in the list.
type placed struct {
	step
	name string
	at   int // byte
}

// step is a step that knows no columns yet.
type step interface {
	// bind finds the step's columns, and tells which it adds and hides.
	bind(b *binding) (action, error)
	// adds gives the names of the columns that it adds.
	adds() []string
}

// action is what a step does to a row: it gives a value, or a null, to each of its columns. If it is false, the row is to be
// left out.
type action interface {
	do(t *columns.Table, row int) bool
}

// Parse understands a list of steps. The errors tell all that can be known to be wrong without records, each with its place;
// after one of the list's syntax nothing else is looked at.
func Parse(list string, r Resources) (*Plan, []error) {
	calls, err := parseCalls(list)
	if err != nil {
		return nil, []error{err}
	}
	p := &Plan{list: list, reserved: r.Reserved}
	var faults []error
	for i := range calls {
		c := &calls[i]
		s, err := p.step(c, &r)
		if err != nil {
			faults = append(faults, p.fault(c.name, c.at, err))
			continue
		}
		p.steps = append(p.steps, placed{s, c.name, c.at})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return p, nil
}

// fault says at which step an error was found.
func (p *Plan) fault(name string, at int, err error) error {
	return fmt.Errorf("%s at character %d: %w", name, character(p.list, at), err)
}

func (p *Plan) step(c *call, r *Resources) (step, error) {
	switch c.name {
	case "geoip":
		if len(r.Databases) == 0 {
			return nil, errors.New("it needs a database: set SLUICE_GEOIP_DATABASE")
		}
		column, err := columnOf(c.whole())
		return &geoIP{column, r.Databases}, err
	case "network":
		column, err := columnOf(c.whole())
		return &network{column}, err
	case "user_agent":
		column, err := columnOf(c.whole())
		return &userAgent{column}, err
	case "hash":
		if r.Key == nil {
			return nil, errors.New("it needs a key: set SLUICE_HASH_KEY_FILE")
		}
		column, err := columnOf(c.whole())
		return &hash{column, r.Key}, err
	case "drop":
		column, err := columnOf(c.whole())
		return &drop{column}, err
	case "compute":
		first, rest, found := c.split()
		if !found {
			return nil, errors.New("want the name of the new column, a comma and an expression")
		}
		if !isName(first.text) {
			return nil, fmt.Errorf("%q is no name for a column; want lower-case letters, digits and _", first.text)
		}
		if err := p.reserves(first.text); err != nil {
			return nil, err
		}
		e, err := p.expression(rest)
		return &compute{first.text, e}, err
	case "where":
		e, err := p.expression(c.whole())
		return &where{e}, err
	}
	return nil, errors.New("there is no such step; there are geoip, network, user_agent, hash, drop, compute and where")
}

func (p *Plan) reserves(name string) error {
	if slices.Contains(p.reserved, name) {
		return fmt.Errorf("a column cannot be called %s, as that is one of those that every row gets", name)
	}
	return nil
}

// columnOf is the name of a column, which is lower-case whatever the records say.
func columnOf(p part) (string, error) {
	name := strings.ToLower(p.text)
	if !isName(name) {
		return "", fmt.Errorf("want the name of one column, not %q", p.text)
	}
	return name, nil
}

func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// Columns are those of a schema.
type Columns struct {
	Fields []columns.Field // as the decoder fills them
	// Rescued is the place of the column that keeps, as a JSON object, what fitted no other; -1 if there is none.
	Rescued int
	// Keys gives the keys of that object, in any case, under which values of a column may be. It is not asked where Rescued is -1.
	Keys func(column int) []string
}

// Bind makes an enricher for rows of a schema. The error tells which step does not fit it, and why. Nothing of what is hidden
// is left in the column of what was rescued.
func (p *Plan) Bind(in Columns) (*Enricher, error) {
	b := &binding{plan: p, in: len(in.Fields), fields: slices.Clone(in.Fields), hidden: make([]bool, len(in.Fields)), places: map[string]int{}, gone: map[string]string{}}
	for i, f := range in.Fields {
		b.places[f.Name] = i
	}
	// Beside the columns that steps hide, that of what was rescued is replaced: at first, so that no step sees the raw one.
	var clean *cleaning
	if in.Rescued >= 0 && p.Hides() {
		clean = b.clean(in.Rescued)
	}
	e := &Enricher{}
	for _, s := range p.steps {
		b.step = s.name
		do, err := s.bind(b)
		if err != nil {
			return nil, p.fault(s.name, s.at, err)
		}
		if do != nil {
			e.actions = append(e.actions, do)
		}
		if x, ok := do.(interface{ takeFaults() int }); ok {
			e.faults = append(e.faults, x.takeFaults)
		}
	}
	if clean != nil {
		for i := range in.Fields {
			if b.hidden[i] && i != in.Rescued {
				clean.hide(in.Keys(i))
			}
		}
		e.actions = slices.Insert(e.actions, 0, action(clean))
	}
	e.fields, e.in, e.hidden = b.fields, b.in, b.hidden
	return e, nil
}

// Adds are the names of the columns that the steps add. A schema that is found has none of them.
func (p *Plan) Adds() (names []string) {
	for _, s := range p.steps {
		names = append(names, s.adds()...)
	}
	return names
}

// Hides tells whether a step hides a column.
func (p *Plan) Hides() bool {
	return slices.ContainsFunc(p.steps, func(s placed) bool { return s.name == "hash" || s.name == "drop" })
}

// binding is what becomes of the columns while steps are bound.
type binding struct {
	plan   *Plan
	step   string // the name of the step that is bound
	in     int    // so many fields come from the decoder
	fields []columns.Field
	hidden []bool            // of fields
	places map[string]int    // of the columns that a step may use
	gone   map[string]string // the columns that a step has hidden: its name
}

// column finds a column that a step is to use.
func (b *binding) column(name string) (int, error) {
	if i, ok := b.places[name]; ok {
		return i, nil
	}
	if by, ok := b.gone[name]; ok {
		return 0, fmt.Errorf("the column %s is not there any more, after %s(%s); steps that need it go before", name, by, name)
	}
	return 0, fmt.Errorf("there is no column %s; there are %s", name, strings.Join(b.names(), ", "))
}

// text finds a column that must be a text.
func (b *binding) text(name string) (int, error) {
	i, err := b.column(name)
	if err == nil && b.fields[i].Type != columns.String {
		err = fmt.Errorf("the column %s is of the type %s, and must be a string", name, b.fields[i].Type)
	}
	return i, err
}

// names are those of the columns that a step may use.
func (b *binding) names() []string {
	var names []string
	for i, f := range b.fields {
		if !b.hidden[i] {
			names = append(names, f.Name)
		}
	}
	return names
}

// add gives the place of a new column.
func (b *binding) add(name string, t columns.Type) (int, error) {
	if err := b.plan.reserves(name); err != nil {
		return 0, err
	}
	_, gone := b.gone[name]
	if _, taken := b.places[name]; taken || gone {
		return 0, fmt.Errorf("it adds the column %s, and there is one already", name)
	}
	return b.append(name, t), nil
}

func (b *binding) append(name string, t columns.Type) int {
	i := len(b.fields)
	b.fields, b.hidden = append(b.fields, columns.Field{Name: name, Type: t}), append(b.hidden, false)
	b.places[name] = i
	return i
}

// hide takes a column from the steps that follow, and from the files.
func (b *binding) hide(i int) {
	name := b.fields[i].Name
	b.hidden[i] = true
	b.gone[name] = b.step
	delete(b.places, name)
}

// clean replaces the column of what was rescued.
func (b *binding) clean(rescued int) *cleaning {
	name := b.fields[rescued].Name
	b.hidden[rescued] = true
	return &cleaning{from: rescued, to: b.append(name, columns.String)}
}

// Enricher takes the steps for the rows of one table. It is used by one goroutine at a time.
type Enricher struct {
	fields  []columns.Field
	in      int
	hidden  []bool
	actions []action
	faults  []func() int
}

// Fields are the decoder's columns and those that are added, in the order in which the table has them. One that is hidden has
// a name that says so, and that no column can have: it is there for nobody.
func (e *Enricher) Fields() []columns.Field {
	fields := slices.Clone(e.fields)
	for i, hidden := range e.hidden {
		if hidden {
			fields[i].Name += " (hidden by SLUICE_ENRICH)"
		}
	}
	return fields
}

// Table makes a table with the columns, and others after them. Those that are hidden are marked.
func (e *Enricher) Table(others ...columns.Field) *columns.Table {
	t := columns.NewTable(slices.Concat(e.fields, others))
	for i, hidden := range e.hidden {
		t.Columns[i].Hidden = hidden
	}
	return t
}

// Row takes the steps for the row that is being made, of which the decoder filled its columns. If it is false, the row is to
// be left out, and its other columns may lack a value. Values that cannot be made are null; no row makes Row fail.
func (e *Enricher) Row(t *columns.Table) bool {
	for _, a := range e.actions {
		if !a.do(t, t.Rows()) {
			return false
		}
	}
	return true
}

// TakeFaults is the number of times that an expression failed since it was last asked.
func (e *Enricher) TakeFaults() (n int) {
	for _, take := range e.faults {
		n += take()
	}
	return n
}
