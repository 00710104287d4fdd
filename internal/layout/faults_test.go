package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// faultRow is one fault of docs/faults.md.
type faultRow struct {
	number int
	tests  []string // folder: name
	later  bool     // the feature is not built, or it cannot be tested, and the row says so
}

var (
	faultHeading = regexp.MustCompile(`^### (\d+)\. \S`)
	faultTest    = regexp.MustCompile("^- `([^`]+)`$")
	faultLater   = regexp.MustCompile(`^(Later|Not tested): \S`)
)

func readFaults(t *testing.T) (rows []*faultRow) {
	t.Helper()
	text, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if heading := faultHeading.FindStringSubmatch(line); heading != nil {
			number, err := strconv.Atoi(heading[1])
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, &faultRow{number: number})
			continue
		}
		test := faultTest.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "- ") && test == nil:
			t.Errorf("a line of the list that names no test: %s", line)
		case len(rows) == 0:
		case test != nil:
			rows[len(rows)-1].tests = append(rows[len(rows)-1].tests, test[1])
		case faultLater.MatchString(line):
			rows[len(rows)-1].later = true
		}
	}
	return rows
}

// testNames are the tests and fuzz targets of a folder, and each text in its test files, which the name of a case is.
func testNames(t *testing.T, folder string) (functions, texts map[string]bool) {
	t.Helper()
	functions, texts = map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				functions[f.Name.Name] = true
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
				if value, err := strconv.Unquote(text.Value); err == nil {
					texts[value] = true
				}
			}
			return true
		})
	}
	return functions, texts
}

// faults is how many there are.
const faults = 52

// Every fault has a test that exists, or says why it has none.
func TestFaultsHaveTests(t *testing.T) {
	var numbers []int
	for _, row := range readFaults(t) {
		numbers = append(numbers, row.number)
		if len(row.tests) == 0 && !row.later {
			t.Errorf("fault %d has neither a test nor a reason", row.number)
		}
		for _, name := range row.tests {
			folder, test, ok := strings.Cut(name, ": ")
			function, subtest, _ := strings.Cut(test, "/")
			functions, texts := testNames(t, folder)
			switch {
			case !ok || !strings.HasPrefix(function, "Test") && !strings.HasPrefix(function, "Fuzz"):
				t.Errorf("fault %d: want folder: TestName, got %s", row.number, name)
			case !functions[function]:
				t.Errorf("fault %d: there is no %s in %s", row.number, function, folder)
			case subtest != "" && !texts[subtest]:
				t.Errorf("fault %d: %s in %s has no case %q", row.number, function, folder, subtest)
			}
		}
	}
	slices.Sort(numbers)
	for i := range faults {
		if !slices.Contains(numbers, i+1) {
			t.Errorf("fault %d is missing", i+1)
		}
	}
	if len(numbers) != faults {
		t.Errorf("%d faults are listed; want each of %d once", len(numbers), faults)
	}
}
