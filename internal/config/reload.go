package config

import (
	"maps"
	"slices"
)

// Change is a setting that has another value in a configuration that was read again.
type Change struct {
	Key      string // SLUICE_LOG_LEVEL
	Old, New string // as they were written; empty where there is none, *** for a secret
	Live     bool   // taken over; other settings need a restart
}

// Reload holds a running configuration against the next, which was read from the same sources without a fault. It gives the
// configuration to go on with, which is c but for those of next's settings that can change while the service runs, and all
// changes, in the order of the reference.
//
// A detector of which anything else changes keeps all of its settings: a threshold that was meant for another kind or window
// would make no sense with this one. Neither c nor next is changed.
func (c *Config) Reload(next *Config) (*Config, []Change) {
	merged := *c
	merged.settings = maps.Clone(c.settings)
	merged.Detectors = slices.Clone(c.Detectors)
	var changes []Change
	for _, k := range withFiles(keys()) {
		if change, differs := changed(c, next, k.name, k); differs {
			changes = append(changes, change)
			if k.live {
				// A live setting has a default, and next has none with a fault.
				_ = k.set(&merged, next.settings[k.name].text)
				merged.settings[k.name] = next.settings[k.name]
			}
		}
		if k.name == detectorsKey {
			changes = append(changes, merged.reloadDetectors(c, next)...)
		}
	}
	return &merged, changes
}

// reloadDetectors takes over those of next's detectors that differ from c's in live settings alone.
func (merged *Config) reloadDetectors(c, next *Config) (changes []Change) {
	var names []string
	for _, d := range slices.Concat(c.Detectors, next.Detectors) {
		if !slices.Contains(names, d.Name) {
			names = append(names, d.Name)
		}
	}
	for _, name := range names {
		has := func(d Detector) bool { return d.Name == name }
		at, from := slices.IndexFunc(c.Detectors, has), slices.IndexFunc(next.Detectors, has)
		var own []Change
		live := at >= 0 && from >= 0
		for _, k := range detectorKeys() {
			if change, differs := changed(c, next, detectorSetting(name, k.name), k); differs {
				own = append(own, change)
				live = live && k.live
			}
		}
		for i := range own {
			own[i].Live = live
			setting := own[i].Key[len(envPrefix):]
			if s, given := next.settings[setting]; live && given {
				merged.settings[setting] = s
			} else if live {
				delete(merged.settings, setting)
			}
		}
		if live {
			merged.Detectors[at] = next.Detectors[from]
		}
		changes = append(changes, own...)
	}
	return changes
}

// unsaid tells whether a setting has its default, or there is none.
func (s setting) unsaid() bool { return s.source == "" || s.source == sourceDefault }

// changed compares the texts of a setting. What neither configuration says is no change: a worker's id is made anew each
// time, and other defaults follow from settings that are told of.
func changed[T any](c, next *Config, name string, k key[T]) (Change, bool) {
	old, now := c.settings[name], next.settings[name]
	if old.text == now.text || old.unsaid() && now.unsaid() || k.name == configKey {
		return Change{}, false
	}
	change := Change{Key: envPrefix + name, Old: old.text, New: now.text, Live: k.live}
	if k.secret {
		change.Old, change.New = hidden, hidden
	}
	return change, true
}
