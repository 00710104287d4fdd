package anomaly

import "math"

// envelope is the range of what a quantity has been: 0 until it is seen.
type envelope struct {
	lo, hi float64
	n      float64 // values
	side   float64 // of the last value: 1 above the range, -1 below it
	often  float64 // the share of values far outside, of late
}

// stretch is how much an envelope gives way to a value outside it, in its own widths: to one that stands alone, and to one that
// follows another on the same side. So one outlier does not make the next ones ordinary, and a new level soon is. Where more of
// late are far outside than often says, they are taken in as they are. The first values are taken in freely.
type stretch struct{ once, again, often, freely float64 }

const (
	forgetting = 2e-5 // of its width an envelope loses with each value, at either end: half in 17,329 values
	lately     = 0.05 // the weight of the last value in what is often
	least      = 1e-9 // added to widths, so that there is no division by 0
)

// excess tells how far a value lies outside, in widths of the envelope plus a floor: 0 inside, negative below.
func (e *envelope) excess(v, floor float64) float64 {
	switch {
	case e.n == 0:
		return 0
	case v > e.hi:
		return (v - e.hi) / (e.hi - e.lo + floor)
	case v < e.lo:
		return (v - e.lo) / (e.hi - e.lo + floor)
	}
	return 0
}

// learn takes a value in.
func (e *envelope) learn(v, floor float64, s stretch) {
	e.n++
	if e.n == 1 {
		e.lo, e.hi = v, v
		return
	}
	side := 0.0
	if v > e.hi {
		side = 1
	} else if v < e.lo {
		side = -1
	}
	give := s.once
	if e.often > s.often {
		give = math.Inf(1)
	} else if side == e.side {
		give = s.again
	}
	e.side = side
	far := 0.0
	if math.Abs(e.excess(v, floor)) > 0.5 {
		far = 1
	}
	e.often = toward(e.often, lately, far)
	w := e.hi - e.lo
	e.hi -= float64(forgetting * w)
	e.lo += float64(forgetting * w)
	if reach := float64(give * (w + floor)); e.n > s.freely {
		v = min(max(v, e.lo-reach), e.hi+reach)
	}
	e.hi, e.lo = max(e.hi, v), min(e.lo, v)
}

// view is one of the ways in which a band looks at a value.
type view uint8

const (
	byValue view = iota
	byLevel
	byHour
	byMagnitude
	byStep
	views
)

// tuning are the constants of a band. They are the same for all series; docs/anomalies.md says how they were chosen.
type tuning struct {
	weights [views]float64 // of what the views say
	stretch stretch
	floor   float64 // width that is taken for nothing, as a share of the size of the values
	mid     float64 // half-life, in values, of the mean that stands for the present level,
	slow    float64 // of that which stands for the usual one, and of the scale,
	swift   float64 // of the mean of magnitudes,
	day     float64 // and, in visits of an hour of the day, of that hour's mean
	damping float64 // values after which what is said has half its weight
	gate    float64 // values in which the memory of what was said fades by a factor of e
}

func standardTuning() tuning {
	return tuning{
		weights: [views]float64{byValue: 1, byLevel: 1, byHour: 0.75, byMagnitude: 0.5, byStep: 0.5},
		stretch: stretch{once: 0.5, again: 1, often: 1, freely: 50}, floor: 0.02,
		mid: 24, slow: 2000, swift: 64, day: 24, damping: 1000, gate: 30,
	}
}

const (
	bandWarming = 50 // values before which nothing is said
	hourVisits  = 12 // of an hour before its mean is one
	hours       = 24
	greatest    = 1e150 // values beyond are none: their products would not be numbers
)

// band is what a series has shown. It takes 840 bytes.
type band struct {
	n         float64 // values
	scale     float64 // mean size of the values
	mid, slow float64 // means
	spread    float64 // mean distance from mid
	magnitude float64 // mean
	last      float64
	said      float64 // of what was said the greatest, faded
	views     [views]envelope
	mean      [hours]float64 // of the values in an hour of the day,
	distance  [hours]float64 // their mean distance from it,
	visits    [hours]float64 // and how many they are
}

// finding is what a band says of a value.
type finding struct {
	strangeness     float64 // 0 if the value is like others before it
	view            view    // that contributes most to it
	expected        float64
	lower, upper    float64 // of the values that were seen
	floor, weight   float64
	settled, hourly bool
}

// tuned is a tuning and what follows from it.
type tuned struct {
	tuning
	midShare, slowShare, swiftShare, dayShare, fade float64
}

func (t tuning) derive() *tuned {
	return &tuned{t, halving(t.mid), halving(t.slow), halving(t.swift), halving(t.day), exp(-1 / t.gate)}
}

// observe takes in the value of an hour of the day, and tells how strange it is: by how many widths it lies outside of
// what each view has seen, weighted and added up, and damped while little has been seen. Changes about as small as the grain are not strange.
func (t *tuned) observe(b *band, hour int, x, grain float64) finding {
	b.n++
	if b.n == 1 {
		b.scale, b.mid, b.slow, b.last = math.Abs(x), x, x, x
	}
	share := func(s float64) float64 { return max(s, 1/b.n) } // a young mean weighs all values alike
	value := &b.views[byValue]
	f := finding{expected: b.mid, settled: b.n >= bandWarming, floor: least + float64(t.floor*b.scale) + grain}
	f.lower, f.upper = value.lo, value.hi

	// What is learned lies at most one width outside.
	clipped := x
	if width := value.hi - value.lo + f.floor; b.n > bandWarming {
		clipped = min(max(x, value.lo-width), value.hi+width)
	}
	b.scale = toward(b.scale, share(t.slowShare), math.Abs(clipped))
	floor := least + float64(t.floor*b.scale) + grain

	greatest := 0.0
	look := func(v view, x, floor float64) {
		e := &b.views[v]
		outside := float64(t.weights[v] * math.Abs(e.excess(x, floor)))
		e.learn(x, floor, t.stretch)
		f.strangeness += outside
		if outside > greatest {
			greatest, f.view = outside, v
		}
	}
	look(byValue, x, floor)

	off := clipped - b.mid
	b.mid = toward(b.mid, share(t.midShare), clipped)
	b.spread = toward(b.spread, share(t.midShare), math.Abs(off))
	b.slow = toward(b.slow, share(t.slowShare), clipped)
	if b.n > t.mid {
		look(byLevel, b.mid-b.slow, floor)
	}

	b.visits[hour]++
	if b.visits[hour] == 1 {
		b.mean[hour] = x
	}
	away, off := x-b.mean[hour], clipped-b.mean[hour]
	usual := b.distance[hour] + floor + float64(0.1*b.spread)
	dayShare := max(t.dayShare, 1/b.visits[hour])
	if b.visits[hour] > hourVisits {
		f.hourly, f.expected = true, b.mean[hour]
		look(byHour, away/usual, 0.1+grain/usual)
	}
	b.mean[hour] = toward(b.mean[hour], dayShare, clipped)
	b.distance[hour] = toward(b.distance[hour], dayShare, math.Abs(off))

	unit := float64(0.1*b.scale) + least
	size := magnitude(x / unit)
	if b.n == 1 {
		b.magnitude = size
	}
	look(byMagnitude, size-b.magnitude, 0.01+float64(2*grain)/(b.scale+least))
	b.magnitude = toward(b.magnitude, share(t.swiftShare), magnitude(clipped/unit))

	if b.n > 1 {
		look(byStep, x-b.last, floor)
	}
	b.last = clipped

	f.weight = b.n / (b.n + t.damping)
	if !f.settled {
		f.weight = 0
	}
	f.strangeness = float64(f.strangeness * f.weight)
	return f
}

// gated tells what of a finding is news: no less than has been said of late.
func (t *tuned) gated(b *band, strangeness float64) float64 {
	b.said = float64(b.said * t.fade)
	if strangeness <= b.said {
		return 0
	}
	b.said = min(strangeness, 1) // so that one extreme does not silence all else for long
	return strangeness
}

// score maps a strangeness, in widths of the band, to [0,1): half a score is one width outside.
func score(strangeness float64) float64 { return strangeness / (1 + strangeness) }

// strange is the strangeness of a score.
func strange(score float64) float64 { return score / (1 - min(score, 0.999999)) }

// numbers calls f for every number of the state, always in the same order: by it, it is written and read.
func (b *band) numbers(f func(*float64)) {
	for _, v := range []*float64{&b.n, &b.scale, &b.mid, &b.slow, &b.spread, &b.magnitude, &b.last, &b.said} {
		f(v)
	}
	for i := range b.views {
		b.views[i].numbers(f)
	}
	for h := range hours {
		f(&b.mean[h])
		f(&b.distance[h])
		f(&b.visits[h])
	}
}

func (e *envelope) numbers(f func(*float64)) {
	f(&e.lo)
	f(&e.hi)
	f(&e.n)
	f(&e.side)
	f(&e.often)
}
