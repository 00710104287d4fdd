package transform

import "github.com/sluice-etl/sluice/internal/columns"

// object reads a record, from its opening brace on, into the columns.
func (d *JSON) object(pos int) int {
	if pos = d.space(pos + 1); pos < len(d.data) && d.data[pos] == '}' {
		return pos + 1
	}
	previous := unknown // the column of the last key that had one
	for {
		if d.keys++; d.keys > maxKeys {
			return d.fail(CodeTooManyKeys, pos, "at most 1000 keys")
		}
		// Keys mostly come in the order of the record before.
		key := pos
		column := d.next[previous+1]
		if end := pos + len(d.tokens[column]); end > pos && end <= len(d.data) && string(d.data[pos:end]) == d.tokens[column] {
			pos = end
		} else {
			if pos, column = d.key(pos); pos < 0 {
				return -1
			}
			if column != unknown {
				d.next[previous+1] = column
			}
		}
		token := d.data[key:pos]
		if pos < len(d.data) && d.data[pos] == ':' {
			pos++
		} else if pos = d.colon(pos); pos < 0 {
			return -1
		}
		pos = d.space(pos)
		if column == unknown {
			pos = d.unknown(pos, path{token, d.name, d.lone})
		} else {
			previous = column
			pos = d.value(pos, column, token)
		}
		if pos < 0 {
			return -1
		}
		if pos = d.space(pos); pos >= len(d.data) {
			return d.unexpected(pos, "a comma or a closing brace")
		}
		switch d.data[pos] {
		case ',':
			pos = d.space(pos + 1)
		case '}':
			return pos + 1
		default:
			return d.unexpected(pos, "a comma or a closing brace")
		}
	}
}

// key reads any key, leaves its text in name and lone, and finds its column.
func (d *JSON) key(pos int) (end, column int) {
	if pos >= len(d.data) || d.data[pos] != '"' {
		return d.unexpected(pos, "a key"), unknown
	}
	end, escaped := d.str(pos + 1)
	if end < 0 {
		return -1, unknown
	}
	d.name, d.lone = d.data[pos+1:end-1], false
	if escaped {
		start := len(d.names)
		d.names, d.lone = unescape(d.names, d.name)
		d.name = d.names[start:]
		if d.lone {
			return end, unknown
		}
	}
	if column, ok := d.exact[string(d.name)]; ok {
		return end, column
	}
	d.text = appendLower(d.text[:0], d.name)
	if column, ok := d.lower[string(d.text)]; ok {
		return end, column
	}
	return end, unknown
}

// path is a key without a column: of the record, or, where objects are flattened, of an object within it, behind the keys
// that lead there.
type path struct {
	token []byte // as it came, with quotes
	name  []byte // its text
	lone  bool   // it has a lone surrogate
}

// unknown reads the value of a key that has no column.
func (d *JSON) unknown(pos int, key path) int {
	if d.flatten && !key.lone && pos < len(d.data) && d.data[pos] == '{' {
		return d.nested(pos, key)
	}
	end, quote := d.any(pos)
	if end >= 0 {
		d.keepUnknown(rescue{
			column: unknown, token: key.token, name: key.name, lone: key.lone, value: d.data[pos:end], quote: quote,
		})
	}
	return end
}

// nested reads an object into the columns of its keys, which have the path to it before them. An empty one is a value.
func (d *JSON) nested(pos int, to path) int {
	start := pos
	if pos = d.space(pos + 1); pos < len(d.data) && d.data[pos] == '}' {
		d.keepUnknown(rescue{column: unknown, token: to.token, name: to.name, value: d.data[start : pos+1]})
		return pos + 1
	}
	if d.depth++; d.depth > maxDepth {
		return d.fail(CodeTooDeep, start, "at most 64 levels")
	}
	for {
		if d.keys++; d.keys > maxKeys {
			return d.fail(CodeTooManyKeys, pos, "at most 1000 keys")
		}
		var key path
		var column int
		if pos, key, column = d.keyWithin(pos, to); pos < 0 {
			return -1
		}
		if pos = d.colon(pos); pos < 0 {
			return -1
		}
		pos = d.space(pos)
		if column == unknown {
			pos = d.unknown(pos, key)
		} else {
			pos = d.value(pos, column, key.token)
		}
		if pos < 0 {
			return -1
		}
		if pos = d.space(pos); pos >= len(d.data) {
			return d.unexpected(pos, "a comma or a closing brace")
		}
		switch d.data[pos] {
		case ',':
			pos = d.space(pos + 1)
		case '}':
			d.depth--
			return pos + 1
		default:
			return d.unexpected(pos, "a comma or a closing brace")
		}
	}
}

// keyWithin reads a key of an object that is flattened, and finds the column of its path.
func (d *JSON) keyWithin(pos int, to path) (end int, key path, column int) {
	if pos >= len(d.data) || d.data[pos] != '"' {
		return d.unexpected(pos, "a key"), path{}, unknown
	}
	end, escaped := d.str(pos + 1)
	if end < 0 {
		return -1, path{}, unknown
	}
	own := d.data[pos+1 : end-1]
	start := len(d.names)
	d.names = append(append(d.names, to.token[:len(to.token)-1]...), '.')
	d.names = append(append(d.names, own...), '"')
	middle := len(d.names)
	d.names = append(append(d.names, to.name...), '.')
	if escaped {
		d.names, key.lone = unescape(d.names, own)
	} else {
		d.names = append(d.names, own...)
	}
	key.token, key.name = d.names[start:middle], d.names[middle:]
	if key.lone {
		return end, key, unknown
	}
	if column, ok := d.exact[string(key.name)]; ok {
		return end, key, column
	}
	d.text = appendLower(d.text[:0], key.name)
	if column, ok := d.lower[string(d.text)]; ok {
		return end, key, column
	}
	return end, key, unknown
}

// any reads a value of any kind within a record, and tells whether it is a number of which a double loses something.
func (d *JSON) any(pos int) (end int, lossy bool) {
	if pos >= len(d.data) || d.data[pos] != '-' && d.data[pos]-'0' > 9 {
		return d.skip(pos, d.depth), false
	}
	n, end := d.number(pos)
	if end < 0 {
		return -1, false
	}
	_, _, exact := n.double()
	return end, !exact
}

// value reads a value into a column.
func (d *JSON) value(pos, column int, token []byte) int {
	c := &d.cols[column]
	if c.Len() > d.row {
		d.duplicates++
		c.Truncate(d.row)
		d.unrescue(column)
	}
	if pos < len(d.data) && d.data[pos] == 'n' {
		c.AppendNull()
		return d.literal(pos)
	}
	switch c.Type {
	case columns.String:
		return d.stringValue(pos, c, column, token)
	case columns.Int64, columns.Double:
		if pos < len(d.data) && (d.data[pos] == '-' || d.data[pos]-'0' <= 9) {
			return d.numberValue(pos, c, column, token)
		}
	case columns.Boolean:
		if pos < len(d.data) && (d.data[pos] == 't' || d.data[pos] == 'f') {
			c.AppendBool(d.data[pos] == 't')
			return d.literal(pos)
		}
	case columns.Timestamp:
		if pos < len(d.data) && d.data[pos] == '"' {
			return d.textValue(pos, column, token)
		}
		if pos < len(d.data) && d.patterns.numeric(column) && (d.data[pos] == '-' || d.data[pos]-'0' <= 9) {
			return d.epochValue(pos, column, token)
		}
	case columns.Decimal:
		if pos < len(d.data) && d.data[pos] == '"' {
			return d.textValue(pos, column, token)
		}
		if pos < len(d.data) && (d.data[pos] == '-' || d.data[pos]-'0' <= 9) {
			return d.numberValue(pos, c, column, token)
		}
	}
	c.AppendNull()
	end, lossy := d.any(pos)
	if end >= 0 {
		d.keep(column, token, d.data[pos:end], lossy)
	}
	return end
}

// stringValue reads a value of any kind into a String column.
func (d *JSON) stringValue(pos int, c *columns.Column, column int, token []byte) int {
	if pos >= len(d.data) {
		return d.unexpected(pos, "a value")
	}
	switch d.data[pos] {
	case '"':
		end, escaped := d.str(pos + 1)
		if end < 0 {
			return -1
		}
		text := d.data[pos+1 : end-1]
		if escaped {
			var lone bool
			if text, lone = unescape(d.text[:0], text); lone {
				d.keep(column, token, d.data[pos:end], false)
			}
			d.text = text
		}
		c.AppendText(text)
		return end
	case '{', '[':
		end := d.skip(pos, d.depth)
		if end >= 0 {
			d.text = compact(d.text[:0], d.data[pos:end])
			c.AppendText(d.text)
		}
		return end
	}
	end := d.scalar(pos)
	if end >= 0 {
		c.AppendText(d.data[pos:end])
	}
	return end
}

// numberValue reads a number into an Int64, Double or Decimal column.
func (d *JSON) numberValue(pos int, c *columns.Column, column int, token []byte) int {
	n, end := d.number(pos)
	if end < 0 {
		return -1
	}
	if !appendNumber(c, &n) {
		_, _, exact := n.double()
		d.keep(column, token, d.data[pos:end], !exact)
	}
	return end
}

// textValue reads a string into a Timestamp or Decimal column.
func (d *JSON) textValue(pos, column int, token []byte) int {
	end, escaped := d.str(pos + 1)
	if end < 0 {
		return -1
	}
	text := d.data[pos+1 : end-1]
	if escaped {
		text, _ = unescape(d.text[:0], text) // U+FFFD for a lone surrogate is in no time, and in no number
		d.text = text
	}
	c, whole := &d.cols[column], false
	if c.Type == columns.Timestamp {
		var ms int64
		var ok bool
		if ms, ok, whole = d.patterns.parse(column, text); ok {
			c.AppendInt(ms)
		}
	} else {
		s := scanner{data: text}
		if n, stop := s.number(0); stop == len(text) {
			whole = appendNumber(c, &n)
		}
	}
	if c.Len() == d.row {
		c.AppendNull()
	}
	if !whole {
		d.keep(column, token, d.data[pos:end], false)
	}
	return end
}

// epochValue reads a number into a Timestamp column that has its times so.
func (d *JSON) epochValue(pos, column int, token []byte) int {
	n, end := d.number(pos)
	if end < 0 {
		return -1
	}
	c := &d.cols[column]
	if ms, ok := d.patterns[column].epoch(&n); ok {
		c.AppendInt(ms)
		return end
	}
	c.AppendNull()
	_, _, exact := n.double()
	d.keep(column, token, d.data[pos:end], !exact)
	return end
}
