package layout

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// threatTest is the last cell of a row of docs/security.md.
var threatTest = regexp.MustCompile("^`([^`:]+): ([A-Za-z0-9]+)`$")

// What docs/security.md says to hold a threat is shown by a test that exists.
func TestThreatsHaveTests(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	threats, _, found := strings.Cut(string(text), "\n## ")
	if !found {
		t.Error("no heading ends the table of threats: this test looks for the wrong form")
	}
	rows := 0
	for line := range strings.Lines(threats) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 2 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[1]) == "threat" {
			continue
		}
		rows++
		test := threatTest.FindStringSubmatch(strings.TrimSpace(cells[len(cells)-2]))
		if len(cells) != 5 || test == nil {
			t.Errorf("want a threat, what holds it, and `folder: TestName`, got %s", line)
			continue
		}
		functions, _ := testNames(t, test[1])
		isTest := strings.HasPrefix(test[2], "Test") || strings.HasPrefix(test[2], "Fuzz")
		if !isTest || !functions[test[2]] {
			t.Errorf("there is no test %s in %s", test[2], test[1])
		}
	}
	if rows == 0 {
		t.Error("no threat is found: this test looks for the wrong form")
	}
}
