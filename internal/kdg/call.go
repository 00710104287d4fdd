package kdg

import (
	"math"
	"strconv"
	"strings"
)

// call is a function with its arguments; its methods read them, with errors that tell the place.
type call struct {
	name      string
	at        int
	arguments []value
}

// most refuses more than n arguments.
func (c *call) most(n int) error {
	switch {
	case len(c.arguments) <= n:
		return nil
	case n == 0:
		return faultAt(c.arguments[0].at, "%s takes no arguments", c.name)
	}
	return faultAt(c.arguments[n].at, "%s takes at most %d of the arguments", c.name, n)
}

// only is the one argument of a function that cannot do without.
func (c *call) only(k kind, example string) (value, error) {
	if len(c.arguments) == 0 {
		return value{}, faultAt(c.at, "%s needs an argument, such as %s", c.name, example)
	}
	if err := c.most(1); err != nil {
		return value{}, err
	}
	v := c.arguments[0]
	if v.kind != k {
		return v, faultAt(v.at, "%s takes an argument such as %s", c.name, example)
	}
	return v, nil
}

// flag is an optional true or false.
func (c *call) flag() (bool, error) {
	if len(c.arguments) == 0 {
		return false, nil
	}
	v, err := c.only(boolKind, "true")
	return v.yes, err
}

// maxCount bounds what a tag can be asked to repeat: no record of Kinesis is longer than 10 MiB.
const maxCount = 10_000

// count is an optional number of characters or words.
func (c *call) count(otherwise int) (int, error) {
	if len(c.arguments) == 0 {
		return otherwise, nil
	}
	v, err := c.only(numberKind, strconv.Itoa(otherwise))
	if err == nil && (v.number != math.Trunc(v.number) || v.number < 1 || v.number > maxCount) {
		err = faultAt(v.at, "%s takes a whole number from 1 to %d, not %s", c.name, maxCount, v.text)
	}
	return int(v.number), err
}

// format is an optional text.
func (c *call) format(otherwise string) (string, error) {
	if len(c.arguments) == 0 {
		return otherwise, nil
	}
	v, err := c.only(textKind, strconv.Quote(otherwise))
	if v.text == "" {
		v.text = otherwise
	}
	return v.text, err
}

// named gives the arguments by name: the members of an object, or single values in the order of the names. What is
// not given keeps the zero value's kind, null. With JSON's rule, the last of equal names counts.
func (c *call) named(names ...string) ([]value, error) {
	values := make([]value, len(names))
	if len(c.arguments) != 1 || c.arguments[0].kind != objectKind {
		if err := c.most(len(names)); err != nil {
			return nil, err
		}
		copy(values, c.arguments)
		return values, nil
	}
	for _, m := range c.arguments[0].members {
		i := indexOf(names, m.key)
		if i < 0 {
			return nil, faultAt(m.at, "%s has no option %q; the nearest is %q", c.name, m.key, nearest(m.key, names))
		}
		values[i] = m.value
	}
	return values, nil
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

// numberOr is v's number, or otherwise where v was not given.
func (c *call) numberOr(v value, option string, otherwise float64) (float64, error) {
	switch v.kind {
	case nullKind:
		return otherwise, nil
	case numberKind:
		return v.number, nil
	}
	return 0, faultAt(v.at, "the %s of %s is a number, not %s", option, c.name, describe(v))
}

// describe shows a value in an error, shortened.
func describe(v value) string {
	text := strings.Join(strings.Fields(v.text), " ")
	if v.kind == textKind {
		text = strconv.Quote(v.text)
	}
	if len(text) > 40 {
		text = text[:40] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}
