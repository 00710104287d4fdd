package audit

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Kind is a kind of difference.
type Kind string

// The kinds. What a difference claims and what was found is in bytes for Size, in rows for Rows, a commit's number or a
// sequence number for Gap and Overlap, and a token for Token.
const (
	Missing    Kind = "missing"         // a claimed file is not there
	NotVisible Kind = "not-yet-visible" // it is not, and its commit is pending
	Size       Kind = "size"
	Token      Kind = "token"         // the object does not carry the token of the commit
	Rows       Kind = "rows"          // the file has another number
	Footer     Kind = "footer"        // that of a Parquet file cannot be read
	Lines      Kind = "lines"         // those of a JSON file cannot be read
	Twice      Kind = "claimed-twice" // a file is claimed again
	Gap        Kind = "gap"           // a commit does not begin where the one before ended, but later
	Overlap    Kind = "overlap"       // or earlier
	Record     Kind = "record"        // it cannot be read
	Unclaimed  Kind = "unclaimed"     // no commit claims the object, which has the name of a file of the stream
	Foreign    Kind = "foreign"       // or of none
)

// Difference is one between what is claimed and what was found.
type Difference struct {
	Kind    Kind   `json:"kind"`
	Key     string `json:"key"`               // of the object; of the record for Gap, Overlap and Record
	Record  string `json:"record,omitempty"`  // of the commit that claims the object; absent where it has none
	Claimed any    `json:"claimed,omitempty"` // an int64 or a string; absent where the kind has none
	Found   any    `json:"found,omitempty"`
	Text    string `json:"text"` // all of it in words
}

// String is the difference as one line.
func (d Difference) String() string {
	key := d.Key
	if strings.ContainsFunc(key, unicode.IsControl) {
		key = strconv.Quote(key)
	}
	return fmt.Sprintf("%-15s  %s: %s", d.Kind, key, d.Text)
}
