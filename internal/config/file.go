package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-etl/sluice/internal/nearest"
)

// maxFile bounds the file; more than this is not a configuration.
const maxFile = 1 << 20

// fileReader collects the settings of one YAML file.
type fileReader struct {
	*loader
	path    string
	entries []entry
}

// file reads the settings of the YAML file, if one is named.
func (l *loader) file(named setting) []entry {
	if named.text == "" {
		return nil
	}
	fault := func(message string) {
		l.faults = append(l.faults, Fault{Key: envPrefix + configKey, Source: named.source, Message: message})
	}
	content, err := l.readFile(named.text)
	if err != nil {
		fault(fmt.Sprintf("cannot read the file: %v", err))
		return nil
	}
	if len(content) > maxFile {
		fault(fmt.Sprintf("%s is larger than 1 MiB and cannot be a configuration", named.text))
		return nil
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(&document); err != nil {
		if !errors.Is(err, io.EOF) { // an empty file sets nothing
			fault(fmt.Sprintf("%s: %v", named.text, err))
		}
		return nil
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		fault(fmt.Sprintf("%s: want one YAML document", named.text))
		return nil
	}
	r := fileReader{loader: l, path: named.text}
	r.top(document.Content[0])
	return r.entries
}

func (r *fileReader) source(n *yaml.Node) string {
	return "file " + r.path + ":" + strconv.Itoa(n.Line)
}

func (r *fileReader) fault(key string, n *yaml.Node, message string) {
	r.faults = append(r.faults, Fault{Key: key, Source: r.source(n), Message: message})
}

func (r *fileReader) top(n *yaml.Node) {
	r.each("", n, func(name string, value *yaml.Node) {
		upper := strings.ToUpper(name)
		switch {
		case name == "anomaly":
			r.anomaly(value)
		case upper == configKey:
			r.fault(name, value, "a file cannot name another file; use --config or SLUICE_CONFIG")
		case strings.HasPrefix(upper, "ANOMALY_"):
			r.fault(name, value, "detectors are written as a map: anomaly: {detectors: {NAME: {kind: rate, ...}}}")
		case name != yamlKey(upper):
			r.fault(name, value, "there is no such setting; names are in lower case: "+yamlKey(upper))
		default:
			r.value(upper, name, value)
		}
	})
}

func (r *fileReader) anomaly(n *yaml.Node) {
	r.each("anomaly", n, func(name string, value *yaml.Node) {
		if name != "detectors" {
			r.fault("anomaly."+name, value, "there is no such setting; the nearest is anomaly.detectors")
			return
		}
		const path = "anomaly.detectors"
		var names []string
		r.each(path, value, func(detector string, settings *yaml.Node) {
			if _, err := detectorName(detector); err != nil {
				r.fault(path+"."+detector, settings, err.Error())
				return
			}
			names = append(names, detector)
			r.detector(path+"."+detector, detector, settings)
		})
		r.entries = append(r.entries, entry{detectorsKey, path, setting{strings.Join(names, ","), r.source(value)}})
	})
}

func (r *fileReader) detector(path, detector string, n *yaml.Node) {
	var known []string
	for _, k := range r.detectorKeys {
		known = append(known, yamlKey(k.name))
	}
	r.each(path, n, func(name string, value *yaml.Node) {
		if slices.Contains(known, name) {
			r.value(detectorSetting(detector, strings.ToUpper(name)), path+"."+name, value)
			return
		}
		r.fault(path+"."+name, value, "there is no such setting; the nearest is "+nearest.Of(name, known))
	})
}

// each calls f for the entries of a mapping, and finds fault with what is none. No value at all is an empty mapping.
func (r *fileReader) each(path string, n *yaml.Node, f func(name string, value *yaml.Node)) {
	n = resolved(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	within := ""
	if path == "" {
		path = envPrefix + configKey
	} else {
		within = path + "."
	}
	if n.Kind != yaml.MappingNode {
		r.fault(path, n, "want a map of settings")
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if n.Content[i].Kind != yaml.ScalarNode || name == "" {
			r.fault(path, n.Content[i], "want names of settings as the keys of the map")
			continue
		}
		if seen[name] {
			r.fault(within+name, n.Content[i], "is written twice")
			continue
		}
		seen[name] = true
		f(name, n.Content[i+1])
	}
}

// value takes the value of a setting.
func (r *fileReader) value(name, written string, n *yaml.Node) {
	n = resolved(n)
	text, err := r.valueText(name, n)
	if err != nil {
		// Of what is no setting, the name is at fault, and not the value.
		if r.isSetting(name) {
			written = envPrefix + name
		}
		r.fault(written, n, err.Error())
		r.broken[name] = true
		return
	}
	r.entries = append(r.entries, entry{name, written, setting{text, r.source(n)}})
}

// valueText is the text of a scalar, or of a sequence of scalars where the setting is a list.
func (r *fileReader) valueText(name string, n *yaml.Node) (string, error) {
	if n.Kind != yaml.SequenceNode {
		return r.scalar(n)
	}
	if !r.isList(name) {
		return "", errors.New("want one value, not a list")
	}
	texts := make([]string, len(n.Content))
	for i, item := range n.Content {
		text, err := r.scalar(resolved(item))
		if err != nil {
			return "", err
		}
		if text == "" || strings.Contains(text, ",") {
			return "", errors.New("an item of a list is not empty and has no comma")
		}
		texts[i] = text
	}
	return strings.Join(texts, ","), nil
}

func (r *fileReader) isSetting(name string) bool {
	return strings.HasPrefix(name, "ANOMALY_") || // checked before
		slices.ContainsFunc(r.keys, func(k key[Config]) bool { return k.name == name })
}

func (r *fileReader) isList(name string) bool {
	for _, k := range r.detectorKeys {
		if k.kind == kindList && strings.HasPrefix(name, "ANOMALY_") && strings.HasSuffix(name, "_"+k.name) {
			return true
		}
	}
	return slices.ContainsFunc(r.keys, func(k key[Config]) bool { return k.name == name && k.kind == kindList })
}

// scalar is the text of a value as it was written, with variables expanded in strings.
func (r *fileReader) scalar(n *yaml.Node) (string, error) {
	switch {
	case n.Kind != yaml.ScalarNode:
		return "", errors.New("want a value, not a map or a list")
	case n.Tag == "!!null":
		return "", nil
	case n.Tag == "!!str":
		return expand(n.Value, func(name string) (string, bool) {
			value, ok := r.environ[name]
			return value, ok
		})
	}
	return n.Value, nil
}

func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// yamlPath is where a setting stands in the file.
func yamlPath(name string) string {
	if name == detectorsKey {
		return "anomaly.detectors"
	}
	for _, k := range detectorKeys() {
		rest, ok := strings.CutSuffix(name, "_"+k.name)
		if detector, isOne := strings.CutPrefix(rest, "ANOMALY_"); ok && isOne && detector != "" {
			return "anomaly.detectors." + strings.ToLower(detector) + "." + yamlKey(k.name)
		}
	}
	return yamlKey(name)
}
