package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// binaries is the folder of the commands under test.
var binaries string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	for _, c := range []struct{ folder, work, target string }{
		{"../..", "off", "./cmd/sluice"}, // as the image is built
		{"../..", "", "./cmd/sluice-local"},
		{".", "off", "./cmd/s3server"},
	} {
		build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), c.target)
		build.Dir = c.folder
		build.Env = append(os.Environ(), "GOWORK="+c.work)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build %s: %v\n%s", c.target, err, out)
			return 1
		}
	}
	return m.Run()
}

// seed gives the seed of a test's random choices, and prints it.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := uint64(time.Now().UnixNano())
	if text := os.Getenv("SLUICE_E2E_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SLUICE_E2E_SEED: %v", err)
		}
	}
	t.Logf("run again with SLUICE_E2E_SEED=%d", s)
	return s
}
