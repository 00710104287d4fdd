package sink

// Folder is a level of the folders that a prefix makes.
type Folder struct {
	Text string // all of it, where it has no expression
	Name string // in Hive's NAME=VALUE, where no expression is part of the name; empty: it is not of that style
	Unit byte   // the letter of the date pattern that is all of it, as y in !{timestamp:yyyy}; 0: it is something else
}

// Folders takes a prefix apart, as Levels does: the folder that all keys lie below, and the levels of folders below that,
// each with an expression or after one with one.
func (p *Prefix) Folders() (location string, folders []Folder) {
	location, levels := p.Levels()
	for _, level := range levels {
		var f Folder
		if text, static := level.Static(); static {
			f.Text = text
		} else if f.Name, _ = level.Hive(); f.Name == "" && len(level.parts) == 1 && level.parts[0].date != nil {
			f.Unit = level.parts[0].date[0].letter
		}
		folders = append(folders, f)
	}
	return location, folders
}
