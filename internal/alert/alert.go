package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The phases of which alerts tell. The first three are those of an episode.
const (
	Opens   = "opens"
	Peaks   = "peaks"
	Closes  = "closes"
	Summary = "summary" // of episodes that opened and are not told one by one
)

// Phases are all there are.
func Phases() []string { return []string{Opens, Peaks, Closes, Summary} }

// Alert is a message. Its JSON is the body of the webhook, and the message to SNS; docs/alerts.md explains each field.
type Alert struct {
	ID       string    `json:"id"`       // of the episode; with Sequence, of the message
	Sequence int       `json:"sequence"` // 0 opens the episode; each has a higher one than those before
	Phase    string    `json:"phase"`
	Group    string    `json:"group,omitempty"` // the same for all episodes of a detector and key
	App      string    `json:"app"`
	Stream   string    `json:"stream"`
	Shard    string    `json:"shard,omitempty"`
	Detector string    `json:"detector,omitempty"`
	Key      string    `json:"key,omitempty"`
	Opened   time.Time `json:"opened"` // by the records' clock, in UTC: the first abnormal record
	At       time.Time `json:"at"`     // and the last
	Records  int64     `json:"records,omitempty"`
	Score    float64   `json:"score,omitempty"` // the highest, in [0,1]
	Band     *Band     `json:"band,omitempty"`  // nil where there is none
	Reason   string    `json:"reason"`

	Episodes int            `json:"episodes,omitempty"`  // of a summary: how many opened
	ByName   map[string]int `json:"detectors,omitempty"` // of these, by detector
}

// Band is what a detector saw at the peak, and what it expected.
type Band struct {
	Value    float64 `json:"value"`
	Expected float64 `json:"expected"`
	Lower    float64 `json:"lower"`
	Upper    float64 `json:"upper"`
}

// Body is the alert as JSON, a line without its end. It is below 16 KiB.
func (a *Alert) Body() []byte {
	body, err := json.Marshal(a)
	if err != nil {
		panic(err) // numbers are finite: detectors pass over others
	}
	return body
}

// Subject is one line for a person, of at most 100 ASCII characters, as SNS wants it.
func (a *Alert) Subject() string {
	about := a.Detector
	if a.Key != "" {
		about += ": " + a.Key
	}
	if a.Phase == Summary {
		about = fmt.Sprintf("%d more abnormal keys", a.Episodes)
	}
	verb := map[string]string{Opens: "abnormal", Peaks: "more abnormal", Closes: "over", Summary: "many at once"}[a.Phase]
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, fmt.Sprintf("[sluice %s] %s: %s", a.App, verb, about))
	return line[:min(len(line), 100)]
}

// Text is the alert for a person, in a few lines.
func (a *Alert) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n\n", a.Subject(), a.Reason)
	fmt.Fprintf(&b, "From %s to %s", a.Opened.Format(time.RFC3339), a.At.Format(time.RFC3339))
	if a.Records > 0 {
		fmt.Fprintf(&b, ", %d records, score %.6g", a.Records, a.Score)
	}
	fmt.Fprintf(&b, ".\nStream %s", a.Stream)
	if a.Shard != "" {
		fmt.Fprintf(&b, ", shard %s", a.Shard)
	}
	fmt.Fprintf(&b, ", episode %s, message %d.\n", a.ID, a.Sequence)
	return b.String()
}
