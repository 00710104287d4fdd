// Package kdg makes records from templates of the Amazon Kinesis Data Generator (KDG), so that what was tried there
// can be sent from here: the same template text, but a seed that gives the same bytes each time, and any rate.
//
// A template is literal text with tags, {{function}} or {{function(arguments)}}, each replaced anew in every record:
//
//	{"customerId": "{{random.number(50)}}", "sourceIp": "{{internet.ip}}", "transactionTime": "{{date.now}}"}
//
// Arguments are JSON; single quotes, bare object keys and several arguments are understood as well, and date patterns
// and formats may stand without quotes. As in KDG, white space around the template and all line breaks in it go, and
// each record ends with a newline: a JSON template may be written over many lines and still gives one line a record.
//
// Where KDG is at fault this package does what the template means. Weights are taken as they are (KDG rounds them, and
// prints "undefined" for what is then missing), random.number stays within its minimum and maximum for every
// precision, an argument may contain }} and ), and a template that KDG would only stumble over while it sends is
// refused at once, with the place.
//
// The package writes no record anywhere and keeps no time: who calls it decides when a record is due.
package kdg

import (
	_ "embed"
	"math/rand/v2"
	"time"
)

// TransactionNormal is the template of an ordinary payment from a random address. Parse makes a Template of it.
//
//go:embed transaction-normal.kdg
var TransactionNormal string

// TransactionAbnormal is the template of a payment from the one address that pays for too many customers,
// 221.233.116.256. That this is no valid address is part of the exercise.
//
//go:embed transaction-abnormal.kdg
var TransactionAbnormal string

// TransactionStrings is the template of an ordinary payment whose amount is a text.
//
//go:embed transaction-strings.kdg
var TransactionStrings string

// AccessLog is the template of a line of an access log, whose request has no protocol.
//
//go:embed access-log.kdg
var AccessLog string

// Template makes records. It does not change after Parse: any number of goroutines may use it, each with its own
// random generator.
type Template struct {
	name  string
	parts []part
}

// part is literal text, then what a function generates, if there is one.
type part struct {
	literal  string
	generate generator
}

// generator appends one value to dst. All its randomness comes from r and all its time from at, so that a record is
// a function of both.
type generator func(dst []byte, r *rand.Rand, at time.Time) []byte

// Name is the name given to Parse.
func (t *Template) Name() string { return t.name }

// Append appends one record, its newline included, to dst. The random values come from r, the dates are those of at;
// date.now shows at in its own location.
func (t *Template) Append(dst []byte, r *rand.Rand, at time.Time) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		dst = append(dst, p.literal...)
		if p.generate != nil {
			dst = p.generate(dst, r, at)
		}
	}
	return append(dst, '\n')
}
