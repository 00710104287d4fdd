package sink

// Folder is a level of the folders that a prefix makes.
type Folder struct {
	Text string // all of it, where it has no expression
	Name string // in Hive's NAME=VALUE, where no expression is part of the name; empty: it is not of that style
	Key  string // of the partition, where it has an expression: Level.Key
}

// Folders takes a prefix apart, as Levels does: the folder that all keys lie below, and the levels of folders below that,
// each with an expression or after one with one.
func (p *Prefix) Folders() (location string, folders []Folder) {
	location, levels := p.Levels()
	keys := 0
	for _, level := range levels {
		var f Folder
		if text, static := level.Static(); static {
			f.Text = text
		} else {
			f.Name, _ = level.Hive()
			f.Key = level.Key(keys)
			keys++
		}
		folders = append(folders, f)
	}
	return location, folders
}
