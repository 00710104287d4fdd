package k8s

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const baseFolder = "../../../deploy/kustomize/base"

// kustomize is kubectl kustomize.
func kustomize(folder string) (objects, error) {
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	text, err := made.AsYaml()
	if err != nil {
		return nil, err
	}
	return decode(string(text))
}

// overlaid is what an overlay makes, which lies in a folder beside a copy of deploy, as the page has it.
func overlaid(t *testing.T, overlay string) (objects, error) {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(filepath.Join(folder, "deploy", "kustomize", "base"), os.DirFS(baseFolder)); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(folder, "overlay")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(own, "kustomization.yaml"), []byte(overlay), 0o600); err != nil {
		t.Fatal(err)
	}
	return kustomize(own)
}

// The base is what the chart makes by default, but for its labels.
func TestBaseIsTheChart(t *testing.T) {
	base, err := kustomize(baseFolder)
	if err != nil {
		t.Fatal(err)
	}
	chart, err := render(chartFolder, "sluice", values(t, required()))
	if err != nil {
		t.Fatal(err)
	}
	connected(t, base)
	if len(base) != len(chart) {
		t.Errorf("the base has %d objects, and the chart %d", len(base), len(chart))
	}
	for kind := range chart {
		if base[kind] == nil {
			t.Errorf("the base has no %s", kind)
			continue
		}
		got, want := plain(t, base[kind]), plain(t, chart[kind])
		if !reflect.DeepEqual(got, want) {
			g, _ := yaml.Marshal(got)
			w, _ := yaml.Marshal(want)
			t.Errorf("the base has the %s\n%s\nand the chart\n%s", kind, g, w)
		}
	}
}

// plain leaves out of an object what is of Helm or of kustomize: labels, the checksum, and the hash in a name.
func plain(t *testing.T, o metav1.Object) metav1.Object {
	t.Helper()
	o.SetLabels(nil)
	o.SetName("")
	switch o := o.(type) {
	case *appsv1.Deployment:
		o.Spec.Selector, o.Spec.Template.Labels, o.Spec.Template.Annotations = nil, nil, nil
		o.Spec.Template.Spec.Containers[0].EnvFrom = nil
		for i := range o.Spec.Template.Spec.TopologySpreadConstraints {
			o.Spec.Template.Spec.TopologySpreadConstraints[i].LabelSelector = nil
		}
	case *policyv1.PodDisruptionBudget:
		o.Spec.Selector = nil
	case *networkingv1.NetworkPolicy:
		o.Spec.PodSelector = metav1.LabelSelector{}
	case *corev1.ConfigMap:
		delete(o.Data, "SLUICE_STREAM") // of the overlay
		delete(o.Data, "SLUICE_BUCKET")
	case *corev1.ServiceAccount:
	default:
		t.Fatalf("what may differ in a %T is not told here", o)
	}
	return o
}

// In an overlay no schema finds a misspelt setting. The service does, and the nearest name.
func TestMisspeltVariable(t *testing.T) {
	made, err := overlaid(t, `
resources: [../deploy/kustomize/base]
configMapGenerator:
  - name: sluice
    behavior: merge
    literals: [SLUICE_STREAM=orders, SLUICE_BUCKET=lake, SLUICE_FLUSH_BYTE=8MiB]
`)
	if err != nil {
		t.Fatal(err)
	}
	out, status := sluice(t, get[*corev1.ConfigMap](t, made).Data, "validate")
	if status != 78 || !strings.Contains(out, "SLUICE_FLUSH_BYTE") || !strings.Contains(out, "the nearest is SLUICE_FLUSH_BYTES") {
		t.Errorf("status %d: %s", status, out)
	}
}
