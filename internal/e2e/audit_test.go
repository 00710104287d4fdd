package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// auditLine is a line of `sluice audit --json`: a difference, or at the end the summary.
type auditLine struct {
	Kind, Key      string
	Commits        int
	Claimed, Found json.RawMessage // of the summary these are auditFigures
}

type auditFigures struct{ Files, Rows, Bytes int64 }

func figures(t *testing.T, text json.RawMessage) (f auditFigures) {
	t.Helper()
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// audit runs `sluice audit`, and gives its differences, each as kind and key, and its summary.
func audit(t *testing.T, w *world.World, status int) (differences []string, summary auditLine) {
	t.Helper()
	p := start(t, "audit", "sluice", environment(w), "audit", "--json")
	select {
	case <-p.Done():
	case <-time.After(time.Minute):
		t.Fatal("the audit runs after a minute")
	}
	if p.Status() != status {
		t.Fatalf("the audit ended with status %d; want %d", p.Status(), status)
	}
	for line := range strings.Lines(p.Stdout.String()) {
		summary = auditLine{}
		if err := json.Unmarshal([]byte(line), &summary); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if summary.Kind != "" {
			differences = append(differences, summary.Kind+" "+summary.Key)
		}
	}
	if summary.Kind != "" {
		t.Fatalf("the last line is no summary: %s", p.LastLine())
	}
	slices.Sort(differences)
	return differences, summary
}

// auditAtWork audits while the service runs: no commit that is just being made may look like a difference.
func auditAtWork(t *testing.T, w *world.World) {
	t.Helper()
	differences, summary := audit(t, w, 0)
	if claimed, found := figures(t, summary.Claimed), figures(t, summary.Found); len(differences) > 0 || claimed != found {
		t.Errorf("the audit tells of %v, and of %+v claimed and %+v found", differences, claimed, found)
	}
	t.Logf("an audit at work saw %d commits", summary.Commits)
}

// auditExact holds what an audit says of a bucket against what is known to be there. The service must not be running.
func auditExact(t *testing.T, w *world.World, report check.Report) {
	t.Helper()
	differences, summary := audit(t, w, 0)
	files, size := visible(t, w.Bucket)
	want := auditFigures{int64(files), int64(report.Rows), size}
	if claimed, found := figures(t, summary.Claimed), figures(t, summary.Found); claimed != want || found != want {
		t.Errorf("the audit tells of %+v claimed and %+v found; there are %+v", claimed, found, want)
	}
	// A commit may have no file, as the last one of a shard.
	if len(differences) != 0 || summary.Commits < report.Commits {
		t.Errorf("the audit tells of %d commits and of %v; want no difference, and %d commits at least", summary.Commits, differences, report.Commits)
	}
}

// TestAudit audits a bucket while two processes write to it, one of which is killed; when all is quiet; and when things were
// done to it, each of which must be named.
func TestAudit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w, err := world.Start(ctx, world.Options{Dir: t.TempDir(), Binaries: binaries, Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	first, second := service(t, w, "first", often()...), service(t, w, "second", often()...)
	running := []*process.Process{first, second}
	p, ledger := newProducer(t, w)
	seen := world.Visible{}
	everything := func() bool { return visibleRows(t, seen, w) >= int64(ledger.Len()) }
	for round := range 12 {
		records := []world.Record{p.MakeBad(round)}
		for range 99 {
			records = append(records, p.Make())
		}
		put(t, p, records)
		switch round {
		case 0:
			eventually(t, time.Minute, "the first rows are visible", running, everything)
		case 8:
			first.Kill()
			running = []*process.Process{second}
		}
		auditAtWork(t, w)
	}
	eventually(t, time.Minute, "all that was acknowledged is visible", running, everything)
	terminate(t, second)
	auditExact(t, w, exact(t, output(w), ledger))

	objects, err := filepath.Glob(filepath.Join(w.Bucket, "data", "*", "*.parquet"))
	if err != nil || len(objects) < 3 {
		t.Fatalf("%d objects, %v; want some to spoil", len(objects), err)
	}
	key := func(path string) string {
		relative, err := filepath.Rel(w.Bucket, path)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.ToSlash(relative)
	}
	removed, cut := objects[0], objects[1]
	foreign := filepath.Join(filepath.Dir(removed), "foreign.parquet")
	copied := filepath.Join(w.Bucket, "data", "dt=1970-01-01", filepath.Base(objects[2]))
	body, err := os.ReadFile(objects[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Remove(removed), os.Truncate(cut, 1000), os.WriteFile(foreign, []byte("PAR1"), 0o644),
		os.Mkdir(filepath.Dir(copied), 0o755), os.WriteFile(copied, body, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	differences, _ := audit(t, w, 1)
	spoilt := []string{"foreign " + key(foreign), "missing " + key(removed), "size " + key(cut), "unclaimed " + key(copied)}
	if !slices.Equal(differences, spoilt) {
		t.Errorf("the audit of a spoilt bucket tells of %v; want %v", differences, spoilt)
	}
}
