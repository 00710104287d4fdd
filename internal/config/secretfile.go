package config

import (
	"fmt"
	"strings"
)

// fileSuffix ends the name of the setting that names a secret's file.
const fileSuffix = "_FILE"

// withFiles adds to each secret of a table the setting that names a file to read it from, as orchestrators mount secrets:
// SLUICE_TOKEN_FILE beside SLUICE_TOKEN.
func withFiles(table []key[Config]) []key[Config] {
	var all []key[Config]
	for _, k := range table {
		all = append(all, k)
		if k.secret {
			all = append(all, key[Config]{
				name: k.name + fileSuffix, note: "none",
				doc: fmt.Sprintf("a file that holds `%s%s` and nothing else but a newline at its end, instead of the value itself", envPrefix, k.name),
				set: func(*Config, string) error { return nil }, // read before the secrets are parsed
			})
		}
	}
	return all
}

// readSecrets reads the secrets that are given by a file. What such a file holds is shown nowhere.
func (l *loader) readSecrets() {
	for _, k := range l.keys {
		named, given := l.config.settings[k.name+fileSuffix]
		if !k.secret || !given {
			continue
		}
		fault := func(format string, args ...any) {
			l.faults = append(l.faults, l.config.Fault(k.name+fileSuffix, fmt.Sprintf(format, args...)))
			l.broken[k.name] = true
		}
		if _, both := l.config.settings[k.name]; both {
			fault("%s%s is set, too; set one of them", envPrefix, k.name)
			continue
		}
		content, err := l.readFile(named.text)
		if err != nil {
			fault("cannot read the file: %v", err)
			continue
		}
		text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
		if text == "" {
			fault("the file %s is empty; write the secret into it", named.text)
			continue
		}
		l.config.settings[k.name] = setting{text, "file " + named.text}
	}
}

// ofFile tells whether a secret was read from a file, which is then what is printed of it.
func (c *Config) ofFile(k key[Config]) bool {
	_, named := c.settings[k.name+fileSuffix]
	return k.secret && named
}
