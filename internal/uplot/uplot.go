// Package uplot carries the chart library uPlot (https://github.com/leeoniya/uPlot), version 1.6.32, as its authors
// publish it: the files are those of the npm package uplot, byte for byte, and a test holds them to its checksums. Pages
// that draw with it need no other host.
package uplot

import _ "embed"

// Script defines uPlot in a page, as a variable of the window. It makes no request, and runs under a policy that allows no eval.
//
//go:embed uPlot.iife.min.js
var Script []byte

// Style is the style sheet without which charts are laid out wrongly.
//
//go:embed uPlot.min.css
var Style []byte

// License is the MIT licence's text, which goes along with every copy of the two.
//
//go:embed LICENSE
var License string
