package config

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"
)

// hidden stands for a secret.
const hidden = "***"

// YAML is the effective configuration as a file that Load reads again, each value with where it came from. Secrets are
// hidden. The worker's id is a comment unless it was set, since no two processes may share one.
func (c *Config) YAML() []byte { return c.yaml(withFiles(keys()), detectorKeys()) }

func (c *Config) yaml(table []key[Config], detectorTable []key[Detector]) []byte {
	top := &yaml.Node{Kind: yaml.MappingNode}
	comment := "" // of the setting that comes next
	for _, k := range table {
		s := c.settings[k.name]
		switch {
		case k.name == configKey: // a file does not name a file
		case c.ofFile(k): // the file is named next
		case k.name == detectorsKey:
			detectors := c.detectorsNode(detectorTable, s)
			name := scalarNode("anomaly", kindText)
			top.Content = append(top.Content, name,
				&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalarNode("detectors", kindText), detectors}})
		case k.name == "WORKER_ID" && s.source == sourceDefault:
			comment = yamlKey(k.name) + ": " + s.text + " # default, made anew by each process"
		default:
			addSetting(top, k.name, k.kind, k.secret, s)
			top.Content[len(top.Content)-2].HeadComment, comment = comment, ""
		}
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	// A tree of scalars and mappings has nothing that could not be written, and neither has a buffer.
	_ = encoder.Encode(top)
	return out.Bytes()
}

func (c *Config) detectorsNode(table []key[Detector], named setting) *yaml.Node {
	all := &yaml.Node{Kind: yaml.MappingNode}
	if len(c.Detectors) == 0 {
		all.Style, all.LineComment = yaml.FlowStyle, sourceDefault
		return all
	}
	all.HeadComment = "named by: " + named.source
	for _, d := range c.Detectors {
		one := &yaml.Node{Kind: yaml.MappingNode}
		for _, k := range table {
			s := c.settings[detectorSetting(d.Name, k.name)]
			if s.source == "" {
				s.source = sourceDefault + ": " + k.note
			}
			addSetting(one, k.name, k.kind, k.secret, s)
		}
		all.Content = append(all.Content, scalarNode(d.Name, kindText), one)
	}
	return all
}

func addSetting(to *yaml.Node, name string, as kind, secret bool, s setting) {
	value := scalarNode(strings.ReplaceAll(s.text, "$", "$$"), as)
	if secret && s.text != "" {
		value = scalarNode(hidden, kindText)
	}
	value.LineComment = s.source
	if s.source == "" {
		value.LineComment = sourceDefault
	}
	to.Content = append(to.Content, scalarNode(yamlKey(name), kindText), value)
}

func scalarNode(text string, as kind) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: text, Tag: "!!str"}
	// Numbers and booleans stand without quotes; what was written as one is one in YAML.
	if (as == kindNumber || as == kindBool) && text != "" {
		n.Tag = ""
	}
	return n
}

// Setting is one setting of the effective configuration.
type Setting struct {
	Name   string // in the environment
	Value  string // as it was written, or ***, where it is a secret
	Source string // where it came from: default, a line of a file, env, or a flag
}

// Settings are those of the effective configuration, in the order of the reference. What has no value is left out, but
// for the settings of detectors, whose Source then tells the default. Secrets are hidden.
func (c *Config) Settings() []Setting { return c.list(keys(), detectorKeys()) }

func (c *Config) list(table []key[Config], detectorTable []key[Detector]) (out []Setting) {
	add := func(name string, secret bool, note string) {
		s := c.settings[name]
		if s.source == "" {
			s.source = sourceDefault
			if note != "" {
				s.source += ": " + note
			}
		}
		if secret && s.text != "" {
			s.text = hidden
		}
		if s.text != "" || note != "" {
			out = append(out, Setting{envPrefix + name, s.text, s.source})
		}
	}
	for _, k := range table {
		add(k.name, k.secret, "")
		if k.name != detectorsKey {
			continue
		}
		for _, d := range c.Detectors {
			for _, dk := range detectorTable {
				add(detectorSetting(d.Name, dk.name), dk.secret, dk.note)
			}
		}
	}
	return out
}

// DetectorSetting is the name in the environment of a detector's setting, such as THRESHOLD.
func DetectorSetting(detector, name string) string {
	return envPrefix + detectorSetting(detector, name)
}

// Env is the effective configuration as lines of the environment (SLUICE_NAME=value, without quotes, as docker's
// --env-file and systemd's EnvironmentFile read them). Settings without a value are left out, and so is a worker's id
// that was not set. Secrets are hidden.
func (c *Config) Env() []byte { return c.env(withFiles(keys()), detectorKeys()) }

func (c *Config) env(table []key[Config], detectorTable []key[Detector]) []byte {
	var out bytes.Buffer
	line := func(name string, secret bool) {
		s := c.settings[name]
		if s.text == "" || name == configKey || name == "WORKER_ID" && s.source == sourceDefault {
			return
		}
		value := s.text
		if secret {
			value = hidden
		}
		out.WriteString(envPrefix + name + "=" + value + "\n")
	}
	for _, k := range table {
		if !c.ofFile(k) {
			line(k.name, k.secret)
		}
		if k.name != detectorsKey {
			continue
		}
		for _, d := range c.Detectors {
			for _, dk := range detectorTable {
				line(detectorSetting(d.Name, dk.name), dk.secret)
			}
		}
	}
	return out.Bytes()
}
