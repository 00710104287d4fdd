package transform

import "bytes"

// Cut tells how much of the beginning of a long text can be decoded by itself: the length up to the last place found at
// which a line ends whatever comes after the text. Decoding the text in such pieces gives the rows and rejects that decoding
// it whole gives. It is 0 where no such place is found; then a longer text is needed, or the text holds none.
func Cut(format string, text []byte) int {
	physical := bytes.LastIndexByte(text, '\n') + 1
	switch format {
	case FormatJSON:
		return cutJSON(text)
	case FormatCSV, FormatTSV:
		if bytes.IndexByte(text, '"') < 0 {
			return physical
		}
		d := NewDelimited(Schema{Format: format})
		return d.cut(text)
	}
	return physical
}

// cutJSON looks for the last newline between a closing and an opening brace. A newline is no part of a JSON text, and within
// an object a comma would stand between such braces: so the newline is between two lines. That the opening brace is not
// indented makes it so for broken objects, too, as a reject ends before such a brace. Without such a newline the objects
// are read one by one.
func cutJSON(text []byte) int {
	for end := len(text); ; {
		i := bytes.LastIndex(text[:end], []byte("\n{"))
		if i < 0 {
			break
		}
		if before := bytes.TrimRight(text[:i], " \t\r\n"); len(before) > 0 && before[len(before)-1] == '}' {
			return i + 1
		}
		end = i
	}
	s := scanner{data: text}
	cut := 0
	for pos := s.space(s.start()); pos < len(text) && text[pos] == '{'; pos = s.space(pos) {
		if pos = s.skip(pos, 0); pos < 0 {
			break
		}
		cut = pos
	}
	return cut
}

// cut reads the lines of the text that begin and end in it. A quote of which the end is not in the text may have it after
// the text. Where a fault has made quotes text up to a place, nothing is cut before that place.
func (d *Delimited) cut(text []byte) int {
	d.data, d.closed = text, 0
	cut := 0
	for pos := d.start(); pos < len(text); {
		end, next := d.lineText(pos)
		if end > pos {
			if end, next = d.read(pos); end < 0 {
				if d.fault.at == len(text) {
					break
				}
				_, next = d.resume(pos)
			}
		}
		if text[next-1] != '\n' {
			break
		}
		if pos = next; pos >= d.closed {
			cut = pos
		}
	}
	return cut
}
