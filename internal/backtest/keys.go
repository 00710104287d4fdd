package backtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	mostKeys = 10_000 // that are known at a time; beyond, those with the fewest flags are forgotten
	mostText = 256    // bytes of a key, as it is shown
)

// Key is a key that was flagged: column and value of each part, or the name of a series.
type Key struct {
	Key    string
	Count  int64 // flagged rows
	Score  float64
	At     time.Time // of the highest score, the last of those that are equal,
	Reason string    // and why
}

// Keys are those that were flagged: the zero value has none.
type Keys struct {
	known     map[string]*flaggedKey
	Forgotten bool // some are not known any more, and counts may be too low
}

type flaggedKey struct {
	count  int64
	score  float64
	at     int64 // milliseconds since 1970
	reason []byte
}

// flag takes in a flagged row at a time, in milliseconds since 1970.
func (k *Keys) flag(key []byte, score float64, at int64, reason []byte) {
	f := k.known[string(key)]
	if f == nil {
		if k.known == nil {
			k.known = map[string]*flaggedKey{}
		}
		k.trim()
		f = &flaggedKey{}
		k.known[string(key)] = f
	}
	f.count++
	if score >= f.score {
		f.score, f.at, f.reason = score, at, append(f.reason[:0], reason...)
	}
}

// trim makes room for another key.
func (k *Keys) trim() {
	if len(k.known) < mostKeys {
		return
	}
	k.Forgotten = true
	rare := slices.SortedFunc(maps.Keys(k.known), func(a, b string) int {
		return cmp.Or(cmp.Compare(k.known[a].count, k.known[b].count), cmp.Compare(a, b))
	})
	for _, key := range rare[:len(rare)/2] {
		delete(k.known, key)
	}
}

// join adds the keys of another shard.
func (k *Keys) join(other *Keys) {
	for _, key := range slices.Sorted(maps.Keys(other.known)) {
		o := other.known[key]
		k.flag([]byte(key), o.score, o.at, o.reason)
		k.known[key].count += o.count - 1
	}
	k.Forgotten = k.Forgotten || other.Forgotten
}

// Len is how many keys are known.
func (k *Keys) Len() int { return len(k.known) }

// Top are the first n keys: those with the most flagged rows, and the highest scores.
func (k *Keys) Top(n int) (top []Key) {
	for key, f := range k.known {
		top = append(top, Key{plain(key), f.count, f.score, time.UnixMilli(f.at).UTC(), plain(string(f.reason))})
	}
	slices.SortFunc(top, func(a, b Key) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.Score, a.Score), cmp.Compare(a.Key, b.Key))
	})
	return top[:min(n, len(top))]
}

// plain is the beginning of a text of any bytes, as it can be shown on a terminal.
func plain(text string) string {
	if len(text) > mostText {
		text = text[:mostText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
