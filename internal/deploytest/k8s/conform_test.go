package k8s

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	_ "k8s.io/cli-runtime/pkg/genericiooptions" // so that its module is there, which has the API server's description beside its packages
)

// schemas writes what kubeconform validates by, a file for each kind, and gives its place for it: the API server's own description (OpenAPI 2) as
// JSON schemas, in which a field that is not described is a fault. kubeconform's own are on a host of its author's.
func schemas(t *testing.T) string {
	t.Helper()
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/cli-runtime").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(folder)), "artifacts", "openapi", "swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
	var api struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal(text, &api); err != nil {
		t.Fatal(err)
	}
	// The description is of an older release, which lacks these.
	for name, field := range map[string]string{
		"io.k8s.api.core.v1.TopologySpreadConstraint": "matchLabelKeys", "io.k8s.api.policy.v1.PodDisruptionBudgetSpec": "unhealthyPodEvictionPolicy",
	} {
		api.Definitions[name]["properties"].(map[string]any)[field] = map[string]any{}
	}
	number := []any{map[string]any{"type": "string"}, map[string]any{"type": "number"}}
	for name, d := range api.Definitions {
		switch {
		case strings.HasSuffix(name, ".IntOrString"), strings.HasSuffix(name, ".Quantity"): // texts there, and written as numbers, too
			api.Definitions[name] = map[string]any{"oneOf": number}
		case d["properties"] != nil:
			d["additionalProperties"] = false
		}
	}
	dir := t.TempDir()
	write := func(name string, content any) {
		text, err := json.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".json"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("all", api)
	for name, d := range api.Definitions {
		about, _ := json.Marshal(d["x-kubernetes-group-version-kind"])
		var kinds []struct{ Group, Version, Kind string }
		if json.Unmarshal(about, &kinds) != nil || len(kinds) != 1 {
			continue // a part of objects, or of all groups
		}
		group, _, _ := strings.Cut(kinds[0].Group, ".")
		parts := slices.DeleteFunc([]string{strings.ToLower(kinds[0].Kind), group, kinds[0].Version}, func(s string) bool { return s == "" })
		write(strings.Join(parts, "-"), map[string]any{"$ref": "all.json#/definitions/" + name})
	}
	return filepath.Join(dir, "{{.ResourceKind}}{{.KindSuffix}}.json")
}

// kubeconform finds nothing in what the chart makes with few and with all values, and finds what was put there.
func TestKubeconform(t *testing.T) {
	v, err := validator.New([]string{schemas(t)}, validator.Opts{Strict: true, SkipKinds: map[string]struct{}{"PodMonitor": {}, "ScaledObject": {}}})
	if err != nil {
		t.Fatal(err)
	}
	faults := func(text string) (kinds map[string]bool, faults []string) {
		kinds = map[string]bool{}
		for _, r := range v.Validate("chart", io.NopCloser(strings.NewReader(text))) {
			signature, _ := r.Resource.Signature()
			switch r.Status {
			case validator.Valid:
				kinds[signature.Kind] = true
			case validator.Invalid, validator.Error:
				faults = append(faults, fmt.Sprintf("%s: %v %v", signature.Kind, r.Err, r.ValidationErrors))
			}
		}
		return kinds, faults
	}
	for file, wanted := range map[string]string{
		required(): "ConfigMap Deployment NetworkPolicy PodDisruptionBudget ServiceAccount",
		full():     "ConfigMap Deployment NetworkPolicy PodDisruptionBudget Service ServiceAccount",
	} {
		text, err := template(chartFolder, "orders", values(t, file))
		if err != nil {
			t.Fatal(err)
		}
		kinds, found := faults(text)
		if got := strings.Join(slices.Sorted(maps.Keys(kinds)), " "); got != wanted {
			t.Errorf("%s: %s were validated; want %s", file, got, wanted)
		}
		for _, fault := range found {
			t.Errorf("%s: %s", file, fault)
		}
	}
	whole, err := template(chartFolder, "orders", values(t, full()))
	if err != nil {
		t.Fatal(err)
	}
	for _, planted := range [][2]string{
		{"terminationGracePeriodSeconds:", "terminationGracePeriod:"}, {"maxUnavailable:", "mostUnavailable:"}, {"podSelector:", "podSelectors:"},
		{"containerPort: ", "containerPort: port"}, {"automountServiceAccountToken: ", "automountServiceAccountToken: yes-"},
	} {
		broken := strings.Replace(whole, planted[0], planted[1], 1)
		if broken == whole {
			t.Errorf("the chart makes no %q: the test is out of date", planted[0])
		} else if _, found := faults(broken); len(found) == 0 {
			t.Errorf("%q was not found", planted[1])
		}
	}
}
