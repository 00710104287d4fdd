// Package transform turns the records of a stream into columns, finds their schema, and says why something is no record.
//
// It does not know where payloads come from, which columns the service adds, or how columns are stored; and it never
// stops on bad input: every line of a payload becomes a row or a [Reject].
//
// # Lines
//
// A payload holds one JSON object, or several, set apart by newlines, other white space or nothing at all. An object may
// span physical lines: it is one line here. Blank lines are no lines, a byte order mark at the start is passed over, and
// a payload without any line is one reject. After a syntax error the rest of the physical line belongs to the same
// reject. If the error is found on a later physical line than the object's first, the reject reaches to the next physical
// line that begins with "{" and is indented no deeper than the bad object: so neither a truncated object swallows the
// objects after it, nor does a broken pretty-printed object yield rows made of its inner parts. A record that breaks a
// limit, but is JSON, is a reject for itself.
//
// The syntax is exactly that which encoding/json accepts, with these limits: at most 64 levels of nesting (the record
// itself is the first), at most 1,000 keys at the top of a record, and UTF-8 must be valid.
//
// # Keys
//
// A key finds its column without regard to case. When two keys of a record mean the same column the later one wins, and
// a duplicate is counted. A key that the schema does not know is kept in the column "rescued"; there, too, the last of
// equal keys wins. A key with a lone surrogate names no column.
//
// # Values
//
// The value null is a null in every column. Other values:
//
//   - A string column takes the text of strings, the literals of numbers and of true and false, and nested values as
//     compact JSON. A lone surrogate becomes U+FFFD.
//   - An int64 column takes the literals of integers that fit; neither 1.0 nor 1e2 is one. -0 becomes 0.
//   - A double column takes the nearest double to a number.
//   - A boolean column takes true and false.
//   - A timestamp column takes ISO 8601 texts with seconds, at most three digits of their fraction, and an offset (Z, or
//     hours and minutes with a colon), of the years 0000 to 9999 UTC.
//
// What a column does not take is null there, and is kept in "rescued".
//
// # The column rescued
//
// Null, where everything fitted; else a JSON object, from the record's own keys to the tokens that came, without white
// space. Beside values that no column took it holds those that a column took, but not in full: numbers of more
// than 15 significant digits in a double column (all digits count from the first that is not zero), -0 in an int64
// column, strings with a lone surrogate. A number of which a double would not keep every digit (more than 15 significant
// ones, or too large or too small for a double) is there as a string of its literal, so that reading the JSON loses
// nothing. Numbers within nested values stay as they came.
package transform
