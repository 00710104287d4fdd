package check

import (
	"fmt"
	"strings"
)

// shown is how many differences an error lists.
const shown = 12

// differences collects what is wrong. Only the first ones are kept: one fault often shows in every row.
type differences struct {
	first []string
	total int
}

func (d *differences) add(format string, args ...any) {
	d.total++
	if len(d.first) < shown {
		d.first = append(d.first, fmt.Sprintf(format, args...))
	}
}

// err is nil if there was no difference.
func (d *differences) err(what string) error {
	if d.total == 0 {
		return nil
	}
	more := ""
	if d.total > len(d.first) {
		more = fmt.Sprintf("\n\t… and %d more", d.total-len(d.first))
	}
	return fmt.Errorf("%s: %d differences:\n\t%s%s", what, d.total, strings.Join(d.first, "\n\t"), more)
}

// clip shortens a text for an error.
func clip(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:most], len(text))
}
