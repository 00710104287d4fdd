package kcltest

import (
	"encoding/json"
	"testing"
)

// Whatever an expression says, it is taken or refused.
func FuzzExpressions(f *testing.F) {
	for _, seed := range []string{
		"a = :v AND (NOT size(b.c[3]) < :v OR begins_with(#n, :v))", "SET a = if_not_exists(a, :v) + :v, l[2] = list_append(l, :l) REMOVE b ADD n :v DELETE s :s",
		"a, #n, b", "((((((((", "a BETWEEN :v AND", "l[99999999999]", "SET l[0] = :v REMOVE l[0][1]",
	} {
		f.Add(seed)
	}
	const values = `{":v":{"N":"1"},":l":{"L":[{"S":"x"}]},":s":{"SS":["x"]}}`
	const item = `{"a":{"N":"1"},"b":{"M":{"c":{"L":[{"S":"x"}]}}},"l":{"L":[{"N":"1"},{"L":[{"N":"2"}]}]},"s":{"SS":["x","y"]},"n":{"N":"2"}}`
	f.Fuzz(func(t *testing.T, text string) {
		var offered, before attributes
		for in, out := range map[string]*attributes{values: &offered, item: &before} {
			if err := json.Unmarshal([]byte(in), out); err != nil {
				t.Fatal(err)
			}
		}
		e := &expressions{map[string]string{"#n": "n"}, offered, map[string]bool{}}
		if holds, err := parse(e, "ConditionExpression", text, (*parser).condition); err == nil {
			holds(before)
		}
		if project, err := projection(e, &text); err == nil {
			project(before)
		}
		changes, err := parse(e, "UpdateExpression", text, (*parser).update)
		if err != nil {
			return
		}
		kept := cloneItem(before)
		if _, err := applyUpdate(before, changes); err == nil {
			for name, v := range kept {
				if !v.equal(before[name]) {
					t.Errorf("%q changed the item in place", text)
				}
			}
		}
	})
}

func FuzzNumbers(f *testing.F) {
	for _, seed := range []string{"1", "-0.10", "1e125", "1e-130", "9.9e999", "+.5", "0x1", "1/3", "1_0", "Inf", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		short, err := parseNumber(text)
		if err != nil {
			return
		}
		again, err := parseNumber(short)
		if err != nil || again != short {
			t.Errorf("%q is %q, and that is %q, %v", text, short, again, err)
		}
	})
}
