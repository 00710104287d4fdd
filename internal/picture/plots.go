package picture

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/sluice-etl/sluice/internal/backtest"
)

// The size of pictures, and how many bins are drawn: two for each of a PNG's points.
const (
	width  = 10 * vg.Inch
	height = 6 * vg.Inch
	dpi    = 120
	drawn  = 2400
	upper  = 0.68 // of the height is for the values
	stroke = 16   // lines that are drawn at once
)

var (
	ink     = color.NRGBA{0x1b, 0x1f, 0x24, 0xff}
	soft    = color.NRGBA{0x8c, 0x95, 0x9f, 0xff}
	accent  = color.NRGBA{0x0b, 0x5c, 0xad, 0xff}
	bandInk = color.NRGBA{0x0b, 0x5c, 0xad, 0x28}
	flagInk = color.NRGBA{0xb4, 0x23, 0x18, 0xff}
	rightIn = color.NRGBA{0x11, 0x63, 0x29, 0x22}
)

// png draws a chart of 1,200 by 720 points.
func (c *Chart) png(w *bytes.Buffer) error {
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))}
	c.draw(draw.New(canvas))
	_, err := canvas.WriteTo(w)
	return err
}

func (c *Chart) svg(w *bytes.Buffer) error {
	canvas := vgsvg.New(width, height)
	c.draw(draw.New(canvas))
	_, err := canvas.WriteTo(w)
	return err
}

// draw draws the values by time above, and the alerts by threshold below.
func (c *Chart) draw(canvas draw.Canvas) {
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	margin := vg.Points(8)
	split := canvas.Max.Y * (1 - upper)
	c.values().Draw(draw.Crop(canvas, margin, -margin, split, -margin))
	c.counts().Draw(draw.Crop(canvas, margin, -margin, margin, split-canvas.Max.Y-margin))
}

// newPlot makes a plot without data, in the colours and letters of all.
func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = printable(title)
	p.Title.TextStyle.Font.Variant, p.Title.TextStyle.Color = "Sans", ink
	p.Title.Padding = vg.Points(4)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Variant, axis.Label.TextStyle.Font.Size, axis.Label.TextStyle.Color = "Sans", 9, ink
		axis.Tick.Label.Font.Variant, axis.Tick.Label.Font.Size, axis.Tick.Label.Color = "Sans", 9, ink
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = soft, soft
	}
	return p
}

// values is the plot of the values by time, with the band and the flags.
func (c *Chart) values() *plot.Plot {
	p := newPlot(c.Title)
	p.Y.Label.Text = printable(c.Value)
	bins := c.Curve.Bins(drawn)
	if len(bins) == 0 {
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
		p.X.Tick.Marker = plot.ConstantTicks(nil)
		p.X.Label.Text = "nothing was judged"
		return p
	}
	p.Y.Min, p.Y.Max = math.Inf(1), math.Inf(-1)
	for _, b := range bins {
		p.Y.Min, p.Y.Max = min(p.Y.Min, b.Low), max(p.Y.Max, b.High)
		if b.Strangest.Band {
			p.Y.Min, p.Y.Max = min(p.Y.Min, b.Strangest.Lower), max(p.Y.Max, b.Strangest.Upper)
		}
	}
	room := max((p.Y.Max-p.Y.Min)/20, 1e-9*max(math.Abs(p.Y.Min), math.Abs(p.Y.Max)), math.SmallestNonzeroFloat32) // of a constant, too, there is an axis
	p.Y.Min, p.Y.Max = p.Y.Min-room, p.Y.Max+room
	p.Y.Tick.Marker = plot.TickerFunc(valueTicks)
	from, to := bins[0].At, bins[len(bins)-1].At
	p.X.Min, p.X.Max = float64(from), float64(max(to, from+1))
	p.X.Tick.Marker = plot.TickerFunc(timeTicks)
	p.X.Label.Text = fmt.Sprintf("UTC, from %s to %s; the band is what is in order, red is what is flagged", stamp(from), stamp(to))
	p.Add(curvePlotter{c, bins})
	return p
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateTime) }

// curvePlotter is a plot.Plotter.
type curvePlotter struct {
	*Chart
	bins []backtest.Bin
}

// Plot implements plot.Plotter.
func (c curvePlotter) Plot(canvas draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&canvas)
	for _, w := range c.Right {
		from, to := max(float64(w.From.UnixMilli()), p.X.Min), min(float64(w.To.UnixMilli()), p.X.Max)
		if from <= to {
			canvas.FillPolygon(rightIn, []vg.Point{{X: x(from), Y: y(p.Y.Min)}, {X: x(from), Y: y(p.Y.Max)}, {X: x(to) + 1, Y: y(p.Y.Max)}, {X: x(to) + 1, Y: y(p.Y.Min)}})
		}
	}
	var edges [][]vg.Point
	for i := 0; i < len(c.bins); i++ { // stretches with a band
		var above, below []vg.Point
		for ; i < len(c.bins) && c.bins[i].Strangest.Band; i++ {
			b := &c.bins[i]
			above = append(above, vg.Point{X: x(float64(b.At)), Y: y(b.Strangest.Upper)})
			below = append(below, vg.Point{X: x(float64(b.At)), Y: y(b.Strangest.Lower)})
		}
		if len(above) > 1 {
			edges = append(edges, above, slices.Clone(below))
			slices.Reverse(below)
			canvas.FillPolygon(bandInk, append(slices.Clip(above), below...))
		}
	}
	var points []vg.Point
	for _, b := range c.bins {
		points = append(points, vg.Point{X: x(float64(b.At)), Y: y(b.Low)})
		if b.High != b.Low {
			points = append(points, vg.Point{X: x(float64(b.At)), Y: y(b.High)})
		}
	}
	line(canvas, draw.LineStyle{Color: accent, Width: vg.Points(0.7)}, points)
	if len(points) == 1 { // which is no line
		canvas.DrawGlyph(draw.GlyphStyle{Color: accent, Radius: vg.Points(1.5), Shape: draw.CircleGlyph{}}, points[0])
	}
	for _, edge := range edges {
		line(canvas, draw.LineStyle{Color: soft, Width: vg.Points(0.5)}, edge)
	}
	for _, b := range c.bins {
		if b.Strangest.Flagged {
			canvas.DrawGlyph(draw.GlyphStyle{Color: flagInk, Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}, vg.Point{X: x(float64(b.At)), Y: y(b.Strangest.Value)})
		}
	}
}

// line draws a line in parts, since a stroke takes a time that grows with the square of its length.
func line(canvas draw.Canvas, style draw.LineStyle, points []vg.Point) {
	for ; len(points) > 1; points = points[min(stroke, len(points)-1):] {
		canvas.StrokeLines(style, points[:min(stroke+1, len(points))])
	}
}

// counts is the plot of the alerts, and the flagged rows, by threshold. Their axis is logarithmic, of one more than there are.
func (c *Chart) counts() *plot.Plot {
	p := newPlot("")
	p.X.Label.Text, p.Y.Label.Text = "threshold (the configured one is red)", "alerts"
	if c.Flags != nil {
		p.Y.Label.Text = "alerts (grey: flagged rows)"
	}
	var ticks []plot.Tick
	for i, threshold := range c.Thresholds {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: strconv.FormatFloat(threshold, 'g', -1, 64)})
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.X.Min, p.X.Max = -0.5, float64(len(c.Thresholds))-0.5
	most := float64(slices.Max(slices.Concat(c.Alerts, c.Flags, []int64{9})))
	p.Y.Min, p.Y.Max = 0, 1.05*plusOne(most)
	counts := []plot.Tick{{Value: 0, Label: "0"}}
	for n := 1.0; n <= most; n *= 10 {
		tick := plot.Tick{Value: plusOne(n), Label: strconv.FormatFloat(n, 'f', 0, 64)}
		if n == 1 && most >= 1000 {
			tick.Label = "" // it would touch that of 0
		}
		counts = append(counts, tick)
	}
	p.Y.Tick.Marker = plot.ConstantTicks(counts)
	p.Add(countPlotter{c})
	return p
}

// plusOne is a place on an axis that is logarithmic, and begins at none.
func plusOne(n float64) float64 { return math.Log10(n + 1) }

// countPlotter is a plot.Plotter.
type countPlotter struct{ *Chart }

// Plot implements plot.Plotter.
func (c countPlotter) Plot(canvas draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&canvas)
	for _, of := range []struct {
		counts []int64
		color  color.Color
	}{{c.Flags, soft}, {c.Alerts, accent}} {
		var points []vg.Point
		for i, n := range of.counts {
			points = append(points, vg.Point{X: x(float64(i)), Y: y(plusOne(float64(n)))})
		}
		if len(points) > 0 {
			canvas.StrokeLines(draw.LineStyle{Color: of.color, Width: vg.Points(1)}, points)
		}
		for i, point := range points {
			style := draw.GlyphStyle{Color: of.color, Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}
			if i == c.Chosen {
				style.Color, style.Radius = flagInk, vg.Points(3.2)
			}
			canvas.DrawGlyph(style, point)
		}
	}
}

// steps are distances of ticks: those of which at most eight fit are taken.
var steps = []time.Duration{
	time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
	15 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 30 * day, 90 * day, 365 * day,
}

const (
	day   = 24 * time.Hour
	ticks = 8
)

// timeTicks marks times, given in milliseconds since 1970.
func timeTicks(from, to float64) (marks []plot.Tick) {
	step := steps[len(steps)-1]
	for _, s := range steps {
		if (to-from)/float64(s.Milliseconds()) <= ticks {
			step = s
			break
		}
	}
	layout := "2006-01-02"
	switch {
	case step < time.Second:
		layout = "15:04:05.000"
	case step < time.Minute:
		layout = "15:04:05"
	case step < day && to-from <= float64(day.Milliseconds()):
		layout = "15:04"
	case step < day:
		layout = "01-02 15:04"
	}
	every := max(step.Milliseconds(), int64((to-from)/(2*ticks))) // of times that are thousands of years
	for at := int64(math.Ceil(from/float64(every))) * every; float64(at) <= to; at += every {
		marks = append(marks, plot.Tick{Value: float64(at), Label: time.UnixMilli(at).UTC().Format(layout)})
	}
	return marks
}

// valueTicks marks values that are multiples of 1, 2 or 5 times a power of ten. The library's own search for some does not end for some
// ranges of very great numbers, and panics for others.
func valueTicks(from, to float64) (marks []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10((to-from)/ticks)))
	for _, times := range []float64{10, 5, 2} {
		if (to-from)/(times*step) >= ticks/2 {
			step *= times
			break
		}
	}
	digits := int(math.Log10(max(math.Abs(from), math.Abs(to))/step)) + 2
	for n := math.Ceil(from / step); n*step <= to && len(marks) <= 2*ticks; n++ {
		rounded, _ := strconv.ParseFloat(strconv.FormatFloat(n*step+0, 'g', digits, 64), 64) // what was just written can be read
		marks = append(marks, plot.Tick{Value: n * step, Label: strconv.FormatFloat(rounded, 'g', -1, 64)})
	}
	return marks
}
