package config

import (
	"errors"
	"fmt"
	"strings"
)

// expand replaces ${VAR}, ${VAR:-default}, ${VAR:?message} and $$ in text. As in the shell, :- and :? also apply to
// a variable that is empty, and a default may hold further variables. A variable that is not set and has no default
// is an error, since an empty value is rarely what was meant.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		if strings.HasPrefix(rest, "$") {
			out.WriteByte('$')
			text = rest[1:]
			continue
		}
		end := closing(rest)
		if end < 0 {
			return "", errors.New("want ${VAR} after a dollar sign; write $$ for the sign itself")
		}
		value, err := variable(rest[1:end], lookup)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = rest[end+1:]
	}
}

// closing is where the brace is closed with which text begins; -1 where there is none.
func closing(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			if i == 0 { // text begins with something else
				return -1
			}
			return i
		}
	}
	return -1
}

// variable is the value of what stands between the braces.
func variable(inside string, lookup func(string) (string, bool)) (string, error) {
	name, alternative, has := strings.Cut(inside, ":")
	if !isVariable(name) || has && !strings.HasPrefix(alternative, "-") && !strings.HasPrefix(alternative, "?") {
		return "", errors.New("want ${VAR}, ${VAR:-default} or ${VAR:?message}; write $$ for a dollar sign")
	}
	value, set := lookup(name)
	if value != "" || set && !has {
		return value, nil
	}
	switch {
	case !has:
		return "", fmt.Errorf("the variable %s is not set; write ${%s:-} where it may be empty", name, name)
	case alternative[0] == '-':
		return expand(alternative[1:], lookup)
	case alternative == "?":
		return "", fmt.Errorf("the variable %s is not set or empty", name)
	}
	return "", fmt.Errorf("%s: %s", name, alternative[1:])
}

func isVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
