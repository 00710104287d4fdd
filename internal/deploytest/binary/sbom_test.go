package binary

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema is CycloneDX's own, of the version that a document says it has: the folder comes with the module that reads such documents.
func schema(t *testing.T, version string) *jsonschema.Schema {
	t.Helper()
	folder := strings.TrimSpace(output(t, exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))) + "/schema/"
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{"bom-" + version: "bom-" + version + ".schema.json", "spdx": "spdx.schema.json", "jsf-0.82": "jsf-0.82.schemax.json"} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(read(t, folder+file)))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name+".schema.json", document); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	compiled, err := compiler.Compile("http://cyclonedx.org/schema/bom-" + version + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// The page's command makes a document that is one of CycloneDX, and names what the linker has put into the binary.
func TestSBOM(t *testing.T) {
	command := regexp.MustCompile(`(?m)^go run github\.com/CycloneDX/.*$`).FindString(read(t, page))
	if command == "" {
		t.Fatalf("%s has no command that makes an SBOM", page)
	}
	folder := t.TempDir()
	if err := os.Symlink(sluice, filepath.Join(folder, "sluice")); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-ec", command)
	shell.Dir = folder
	output(t, shell)
	text := read(t, filepath.Join(folder, "sluice.cdx.json"))

	var bom cyclonedx.BOM
	if err := json.Unmarshal([]byte(text), &bom); err != nil {
		t.Fatal(err)
	}
	valid := schema(t, bom.SpecVersion.String())
	check := func(text string) error {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return valid.Validate(document)
	}
	if err := check(text); err != nil {
		t.Errorf("by CycloneDX's schema: %v", err)
	}
	for old, new := range map[string]string{`"type": "library"`: `"type": "libary"`, `"bomFormat"`: `"format"`, `"alg": "SHA-256"`: `"alg": "SHA-1024"`} {
		if planted := strings.Replace(text, old, new, 1); planted == text || check(planted) == nil {
			t.Errorf("the schema takes %s for %s: the check above says nothing", new, old)
		}
	}

	if got := bom.Metadata.Component.Name; got != own {
		t.Errorf("it is of %s; want %s", got, own)
	}
	want := []string{"std " + built.GoVersion}
	for _, dep := range built.Deps {
		want = append(want, dep.Path+" "+dep.Version)
	}
	var got []string
	for _, component := range *bom.Components {
		got = append(got, component.Name+" "+component.Version)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("its components are\n%q\nand the linker names\n%q", got, want)
	}
}
