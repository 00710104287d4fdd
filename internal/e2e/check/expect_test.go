package check

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestIsRecord(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(`,"` + strings.Repeat("k", i+1) + `":1`)
		}
		return "{" + b.String()[1:] + "}"
	}
	for payload, want := range map[string]bool{
		`{}`: true, " {\"a\": 1}\r\n": true, "\ufeff{}": true, `{"a":"\ud800"}`: true, `{"a":1e400}`: true, `{"a":"\u0000"}`: true,
		"": false, "\n": false, "null": false, "[{}]": false, `{"a":NaN}`: false, `{"a":1`: false, "{\"a\":\"\xff\"}": false, "{\"a\":\"\x00\"}": false,
		nested(64): true, nested(65): false, keys(1000): true, keys(1001): false,
		`{"a":"` + strings.Repeat(`[{\"`, 100) + `"}`: true,
	} {
		if got := isRecord([]byte(payload)); got != want {
			t.Errorf("%s: %t", clip(payload), got)
		}
	}
}

func TestExpected(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 500e6, time.UTC)
	cases := []struct {
		kind  Type
		raw   string
		value any
		whole bool
	}{
		{Text, `"a\n"`, "a\n", true},
		{Text, `null`, nil, true},
		{Text, `1.50`, "1.50", true},
		{Text, `true`, "true", true},
		{Text, `{"a": [1, 2]}`, `{"a":[1,2]}`, true},
		{Text, `"\ud83d\ude00"`, "😀", true},
		{Text, `"\ud83d"`, "\ufffd", false},
		{Text, `"\ude00\ud83d"`, "\ufffd\ufffd", false},
		{Text, `"\ud83d\ud83d\ude00"`, "\ufffd😀", false},
		{Text, `"\\ud83d"`, `\ud83d`, true},
		{Integer, `-5`, int64(-5), true},
		{Integer, `-0`, int64(0), false},
		{Integer, `1.0`, nil, false},
		{Integer, `1e2`, nil, false},
		{Integer, `9223372036854775807`, int64(math.MaxInt64), true},
		{Integer, `9223372036854775808`, nil, false},
		{Integer, `"5"`, nil, false},
		{Double, `0.1`, .1, true},
		{Double, `-0`, math.Copysign(0, -1), true},
		{Double, `123456789012345`, 123456789012345., true},
		{Double, `0.001234567890123456`, .001234567890123456, false},
		{Double, `1e400`, nil, false},
		{Double, `1e-400`, 0., false},
		{Double, `"0.1"`, nil, false},
		{Boolean, `false`, false, true},
		{Boolean, `"false"`, nil, false},
		{Timestamp, `"2026-03-04T14:00:00.5+02:00"`, at, true},
		{Timestamp, `"2026-03-04T12:00:00.5"`, nil, false},
		{Timestamp, `"2026-02-30T12:00:00Z"`, nil, false},
		{Timestamp, `5`, nil, false},
	}
	for _, c := range cases {
		value, whole := expected(c.kind, json.RawMessage(c.raw))
		if !equal(value, c.value) || whole != c.whole {
			t.Errorf("%s of %s: %v %t; want %v %t", c.kind, c.raw, value, whole, c.value, c.whole)
		}
	}
}

func TestCompareRescued(t *testing.T) {
	want := map[string]json.RawMessage{"a": json.RawMessage("1e400"), "b": json.RawMessage(`[1, "\u00e9"]`)}
	for have, right := range map[string]bool{
		`{"A":"1e400","b":[1,"é"]}`: true,
		`{"A":1e400,"b":[1,"é"]}`:   true,
		`{"A":"1e401","b":[1,"é"]}`: false,
		`{"A":"1e400","b":[2,"é"]}`: false,
		`{"A":"1e400"}`:             false,
		`{"A":"1e400","c":1}`:       false,
		`{"A":"1e400","b":[1,"é"]`:  false,
	} {
		if err := compareRescued(have, want); (err == nil) != right {
			t.Errorf("%s: %v", have, err)
		}
	}
}

func TestRender(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", -3600))
	got := render("a/!{firehose:error-output-type}/y=!{timestamp:yyyy}/!{timestamp:yyyy-MM-dd-HH}/", at, "processing-failed")
	if want := "a/processing-failed/y=2026/2026-03-04-06/"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
