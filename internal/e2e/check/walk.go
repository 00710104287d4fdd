package check

import (
	"slices"
)

// Walk visits the rows of each shard in the order of their places in the shard, shard by shard in the order of their
// numbers. A row's values are valid after the visit, too.
func (o Output) Walk(read Rows, visit func(shard int64, row Row) error) error {
	objects, err := o.objects()
	if err != nil {
		return err
	}
	type placed struct {
		position
		row Row
	}
	var commit []placed
	for i, object := range objects {
		for row, err := range read(object.path) {
			if err != nil {
				return err
			}
			at, err := place(row)
			if err != nil {
				return err
			}
			row.Values = slices.Clone(row.Values)
			commit = append(commit, placed{at, row})
		}
		// A commit has a file for each partition, and its rows go to and fro between these. Commits follow one another.
		if i+1 < len(objects) && objects[i+1].shard == object.shard && objects[i+1].commit == object.commit {
			continue
		}
		slices.SortFunc(commit, func(a, b placed) int { return a.compare(b.position) })
		for _, p := range commit {
			if err := visit(object.shard, p.row); err != nil {
				return err
			}
		}
		commit = commit[:0]
	}
	return nil
}

// place reads where in its shard a row is.
func place(row Row) (position, error) {
	at, _, err := systemColumns(row.Columns)
	if err != nil {
		return position{}, err
	}
	seq, _ := row.Values[at[1]].(string)
	sub, _ := row.Values[at[2]].(int64)
	s, err := parseSequence(seq)
	return position{s, int32(sub)}, err
}
