package config

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/internal/crash"
	"github.com/sluice-etl/sluice/internal/nearest"
)

// The sources of values, as they are printed.
const (
	sourceDefault = "default"
	sourceEnv     = "env"
)

// Option changes what Load expects.
type Option func(*loader)

// Require replaces the settings that must be given, which are otherwise all that have no default and cannot do
// without a value: STREAM and BUCKET. Names are without SLUICE_.
func Require(names ...string) Option {
	return func(l *loader) { l.required = names }
}

// Default replaces the default of a setting, such as STREAM or ANOMALY_LOGINS_KEY.
func Default(name, value string) Option {
	return func(l *loader) { l.defaults[name] = value }
}

// Flags adds a command's own flags to those of the settings. Load sets them.
func Flags(own *flag.FlagSet) Option {
	return func(l *loader) { l.own = own }
}

// Load makes the configuration from defaults, the file that --config or SLUICE_CONFIG names, the environment (as
// os.Environ gives it) and the command's arguments. It looks at nothing else but this machine's name and memory.
//
// A faulty configuration gives an error of the type Faults that holds every fault, and beside it the Config as far
// as it goes, so that the caller can look for further faults. Asking for help gives flag.ErrHelp.
func Load(args, environ []string, readFile func(string) ([]byte, error), options ...Option) (*Config, error) {
	l := loader{
		config:       &Config{settings: make(map[string]setting)},
		keys:         withFiles(keys()),
		detectorKeys: detectorKeys(),
		environ:      environment(environ),
		readFile:     readFile,
		defaults:     make(map[string]string),
		own:          flag.NewFlagSet("", flag.ContinueOnError),
		broken:       make(map[string]bool),
	}
	for _, k := range l.keys {
		if k.def != "" {
			l.defaults[k.name] = k.def
		}
		if k.required {
			l.required = append(l.required, k.name)
		}
	}
	for _, option := range options {
		option(&l)
	}
	return l.load(args)
}

// loader is the state of one Load.
type loader struct {
	config       *Config
	keys         []key[Config]
	detectorKeys []key[Detector]
	environ      map[string]string
	readFile     func(string) ([]byte, error)
	required     []string
	defaults     map[string]string
	own          *flag.FlagSet
	faults       Faults
	broken       map[string]bool // settings that a source gives, but not so that their text can be told
}

// entry is a value that one source gives.
type entry struct {
	name    string // without SLUICE_
	written string // the name as it stands in the source, for a fault when it is unknown
	setting
}

func (l *loader) load(args []string) (*Config, error) {
	byFlag, err := l.flags(args)
	if err != nil {
		return nil, err
	}
	byEnv := l.variables()
	byFile := l.file(lastValue(configKey, slices.Concat(l.defaultEntries(), byEnv, byFlag)))

	// Later sources win; an empty value is no value, since that is how compose files and manifests spell one.
	all := slices.Concat(l.defaultEntries(), byFile, byEnv, byFlag)
	known := l.known(all)
	for _, e := range all {
		if _, ok := known[e.name]; !ok {
			l.faults = append(l.faults, l.unknown(e, known))
		} else if e.text != "" {
			l.config.settings[e.name] = e.setting
		}
	}
	l.readSecrets()
	l.parse()
	l.derive()
	l.checkEndpoints()
	l.checkWebhook()
	l.readTraces()
	return l.config, l.faults.Err()
}

func lastValue(name string, entries []entry) (found setting) {
	for _, e := range entries {
		if e.name == name && e.text != "" {
			found = e.setting
		}
	}
	return found
}

func (l *loader) defaultEntries() []entry {
	var entries []entry
	for _, name := range slices.Sorted(maps.Keys(l.defaults)) {
		entries = append(entries, entry{name, envPrefix + name, setting{l.defaults[name], sourceDefault}})
	}
	return entries
}

// environment makes a map of what os.Environ gives.
func environment(environ []string) map[string]string {
	m := make(map[string]string, len(environ))
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok {
			m[name] = value
		}
	}
	return m
}

// variables are the settings in the environment.
func (l *loader) variables() []entry {
	var entries []entry
	for _, variable := range slices.Sorted(maps.Keys(l.environ)) {
		name, ours := strings.CutPrefix(variable, envPrefix)
		// Kubernetes injects such names into every pod beside a service that is called sluice.
		if !ours || strings.HasPrefix(name, "SERVICE_") || name == "PORT" || strings.HasPrefix(name, "PORT_") {
			continue
		}
		if crash.Enabled && variable == crash.Variable {
			continue
		}
		entries = append(entries, entry{name, variable, setting{l.environ[variable], sourceEnv}})
	}
	return entries
}

// known are the names of all settings there can be, given the detectors that any source names.
func (l *loader) known(entries []entry) map[string]struct{} {
	names := make(map[string]struct{})
	for _, k := range l.keys {
		names[k.name] = struct{}{}
	}
	for _, e := range entries {
		if e.name != detectorsKey {
			continue
		}
		for _, detector := range splitList(e.text) {
			for _, k := range l.detectorKeys {
				names[detectorSetting(detector, k.name)] = struct{}{}
			}
		}
	}
	return names
}

// unknown is the fault of a name that is no setting. It never shows the value.
func (l *loader) unknown(e entry, known map[string]struct{}) Fault {
	fault := Fault{Key: e.written, Source: e.source, Message: "there is no such setting"}
	if detector, ok := l.detectorOf(e.name); ok {
		fault.Message = fmt.Sprintf("no detector is called %s in SLUICE_ANOMALY_DETECTORS", detector)
	}
	candidates := slices.Sorted(maps.Keys(known))
	if strings.HasPrefix(e.source, "file") { // which cannot name a file
		candidates = slices.DeleteFunc(candidates, func(name string) bool { return name == configKey })
	}
	fault.Message += "; the nearest is " + spelled(nearest.Of(e.name, candidates), e.source)
	return fault
}

// detectorOf is the detector that the name would belong to if there were such a detector.
func (l *loader) detectorOf(name string) (string, bool) {
	for _, k := range l.detectorKeys {
		rest, ok := strings.CutSuffix(name, "_"+k.name)
		if detector, isOne := strings.CutPrefix(rest, "ANOMALY_"); ok && isOne && detector != "" {
			return strings.ToLower(detector), true
		}
	}
	return "", false
}

// spelled is a setting's name as its source spells it.
func spelled(name, source string) string {
	switch {
	case strings.HasPrefix(source, "flag"):
		return "--" + flagName(name)
	case strings.HasPrefix(source, "file"):
		return yamlKey(name)
	}
	return envPrefix + name
}

// parse turns the texts into the fields.
func (l *loader) parse() {
	for _, k := range l.keys {
		s, given := l.config.settings[k.name]
		if given {
			l.apply(k.name, k.secret, s, func() error { return k.set(l.config, s.text) })
		} else if slices.Contains(l.required, k.name) {
			l.missing(k.name)
		}
		if k.name == detectorsKey {
			l.detectors()
		}
	}
}

// missing records the fault that a required setting is not given, unless a worse one is recorded already.
func (l *loader) missing(name string) {
	if l.broken[name] {
		return
	}
	l.faults = append(l.faults, Fault{
		Key: envPrefix + name,
		Message: fmt.Sprintf("required; set it in the environment, as %s in the file, or with --%s",
			yamlPath(name), flagName(name)),
	})
}

// apply sets a value and records the fault if it cannot be set. The values of secrets are not shown.
func (l *loader) apply(name string, secret bool, s setting, set func() error) {
	err := set()
	if err == nil && strings.ContainsFunc(s.text, isControl) {
		err = fmt.Errorf("want text without control characters")
	}
	if err == nil {
		return
	}
	message := err.Error()
	if !secret {
		message = fmt.Sprintf("%s: %s", abridged(s.text), message)
	}
	l.faults = append(l.faults, Fault{Key: envPrefix + name, Source: s.source, Message: message})
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// abridged quotes a value for a fault.
func abridged(text string) string {
	if len(text) > 100 {
		return fmt.Sprintf("%q...", text[:100])
	}
	return fmt.Sprintf("%q", text)
}

// derive fills in the defaults that are made of other settings or of the machine.
func (l *loader) derive() {
	c := l.config
	if c.LeaseTable == "" {
		c.LeaseTable = c.App
		// An application may have a shorter name than a table.
		if _, err := tableName(c.App); err != nil && c.App != "" && c.settings["LEASE_TABLE"].text == "" {
			l.faults = append(l.faults, c.Fault("APP", "is also the lease table's name, which is too short or too long; set SLUICE_LEASE_TABLE"))
		}
	}
	switch {
	case c.Compression == "" && c.Output == parquet:
		c.Compression = "zstd"
	case c.Compression == "":
		c.Compression = "gzip"
	case c.Compression == "snappy" && c.Output != parquet:
		l.faults = append(l.faults, c.Fault("COMPRESSION", fmt.Sprintf("snappy is for SLUICE_OUTPUT=parquet alone; for %s there are gzip, zstd and none", c.Output)))
	}
	if c.WorkerID == "" {
		c.WorkerID = newWorkerID(os.Hostname)
	}
	if c.IntakeStream == "" {
		c.IntakeStream = c.StreamName()
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = MemoryLimit(os.ReadFile)
		// What the Go runtime was told is meant for the whole process, too. Whatever is no size, it takes for no limit.
		if told, err := parseSize(l.environ["GOMEMLIMIT"]); err == nil && told < c.MemoryLimit {
			c.MemoryLimit = max(told, leastMemory)
		}
	}
	for name, text := range map[string]string{
		"LEASE_TABLE": c.LeaseTable, "WORKER_ID": c.WorkerID, "INTAKE_STREAM": c.IntakeStream, "MEMORY_LIMIT": formatSize(c.MemoryLimit), "COMPRESSION": c.Compression,
	} {
		if _, given := c.settings[name]; !given {
			c.settings[name] = setting{text, sourceDefault}
		}
	}
}
