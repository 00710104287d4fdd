package sink

import "strings"

// Folder is a level of the folders that a prefix makes.
type Folder struct {
	Text string // all of it, where it has no expression
	Name string // in Hive's NAME=VALUE, where no expression is part of the name; empty: it is not of that style
	Unit byte   // the letter of the date pattern that is all of it, as y in !{timestamp:yyyy}; 0: it is something else
}

// hole stands for an expression; no key has that byte.
const hole = "\x00"

// Folders takes a prefix apart: the folder that all keys lie below, and the levels of folders below that, each with an
// expression or after one with one. What follows the last slash begins the names of objects, and is no folder.
func (p *Prefix) Folders() (location string, levels []Folder) {
	var shape strings.Builder // the prefix with a hole for each expression
	var units []byte          // of the holes
	expression := func(unit byte) {
		shape.WriteString(hole)
		units = append(units, unit)
	}
	for _, part := range p.parts {
		switch {
		case part.literal != "":
			shape.WriteString(part.literal)
		case part.date == nil:
			expression(0)
		}
		for _, field := range part.date {
			if field.letter == 0 {
				shape.WriteString(field.text)
			} else {
				expression(field.letter)
			}
		}
	}
	static, _, _ := strings.Cut(shape.String(), hole)
	location = static[:strings.LastIndexByte(static, '/')+1]
	folders := strings.Split(shape.String()[len(location):], "/")
	for _, folder := range folders[:len(folders)-1] {
		holes := strings.Count(folder, hole)
		f := Folder{}
		name, _, hive := strings.Cut(folder, "=")
		switch {
		case holes == 0:
			f.Text = folder
		case hive && name != "" && !strings.Contains(name, hole):
			f.Name = name
		case folder == hole:
			f.Unit = units[0]
		}
		units = units[holes:]
		levels = append(levels, f)
	}
	return location, levels
}
