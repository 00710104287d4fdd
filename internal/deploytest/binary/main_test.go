// Package binary looks at what the service's binary is made of: the licences of its parts, which it carries and prints, and its SBOM.
//
// It is a module of its own, so that the service depends on nothing that is for this alone:
//
//	cd internal/deploytest/binary && GOWORK=off go test ./...
package binary

import (
	"bytes"
	"debug/buildinfo"
	"flag"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	root = "../../.."
	own  = "github.com/sluice-etl/sluice" // the path of the service's module
)

var update = flag.Bool("update", false, "write the licences and their table anew")

// sluice is the binary, built as that of the image, and built what it says of itself.
var (
	sluice string
	built  *buildinfo.BuildInfo
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "sluice-binary-")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(folder)
	sluice = filepath.Join(folder, "sluice")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", sluice, "./cmd/sluice")
	build.Dir = root
	build.Env = append(build.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		log.Printf("%v: %v\n%s", build, err, out)
		return 1
	}
	if built, err = buildinfo.ReadFile(sluice); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

// output is what a command writes. It fails the test with all that it says unless it ends well.
func output(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", command, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
