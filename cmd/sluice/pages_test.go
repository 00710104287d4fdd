package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fenced = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	span   = regexp.MustCompile("`([^`\n]+)`")
)

// What pages say of a command within a sentence, or in a row of a table that begins with it, names a command and flags that there
// are. Whole blocks are typed by the end-to-end tests.
func TestPagesNameFlagsThatExist(t *testing.T) {
	paths := []string{"../../README.md"}
	for _, folder := range []string{"docs", ".github"} {
		more, err := filepath.Glob("../../" + folder + "/*.md")
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, more...)
	}
	helps := map[string]string{} // what each command says to --help
	flags := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(fenced.ReplaceAllString(string(text), "")) {
			row := "" // the command of a table's row
			for _, found := range span.FindAllStringSubmatch(line, -1) {
				words := strings.Fields(found[1])
				command := row
				if words[0] == "sluice" && len(words) > 1 {
					command = words[1]
				}
				if strings.HasPrefix(line, "| `sluice "+command+"`") || strings.HasPrefix(line, "| `sluice "+command+" ") {
					row = command
				}
				if command == "" {
					continue
				}
				if helps[command] == "" {
					status, stdout, stderr := sluice(t, nil, command, "--help")
					if status != 0 || stdout == "" {
						t.Errorf("%s: %s: sluice %s --help: status %d, %s", path, found[0], command, status, stderr)
					}
					helps[command] = stdout + "\n"
				}
				for _, word := range words {
					name, isFlag := strings.CutPrefix(word, "--")
					if name, _, _ = strings.Cut(name, "="); !isFlag || name == "" {
						continue
					}
					flags++
					if !regexp.MustCompile(`(?m)-` + regexp.QuoteMeta(name) + `\b[^-]`).MatchString(helps[command]) {
						t.Errorf("%s: %s: sluice %s has no flag --%s", path, found[0], command, name)
					}
				}
			}
		}
	}
	if flags < 10 {
		t.Errorf("%d flags are found: this test looks for the wrong form", flags)
	}
}
