package transform

import "github.com/sluice-etl/sluice/internal/columns"

// object reads a record, from its opening brace on, into the columns.
func (d *JSON) object(pos int) int {
	if pos = d.space(pos + 1); pos < len(d.data) && d.data[pos] == '}' {
		return pos + 1
	}
	previous := unknown // the column of the last key that had one
	for keys := 1; ; keys++ {
		if keys > maxKeys {
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
			pos = d.unknown(pos, token)
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

// unknown reads the value of the last key, which has no column.
func (d *JSON) unknown(pos int, token []byte) int {
	end, quote := d.any(pos)
	if end >= 0 {
		d.keepUnknown(rescue{
			column: unknown, token: token, name: d.name, lone: d.lone, value: d.data[pos:end], quote: quote,
		})
	}
	return end
}

// any reads a value of any kind within a record, and tells whether it is a number of which a double loses something.
func (d *JSON) any(pos int) (end int, lossy bool) {
	if pos >= len(d.data) || d.data[pos] != '-' && d.data[pos]-'0' > 9 {
		return d.skip(pos, 1), false
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
			return d.timeValue(pos, c, column, token)
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
		end := d.skip(pos, 1)
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

// numberValue reads a number into an Int64 or Double column.
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

// timeValue reads a string into a Timestamp column.
func (d *JSON) timeValue(pos int, c *columns.Column, column int, token []byte) int {
	end, escaped := d.str(pos + 1)
	if end < 0 {
		return -1
	}
	text := d.data[pos+1 : end-1]
	if escaped {
		text, _ = unescape(d.text[:0], text) // U+FFFD for a lone surrogate is in no time
		d.text = text
	}
	if ms, ok := parseTime(text); ok {
		c.AppendInt(ms)
		return end
	}
	c.AppendNull()
	d.keep(column, token, d.data[pos:end], false)
	return end
}
