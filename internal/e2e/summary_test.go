package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
)

// TestSummary takes the queries from the summary that is printed for a person, and runs them.
func TestSummary(t *testing.T) {
	t.Parallel()
	// The first query is about the newest hour: a run through its beginning would leave it almost empty.
	if left := time.Until(time.Now().Truncate(time.Hour).Add(time.Hour)); left < 40*time.Second {
		time.Sleep(left)
	}
	p := start(t, "sluice-local", "sluice-local", nil, "--duration", "12s", "--dir", t.TempDir(), "--seed", "1", "--http", address(t))
	wait(t, p, 60*time.Second)
	text := p.Stdout.String()
	for _, part := range []string{"1212 records came: 1212 rows and 0 rejects", "  " + abnormal + " ", " source_rate: sourceip " + abnormal + " came "} {
		if !strings.Contains(text, part) {
			t.Errorf("the summary lacks %q:\n%s", part, text)
		}
	}
	if screen := p.Stderr.String(); !strings.Contains(screen, "Alert opens: source_rate: sourceip "+abnormal+" came ") {
		t.Errorf("the screen shows no alert:\n%s", screen)
	}
	var statements []string
	for _, paragraph := range strings.Split(text, "\n\n") {
		if statement := strings.TrimSpace(paragraph); strings.HasSuffix(statement, ";") {
			statements = append(statements, strings.TrimSuffix(statement, ";"))
		}
	}
	if len(statements) != 2 {
		t.Fatalf("the summary has %d queries; want two:\n%s", len(statements), text)
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	first := query(t, db, "SELECT sourceip FROM ("+statements[0]+")")
	second := query(t, db, "SELECT DISTINCT sourceip FROM ("+statements[1]+")")
	if len(first) != 10 || first[0] != abnormal || !slices.Equal(second, []string{abnormal}) {
		t.Errorf("the queries give %v and %v; want %s first, and alone", first, second, abnormal)
	}
}
