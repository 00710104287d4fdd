// Package layout holds the rules of which package may import which, and the page of faults against the tests.
package layout

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluice-etl/sluice"

// imports are those of a package, as the go command lists them; tests count as part of their package.
type imports struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func list(t *testing.T, patterns ...string) []imports {
	t.Helper()
	list := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps"}, patterns...)...)
	list.Dir = "../.."
	list.Env = append(list.Environ(), "GOWORK=off") // as the image is built
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []imports
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p imports
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// in tells whether a package is one of the module's folders, or below one.
func in(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		return path == module+"/"+folder || strings.HasPrefix(path, module+"/"+folder+"/")
	})
}

// impure are packages by which code reaches beyond its arguments.
var impure = []string{"context", "crypto/rand", "io", "log/slog", "math/rand", "math/rand/v2", "net", "net/http", "os", "sync", "sync/atomic"}

func TestImports(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 10 {
		t.Fatalf("only %d packages were found", len(packages))
	}
	stages := []string{"consumer", "transform", "anomaly", "sink"}
	met := map[string]bool{}
	for _, p := range packages {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			// The stages meet in internal/pipeline alone.
			for _, stage := range stages {
				if in(p.ImportPath, stage) && slices.ContainsFunc(stages, func(other string) bool { return other != stage && in(path, other) }) {
					t.Errorf("%s imports %s: stages do not know each other", p.ImportPath, path)
				}
				if in(p.ImportPath, stage) && in(path, "internal/pipeline", "internal/service", "internal/config", "internal/ops") {
					t.Errorf("%s imports %s: a stage does not know who uses it", p.ImportPath, path)
				}
				met[stage] = met[stage] || in(p.ImportPath, "internal/pipeline") && in(path, stage)
			}
			// What checks signatures is held against what AWS signs with.
			signer := in(p.ImportPath, "internal/intake") && !slices.Contains(p.Imports, path)
			if strings.HasPrefix(path, "github.com/aws/") && !signer && !in(p.ImportPath, "consumer", "sink/s3", "sink/catalog", "internal/config", "internal/alert/sns") {
				t.Errorf("%s imports %s: the AWS SDK stays behind consumer, sink/s3, sink/catalog, internal/alert/sns and internal/config", p.ImportPath, path)
			}
			if strings.HasPrefix(path, "gonum.org/") && p.ImportPath != module+"/internal/picture" {
				t.Errorf("%s imports %s: what draws stays in internal/picture", p.ImportPath, path)
			}
			if strings.HasPrefix(path, "github.com/vmware/") && p.ImportPath != module+"/consumer" {
				t.Errorf("%s imports %s: the Kinesis Client Library stays behind consumer's Runner", p.ImportPath, path)
			}
		}
		for folder, rule := range map[string]string{"anomaly": "detectors are pure", "consumer/protocol": "it decides, and others act"} {
			for _, path := range p.Imports {
				if p.ImportPath == module+"/"+folder && slices.Contains(impure, path) {
					t.Errorf("%s imports %s: %s", folder, path, rule)
				}
			}
		}
	}
	for _, stage := range stages {
		if !met[stage] {
			t.Errorf("internal/pipeline does not import %s: this test looks for the wrong names", stage)
		}
	}
}

// The production image carries no stand-in.
func TestNoStandIns(t *testing.T) {
	for _, p := range list(t, "./cmd/sluice") {
		for _, path := range p.Deps {
			if in(path, "consumer/kcltest", "sink/catalog/gluetest", "cmd/sluice-local") || strings.Contains(path, "bbolt") || strings.Contains(path, "versitygw") {
				t.Errorf("cmd/sluice depends on %s", path)
			}
		}
	}
}
