package config

import (
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/internal/nearest"
)

// flags are the settings among the arguments; the command's own flags are set as they come. The syntax is that of the
// package flag, except that flags may follow other arguments.
func (l *loader) flags(args []string) ([]entry, error) {
	names := make(map[string]*key[Config])
	for i, k := range l.keys {
		names[flagName(k.name)] = &l.keys[i]
	}
	var entries []entry
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			l.config.Args = append(l.config.Args, args...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			l.config.Args = append(l.config.Args, arg)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		own := l.own.Lookup(name)
		if own == nil && (name == "h" || name == "help") {
			return nil, flag.ErrHelp
		}
		k := names[name]
		ofDetector := strings.HasPrefix(name, "anomaly-")
		if own == nil && k == nil && !ofDetector {
			l.faults = append(l.faults, l.unknownFlag(name))
			// Most likely its value follows, which is then no argument of the command.
			if !hasValue && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				args = args[1:]
			}
			continue
		}
		if !hasValue {
			switch {
			case own != nil && isBoolFlag(own), own == nil && k != nil && k.kind == kindBool:
				value = "true"
			case len(args) == 0 || strings.HasPrefix(args[0], "--"):
				l.faults = append(l.faults, Fault{Key: "--" + name, Source: sourceFlag, Message: "needs a value"})
				l.broken[settingOf(name)] = true
				continue
			default:
				value, args = args[0], args[1:]
			}
		}
		if own != nil {
			if err := l.own.Set(name, value); err != nil {
				l.faults = append(l.faults, Fault{"--" + name, sourceFlag, fmt.Sprintf("%s: %v", abridged(value), err)})
			}
			continue
		}
		setting := setting{value, sourceFlag + " --" + name}
		entries = append(entries, entry{settingOf(name), "--" + name, setting})
	}
	return entries, nil
}

// sourceFlag begins the source of values given by flag.
const sourceFlag = "flag"

func settingOf(flag string) string { return strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) }

func isBoolFlag(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

func (l *loader) unknownFlag(name string) Fault {
	var candidates []string
	for _, k := range l.keys {
		candidates = append(candidates, flagName(k.name))
	}
	l.own.VisitAll(func(f *flag.Flag) { candidates = append(candidates, f.Name) })
	slices.Sort(candidates)
	return Fault{
		Key: "--" + name, Source: sourceFlag,
		Message: "there is no such flag; the nearest is --" + nearest.Of(name, candidates),
	}
}
