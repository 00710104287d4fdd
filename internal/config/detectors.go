package config

import (
	"fmt"
	"slices"
)

// detectorsKey names the detectors; each has settings of its own.
const detectorsKey = "ANOMALY_DETECTORS"

var detectorName = matching(`[a-z][a-z0-9_]{0,62}`, "names of detectors: lower-case letters, digits and _, at most 63, beginning with a letter")

// detectors parses the settings of every detector that is named. Those of a detector that a source defines and a
// later one leaves out of the list are not looked at.
func (l *loader) detectors() {
	named := l.config.settings[detectorsKey]
	if named.text == "" {
		return
	}
	var seen []string
	for _, name := range splitList(named.text) {
		if _, err := detectorName(name); err != nil {
			l.faults = append(l.faults, l.config.Fault(detectorsKey, fmt.Sprintf("%s: %v", abridged(name), err)))
			continue
		}
		if slices.Contains(seen, name) {
			l.faults = append(l.faults, l.config.Fault(detectorsKey, fmt.Sprintf("%q is named twice", name)))
			continue
		}
		seen = append(seen, name)
		l.config.Detectors = append(l.config.Detectors, l.detector(name))
	}
}

func (l *loader) detector(name string) Detector {
	d := Detector{Name: name}
	for _, k := range l.detectorKeys {
		full := detectorSetting(name, k.name)
		s, given := l.config.settings[full]
		if !given && k.def != "" {
			s, given = setting{k.def, sourceDefault}, true
			l.config.settings[full] = s
		}
		if given {
			l.apply(full, k.secret, s, func() error { return k.set(&d, s.text) })
		} else if k.required {
			l.missing(full)
		}
	}
	return d
}
