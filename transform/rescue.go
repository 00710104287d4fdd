package transform

import "slices"

// rescue is a value of the current record that goes to the column rescued. Its slices are part of the payload or of the
// decoder's memory.
type rescue struct {
	column int    // whose key it is; unknown for none
	token  []byte // the key as it came, with its quotes
	name   []byte // the key's text
	value  []byte // as it came
	lone   bool   // the key has a lone surrogate, so that only its token tells which key it is
	quote  bool   // the value is a number, to be written as a string
}

// unknown is the column of keys that have none.
const unknown = -1

// same tells whether both are of the same key.
func (r *rescue) same(o *rescue) bool {
	switch {
	case r.column != o.column || r.lone != o.lone:
		return false
	case r.column != unknown:
		return true
	case r.lone:
		return string(r.token) == string(o.token)
	}
	return string(r.name) == string(o.name)
}

// keep rescues a value of a column.
func (d *JSON) keep(column int, token, value []byte, quote bool) {
	d.rescued = append(d.rescued, rescue{column: column, token: token, value: value, quote: quote})
}

// unrescue takes back what was rescued of a column, for a later value of the same key.
func (d *JSON) unrescue(column int) {
	for i := range d.rescued {
		if d.rescued[i].column == column {
			d.rescued = slices.Delete(d.rescued, i, i+1)
			return
		}
	}
}

// keepUnknown rescues the value of a key without a column; a later value replaces an earlier one of the same key.
func (d *JSON) keepUnknown(r rescue) {
	for i := range d.rescued {
		if d.rescued[i].same(&r) {
			d.rescued[i] = r
			d.duplicates++
			return
		}
	}
	d.rescued = append(d.rescued, r)
}

// appendRescued adds what was rescued to dst, as a JSON object.
func (d *JSON) appendRescued(dst []byte) []byte {
	for i := range d.rescued {
		r := &d.rescued[i]
		if i == 0 {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, r.token...)
		dst = append(dst, ':')
		if r.quote {
			dst = append(dst, '"')
			dst = append(dst, r.value...)
			dst = append(dst, '"')
		} else {
			dst = compact(dst, r.value)
		}
	}
	return append(dst, '}')
}
