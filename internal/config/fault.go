package config

import "strings"

// Fault is one thing wrong in the configuration.
type Fault struct {
	Key     string // as the user knows it: SLUICE_FLUSH_BYTES, or the unknown name as it was written
	Source  string // where the value was written: env, file NAME:LINE, flag --NAME; empty where it is missing
	Message string // what is wrong and what would be right
}

func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Key)
	// A name of the environment or of a flag is its own address.
	if f.Source != "" && f.Source != sourceEnv && !strings.HasPrefix(f.Key, "--") {
		b.WriteString(" (" + f.Source + ")")
	}
	b.WriteString(": " + f.Message)
	return b.String()
}

// Faults are all that is wrong. Those found elsewhere (in a prefix expression, in a
// detector) are appended by who finds them, so that all are printed together.
type Faults []Fault

// Error gives one line per fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Usage tells whether only the command line is at fault: an unknown flag, or one without its value.
func (f Faults) Usage() bool {
	for _, fault := range f {
		if fault.Source != sourceFlag {
			return false
		}
	}
	return len(f) > 0
}

// Err is f as an error, and nil where there is no fault.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Fault is a fault in the value of the setting with the name (such as PREFIX or ANOMALY_LOGINS_KEY), with the place
// where that value was written.
func (c *Config) Fault(name, message string) Fault {
	return Fault{Key: envPrefix + name, Source: c.settings[name].source, Message: message}
}
