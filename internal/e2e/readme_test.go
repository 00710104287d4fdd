package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// TestReadme walks through the README in an empty folder, into which the project is cloned: what it has a reader type is typed as it
// stands, in its order, with endpoints in the environment that lead elsewhere than to AWS. Its tests are run by .ci/run.
func TestReadme(t *testing.T) {
	t.Parallel()
	var order []string
	all, err := blocks()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if b.page == "README.md" {
			first, _, _ := strings.Cut(b.text, "\n")
			order = append(order, first)
		}
	}
	if want := []string{"go run ./cmd/sluice-local", "go test ./... ./cmd/sluice-local/...", "go build ./cmd/sluice"}; !slices.Equal(order, want) {
		t.Fatalf("the README's commands begin with %q; this test knows %q", order, want)
	}

	folder := filepath.Join(t.TempDir(), "sluice")
	if text, err := exec.Command("git", "clone", "--quiet", "../..", folder).CombinedOutput(); err != nil {
		t.Fatalf("clone the project: %v: %s", err, text)
	}
	in := typist{folder, []string{"SLUICE_HTTP_ADDR=" + address(t)}} // who else has the README's own on this machine is not asked
	for _, name := range []string{"HOME", "GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN"} {
		if value, ok := os.LookupEnv(name); ok {
			in.env = append(in.env, name+"="+value)
		}
	}
	local := find(t, "README.md", order[0])
	has(t, local, in.run(t, local), " rows and 0 rejects, in ", "  KEY              FLAGGED ROWS  HIGHEST SCORE  DETECTOR\n  "+abnormal+"  ")

	y := newYard(t, 4)
	records := make([]world.Record, world.BatchSize)
	for i := range records {
		payload := fmt.Appendf(nil, `{"sourceIp":"10.0.%d.%d","amount":%d}`, i%7, i%100, i)
		records[i] = world.Record{Key: fmt.Sprint(i), Data: payload, Payloads: [][]byte{payload}}
	}
	put(t, y.producer, records)
	in.env = slices.Concat(in.env, world.Environment(y.KinesisURL, y.DynamoURL, y.S3URL), []string{"SLUICE_FLUSH_INTERVAL=1s"})
	in.serve(t, find(t, "README.md", order[2]), "all records are visible", func() bool { return y.count(t) >= y.ledger.Len() })
	exact(t, output(y.World), y.ledger)
}
