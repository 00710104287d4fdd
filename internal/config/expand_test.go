package config

import (
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	variables := map[string]string{"A": "a", "EMPTY": "", "DOLLAR": "${A}$", "_1": "one"}
	lookup := func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
	const fails = "\x00"
	for text, want := range map[string]string{
		"":                            "",
		"plain {} text":               "plain {} text",
		"${A}":                        "a",
		"x${A}y${_1}z":                "xayonez",
		"${EMPTY}":                    "",
		"${EMPTY:-d}":                 "d",
		"${NONE:-}":                   "",
		"${NONE:-a:-b}":               "a:-b",
		"${NONE:-${A}${A}}":           "aa",
		"${NONE:-!{timestamp:yyyy}/}": "!{timestamp:yyyy}/",
		"${A:?never}":                 "a",
		"$$":                          "$",
		"$${A}":                       "${A}",
		"$$$${A}":                     "$${A}",
		"$$${A}":                      "$a",
		"${DOLLAR}":                   "${A}$", // values are not expanded again
		"${NONE}":                     fails,
		"${NONE:?message}":            fails,
		"${EMPTY:?}":                  fails,
		"$":                           fails,
		"a$b":                         fails,
		"${":                          fails,
		"${A":                         fails,
		"${}":                         fails,
		"${1A}":                       fails,
		"${A-b}":                      fails,
		"${A:}":                       fails,
		"${A:+b}":                     fails,
		"${NONE:-$}":                  fails,
		"$}{":                         fails,
	} {
		got, err := expand(text, lookup)
		if want == fails {
			if err == nil {
				t.Errorf("%s: got %s, want an error", text, got)
			}
		} else if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}

// FuzzFile reads any bytes as a file: there is a configuration that prints and reads back, or there are faults.
func FuzzFile(f *testing.F) {
	f.Add("stream: ${A:-b}\nbucket: abc\nanomaly: {detectors: {a: {kind: rate, key: [a, b]}}}\n")
	f.Add("prefix: a$$b\nmax_leases: 0x1\nstart: 2026-01-31T09:00:00Z\n")
	f.Add("a: &a {b: *a}\n")
	f.Add("anomaly: &a\n  detectors: *a\n")
	f.Add("? [a]\n: b\n")
	memory := Default("MEMORY_LIMIT", "1GiB") // which is not looked for each time
	f.Fuzz(func(t *testing.T, content string) {
		read := func(string) ([]byte, error) { return []byte(content), nil }
		c, err := Load([]string{"--config=x", "--worker-id=w"}, nil, read, Require(), memory)
		if err != nil {
			if _, ok := err.(Faults); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		printed := c.YAML()
		again, err := Load([]string{"--config=x"}, nil, func(string) ([]byte, error) { return printed, nil }, Require(), memory)
		if err != nil {
			t.Fatalf("%v, of:\n%s", err, printed)
		}
		if string(again.Env()) != string(c.Env()) {
			t.Fatalf("printed:\n%s\nread again:\n%s", c.Env(), again.Env())
		}
	})
}

// A dollar sign in a value is still one after it is printed and read.
func TestDollarSurvives(t *testing.T) {
	c := load(t, []string{"--prefix=a$b${C}/"}, nil)
	if !strings.Contains(string(c.YAML()), "prefix: a$$b$${C}/ # flag --prefix\n") {
		t.Errorf("%s", c.YAML())
	}
}
