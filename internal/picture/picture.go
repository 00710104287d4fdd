// Package picture draws what a backtest found: as PNG and SVG, and as a page for a browser that needs nothing but itself.
//
// What is drawn is a [Chart]: values by time with what was in order and what is flagged, and alerts by threshold. Pictures are drawn with
// gonum.org/v1/plot (plots.go), which no other package imports; pages by uPlot in the browser (page.go). The package judges nothing.
package picture

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/backtest"
)

// Chart is what is shown of one detector, or of one series.
type Chart struct {
	Title string
	Value string // what the values are
	Curve *backtest.Curve
	Right []backtest.Window // when alerts are right, as far as that is known

	Thresholds []float64
	Chosen     int     // the place of the one that is configured
	Alerts     []int64 // by threshold
	Flags      []int64 // flagged rows by threshold; nil where each alert is one
	Keys       []backtest.Key
}

const (
	topKeys = 20
	maxText = 160 // runes of a title
)

// Of makes a chart of what was found; the name is that of the detector, or of the series' file.
func Of(name string, o *backtest.Outcome, right []backtest.Window) *Chart {
	key, curve := o.Curve()
	c := &Chart{Title: name, Value: "value", Curve: curve, Right: right, Thresholds: o.Thresholds, Chosen: o.Chosen, Alerts: o.Alerts, Keys: o.Keys.Top(topKeys)}
	s := &o.Settings
	if s.Name == "" {
		return c
	}
	c.Title, c.Flags = o.Title(), o.Flags
	switch {
	case key != "":
		c.Title += ": " + key
	case len(s.Key) > 0:
		c.Title += ": at each time the strangest of all keys"
	}
	switch s.Kind {
	case anomaly.KindRate:
		c.Value = fmt.Sprintf("records in %v", s.Window)
	case anomaly.KindDistinct:
		c.Value = fmt.Sprintf("different %s in %v", s.Metric, s.Window)
	case anomaly.KindSeries:
		c.Value = fmt.Sprintf("%s in %v", s.Metric, s.Window)
	case anomaly.KindValue:
		c.Value = s.Metric
	case anomaly.KindRule:
		c.Value = "1 where the rule is broken"
	}
	return c
}

// Write writes PATH.png, PATH.svg and PATH.html, in the place of those that there are, and makes the folder for them.
func (c *Chart) Write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	var file bytes.Buffer
	for _, form := range []struct {
		extension string
		draw      func(*Chart, *bytes.Buffer) error
	}{{".png", (*Chart).png}, {".svg", (*Chart).svg}, {".html", (*Chart).page}} {
		file.Reset()
		if err := form.draw(c, &file); err != nil {
			return fmt.Errorf("draw %s%s: %w", path, form.extension, err)
		}
		if err := os.WriteFile(path+form.extension, file.Bytes(), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// printable is the beginning of a text of any bytes, as it can stand in a picture.
func printable(text string) string {
	runes := []rune(strings.ToValidUTF8(text, "\uFFFD"))
	if len(runes) > maxText {
		runes = append(runes[:maxText], '…')
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, string(runes))
}
