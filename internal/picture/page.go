package picture

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html"
	"time"

	"github.com/sluice-etl/sluice/internal/uplot"
)

//go:embed assets/page.css
var pageStyle []byte

//go:embed assets/page.js
var pageScript []byte

const pageBins = 8 << 10 // two or three values each

// pageChart is a Chart as the page's script reads it. Times are seconds since 1970.
type pageChart struct {
	Title      string       `json:"title"`
	Value      string       `json:"value"`
	At         []float64    `json:"at"`
	Values     []float64    `json:"values"` // in order of At, as the next three
	Lower      []*float64   `json:"lower"`
	Upper      []*float64   `json:"upper"`
	Flagged    []*float64   `json:"flagged"` // the value, where it is
	Right      [][2]float64 `json:"right"`
	Thresholds []float64    `json:"thresholds"`
	Chosen     int          `json:"chosen"`
	Alerts     []int64      `json:"alerts"`
	Flags      []int64      `json:"flags"`
	Keys       []pageKey    `json:"keys"`
}

type pageKey struct {
	Key    string  `json:"key"`
	Count  int64   `json:"count"`
	Score  float64 `json:"score"`
	At     string  `json:"at"` // a year may have five digits, with which a time.Time is no JSON
	Reason string  `json:"reason"`
}

func (c *Chart) forPage() pageChart {
	p := pageChart{
		Title: printable(c.Title), Value: printable(c.Value), At: []float64{}, Right: [][2]float64{},
		Thresholds: c.Thresholds, Chosen: c.Chosen, Alerts: c.Alerts, Flags: c.Flags, Keys: []pageKey{},
	}
	for _, w := range c.Right {
		p.Right = append(p.Right, [2]float64{float64(w.From.UnixMilli()) / 1000, float64(w.To.UnixMilli()) / 1000})
	}
	for _, k := range c.Keys {
		p.Keys = append(p.Keys, pageKey{k.Key, k.Count, k.Score, k.At.Format(time.RFC3339), k.Reason})
	}
	for _, b := range c.Curve.Bins(pageBins) {
		add := func(value float64, flagged bool) {
			var lower, upper, flag *float64
			if b.Strangest.Band {
				lower, upper = new(b.Strangest.Lower), new(b.Strangest.Upper)
			}
			if flagged {
				flag = new(value)
			}
			p.At, p.Values = append(p.At, float64(b.At)/1000), append(p.Values, value)
			p.Lower, p.Upper, p.Flagged = append(p.Lower, lower), append(p.Upper, upper), append(p.Flagged, flag)
		}
		if b.Low == b.High {
			add(b.Low, b.Strangest.Flagged)
			continue
		}
		add(b.Low, b.Strangest.Flagged && b.Strangest.Value == b.Low)
		if v := b.Strangest.Value; b.Strangest.Flagged && v > b.Low && v < b.High {
			add(v, true)
		}
		add(b.High, b.Strangest.Flagged && b.Strangest.Value == b.High)
	}
	return p
}

// page writes a page that asks no other place for anything: its policy forbids it.
func (c *Chart) page(out *bytes.Buffer) error {
	data, err := json.Marshal(c.forPage()) // with < as \u003c: nothing in it ends the element that it is in
	if err != nil {
		return err
	}
	policy := "default-src 'none'; script-src " + hash(uplot.Script) + " " + hash(pageScript) + "; style-src " + hash(uplot.Style) + " " + hash(pageStyle) + "; base-uri 'none'; form-action 'none'"
	for _, part := range []string{
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"", policy, "\">\n",
		"<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
		"<title>", html.EscapeString(printable(c.Title)), " - sluice backtest</title>\n<style>", string(uplot.Style), "</style>\n<style>", string(pageStyle), "</style>\n</head>\n<body>\n",
		"<noscript><p>This page draws with its script, which is part of it.</p></noscript>\n<main></main>\n",
		"<footer><details><summary>Charts by uPlot</summary><pre>", html.EscapeString(uplot.License), "</pre></details></footer>\n",
		"<script type=\"application/json\" id=\"data\">", string(data), "</script>\n<script>", string(uplot.Script), "</script>\n<script>", string(pageScript), "</script>\n</body>\n</html>\n",
	} {
		out.WriteString(part)
	}
	return nil
}

// hash is a source in a policy: of what stands between two tags.
func hash(text []byte) string {
	sum := sha256.Sum256(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))) // as a browser reads it
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
