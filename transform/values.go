package transform

import (
	"bytes"

	"github.com/sluice-etl/sluice/internal/columns"
)

// fill puts the values of a line that matches.
func (d *Apache) fill() {
	d.times = [2]moments{}
	for i, s := range d.spans {
		raw := d.data[s.start:s.end]
		if e := &d.layout.elements[i]; e.form == formAlways || string(raw) != "-" {
			d.value(e, d.targets[i], raw)
		}
	}
	for phase := range d.times {
		if d.times[phase].begun {
			d.time(phase)
		}
	}
	if d.beyond.end > 0 {
		d.rescue(d.more.key, d.data[d.beyond.start:d.beyond.end])
	}
}

// moments is a time and whether its parts are of their patterns.
type moments struct {
	moment
	begun, failed bool
}

// value puts what an element says.
func (d *Apache) value(e *element, to []target, raw []byte) {
	m := &d.times[e.phase]
	switch {
	case e.form == formRequest:
		d.split(to, raw)
		return
	case e.form == formEpoch && d.typed(&to[0], columns.Timestamp):
		d.epoch(&to[0], raw, e.scale)
		return
	case e.form == formPart && d.joined[e.phase]:
		m.begun = true
		m.failed = !m.parse(e.pattern, raw) || m.failed
		return
	case e.form == formFraction:
		units, rest := leadingDigits(raw, 6)
		m.milli = units / e.scale
		if len(rest) == 0 && d.typed(&to[0], columns.Int64) { // it has leading zeros, which no other number has
			d.cols[to[0].column].AppendInt(int64(units))
			return
		}
	}
	d.put(&to[0], raw)
}

// split puts the method, the resource and the version of a request. Without a version it is one of HTTP 0.9, or of a log
// that leaves it out; what has no method and no resource is no request, and is rescued. Apache's escapes have no space, so
// they need not be undone before.
func (d *Apache) split(to []target, raw []byte) {
	method, rest, _ := bytes.Cut(raw, []byte(" "))
	if len(rest) == 0 || !isToken(method) || string(method) == "-" { // an ALB writes "- http://its-name:80- "
		d.rescue(d.request.key, raw)
		return
	}
	d.put(&to[0], method)
	if i := bytes.LastIndexByte(rest, ' '); i >= 0 && bytes.HasPrefix(rest[i+1:], []byte("HTTP/")) {
		d.put(&to[2], rest[i+1:])
		rest = rest[:i]
	}
	d.put(&to[1], rest)
}

// isToken tells whether a text could be a method: a token of RFC 9110.
func isToken(text []byte) bool {
	for _, c := range text {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c-'0' <= 9
		if !letter && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
			return false
		}
	}
	return len(text) > 0
}

// epoch puts a number of units since 1970 into a timestamp.
func (d *Apache) epoch(to *target, raw []byte, unit int) {
	s := scanner{data: raw}
	n, end := s.number(0)
	units, fits := n.int64()
	ms := units * int64(unit)
	if end != len(raw) || !fits || units < minTime/int64(unit) || ms < minTime || ms >= endTime || units >= endTime {
		d.rescue(to.key, raw)
		return
	}
	d.cols[to.column].AppendInt(ms)
}

// time puts the time that the parts of a line tell, or rescues them.
func (d *Apache) time(phase int) {
	m := &d.times[phase]
	first := true
	ms, ok := m.time()
	for i, s := range d.spans {
		e := &d.layout.elements[i]
		if e.form != formPart || e.phase != phase {
			continue
		}
		if raw := d.data[s.start:s.end]; !ok || m.failed {
			if string(raw) != "-" {
				d.rescue(d.targets[i][0].key, raw)
			}
		} else if first {
			d.cols[d.targets[i][0].column].AppendInt(ms)
			first = false
		}
	}
}
