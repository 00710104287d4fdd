package layout

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	settingName = regexp.MustCompile(`SLUICE_[A-Z0-9_]*[A-Z0-9]`)
	fence       = regexp.MustCompile("^ *```(.*)$")
	link        = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
)

// pages are README.md and those of docs and .github, by their paths.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(paths) < 2 {
		t.Fatalf("only %v are found, %v", paths, err)
	}
	texts := map[string]string{}
	more, err := filepath.Glob("../../.github/*.md")
	if err != nil || len(more) < 2 {
		t.Fatalf("only %v are found, %v", more, err)
	}
	for _, path := range append(append(paths, more...), "../../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	return texts
}

// A setting that a page names is one of the reference, which is made from the table of settings.
func TestPagesNameSettingsThatExist(t *testing.T) {
	texts := pages(t)
	reference := texts["../../docs/configuration.md"]
	for path, text := range texts {
		for _, name := range settingName.FindAllString(text, -1) {
			detectors := strings.HasPrefix(name, "SLUICE_ANOMALY") // followed by a name of the reader's choice
			injected := name == "SLUICE_SERVICE" || name == "SLUICE_PORT"
			if !detectors && !injected && !strings.Contains(reference, "| `"+name+"` |") {
				t.Errorf("%s names the setting %s, which there is not", path, name)
			}
		}
	}
}

// A link to a file of the project leads to one.
func TestPagesLinkToWhatExists(t *testing.T) {
	links := 0
	for path, text := range pages(t) {
		for _, target := range link.FindAllStringSubmatch(text, -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target[1])); err != nil {
				t.Errorf("%s links to %s: %v", path, target[1], err)
			}
		}
	}
	if links == 0 {
		t.Error("no link is found: this test looks for the wrong form")
	}
}

// languages are those of blocks. By sh the end-to-end tests know the commands that they have to run.
var languages = []string{"ini", "js", "json", "python", "sh", "sql", "text", "yaml"}

// A block names its language, and none is by indentation, so that no command is overlooked.
func TestBlocksNameTheirLanguage(t *testing.T) {
	commands := 0
	for path, text := range pages(t) {
		within := false
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			switch mark := fence.FindStringSubmatch(line); {
			case mark != nil && within && mark[1] == "":
				within = false
			case mark != nil && !within && slices.Contains(languages, mark[1]):
				within = true
				if mark[1] == "sh" {
					commands++
				}
			case mark != nil:
				t.Errorf("%s: want a block of one of %v, or its end: %s", path, languages, line)
			case !within && (strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t")):
				t.Errorf("%s: a block by indentation; put it between fences, with its language: %s", path, line)
			}
		}
		if within {
			t.Errorf("%s: a block has no end", path)
		}
	}
	if commands == 0 {
		t.Error("no commands are found: this test looks for the wrong form")
	}
}

var goTest = regexp.MustCompile("`go test ([^`\n]+)`")

// A test or benchmark that a page has a reader run, within a sentence, is in the package that it names.
func TestPagesNameTestsThatExist(t *testing.T) {
	commands := 0
	for path, text := range pages(t) {
		for _, command := range goTest.FindAllStringSubmatch(text, -1) {
			commands++
			folder, patterns, before := "", []string{}, ""
			for _, word := range strings.Fields(command[1]) {
				switch {
				case strings.HasPrefix(word, "./"):
					folder = strings.TrimPrefix(word, "./")
				case before == "-run", before == "-bench":
					patterns = append(patterns, strings.Trim(word, "'"))
				}
				before = word
			}
			functions, _ := testNames(t, folder)
			if len(functions) == 0 {
				t.Errorf("%s: %s: there are no tests in %q", path, command[0], folder)
			}
			for _, pattern := range patterns {
				of, err := regexp.Compile(pattern)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(slices.Collect(maps.Keys(functions)), of.MatchString) {
					t.Errorf("%s: %s: no test of %s is called so", path, command[0], folder)
				}
			}
		}
	}
	if commands == 0 {
		t.Error("no command is found: this test looks for the wrong form")
	}
}
