package consumer

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// expression turns what the protocol wants into DynamoDB's expressions. Each attribute has a name and, where it is written
// or compared, a value in the request: many plain words are reserved.
type expression struct {
	names  map[string]string // "#owner": "owner"
	values item              // ":owner" is written, ":seen_owner" is compared
}

func newExpression() *expression { return &expression{names: map[string]string{}} }

func (e *expression) name(attribute string) string {
	e.names["#"+attribute] = attribute
	return "#" + attribute
}

func (e *expression) value(placeholder string, v protocol.Value) string {
	if e.values == nil {
		e.values = item{} // DynamoDB refuses an empty map
	}
	e.values[placeholder] = attribute(v)
	return placeholder
}

// update sets and removes attributes.
func (e *expression) update(set protocol.Item, remove []string) *string {
	var parts []string
	if len(set) > 0 {
		var list []string
		for _, a := range slices.Sorted(maps.Keys(set)) {
			list = append(list, e.name(a)+" = "+e.value(":"+a, set[a]))
		}
		parts = append(parts, "SET "+strings.Join(list, ", "))
	}
	if len(remove) > 0 {
		var list []string
		for _, a := range remove {
			list = append(list, e.name(a))
		}
		parts = append(parts, "REMOVE "+strings.Join(list, ", "))
	}
	text := strings.Join(parts, " ")
	return &text
}

// condition asks for all of the conditions.
func (e *expression) condition(conditions []protocol.Condition) *string {
	var list []string
	for _, c := range conditions {
		if c.Is == nil {
			list = append(list, "attribute_not_exists("+e.name(c.Attribute)+")")
		} else {
			list = append(list, e.name(c.Attribute)+" = "+e.value(":seen_"+c.Attribute, c.Is))
		}
	}
	text := strings.Join(list, " AND ")
	return &text
}
