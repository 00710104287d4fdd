package check

import (
	"iter"
	"slices"
)

// SameInBoth checks that two foreign readers find the same columns, the same number of rows, and the same values in
// the same order in every object. It returns how many rows it compared.
func (o Output) SameInBoth(a, b Rows) (rows int, err error) {
	objects, err := o.objects()
	if err != nil {
		return 0, err
	}
	var wrong differences
	for _, object := range objects {
		n, err := sameRows(object.key, a(object.path), b(object.path), &wrong)
		rows += n
		if err != nil {
			return rows, err
		}
	}
	return rows, wrong.err("two readers of the same objects")
}

func sameRows(key string, a, b iter.Seq2[Row, error], wrong *differences) (rows int, err error) {
	next, stop := iter.Pull2(b)
	defer stop()
	for left, err := range a {
		if err != nil {
			return rows, err
		}
		right, err, ok := next()
		if err != nil {
			return rows, err
		}
		if !ok {
			wrong.add("%s: one reader ends after %d rows, the other does not", key, rows)
			return rows, nil
		}
		if !slices.Equal(left.Columns, right.Columns) {
			wrong.add("%s: columns %v in one reader, %v in the other", key, left.Columns, right.Columns)
			return rows, nil
		}
		for i, v := range left.Values {
			if !equal(v, right.Values[i]) {
				wrong.add("%s: row %d, column %s: %v in one reader, %v in the other", key, rows, left.Columns[i].Name, v, right.Values[i])
			}
		}
		rows++
	}
	if _, err, ok := next(); err != nil {
		return rows, err
	} else if ok {
		wrong.add("%s: one reader ends after %d rows, the other does not", key, rows)
	}
	return rows, nil
}
