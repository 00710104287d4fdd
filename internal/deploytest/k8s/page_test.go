package k8s

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/strvals"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

var block = regexp.MustCompile("(?s)```(yaml|sh)\n(.*?)```")

// TestPage runs docs/deploy-kubernetes.md as far as it can be done without a cluster: helm's commands are carried out as helm lint and helm
// template, kustomize's as a build, and of the others it is held that what they name is made by the chart.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../../../docs/deploy-kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	var files []string // of values, in the order of the page
	var overlay string
	var commands [][]string
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		switch {
		case b[1] == "sh":
			for line := range strings.Lines(strings.ReplaceAll(b[2], "\\\n", " ")) {
				if words := strings.Fields(line); len(words) > 0 {
					commands = append(commands, words)
				}
			}
		case strings.Contains(b[2], "kind: Kustomization"):
			overlay = b[2]
		default:
			files = append(files, b[2])
		}
	}
	if len(files) != 2 || overlay == "" || len(commands) < 10 {
		t.Fatalf("the page has %d files of values, %d commands, and the overlay %q", len(files), len(commands), overlay)
	}
	orders := chartutil.Values{}
	if err := yaml.UnmarshalStrict([]byte(files[0]), &orders); err != nil {
		t.Fatal(err)
	}
	made, err := render(chartFolder, "sluice", orders)
	if err != nil {
		t.Fatal(err)
	}
	if out, status := sluice(t, get[*corev1.ConfigMap](t, made).Data, "validate"); status != 0 {
		t.Errorf("of the page's values the service says: %s", out)
	}
	if _, err := render(chartFolder, "sluice", with(t, orders, files[1])); err != nil {
		t.Errorf("the page's secrets and files: %v", err)
	}
	for _, command := range commands {
		switch command[0] {
		case "helm":
			helm(t, command[1:], orders)
		case "kubectl":
			kubectl(t, command[1:], orders, overlay)
		case "aws":
			if i := slices.Index(command, "--service-account"); i < 0 || command[i+1] != get[*corev1.ServiceAccount](t, made).Name {
				t.Errorf("%v does not name the account of the chart", command)
			}
		default:
			t.Errorf("what %v does is not known here", command)
		}
	}
}

// with is a copy of the values, and over it what a further file says.
func with(t *testing.T, orders chartutil.Values, file string) chartutil.Values {
	t.Helper()
	further := chartutil.Values{}
	if err := yaml.UnmarshalStrict([]byte(file), &further); err != nil {
		t.Fatal(err)
	}
	text, err := orders.YAML()
	if err != nil {
		t.Fatal(err)
	}
	copied := chartutil.Values{}
	if err := yaml.Unmarshal([]byte(text), &copied); err != nil {
		t.Fatal(err)
	}
	return chartutil.CoalesceTables(further, copied)
}

// helm carries out one of helm's commands with the page's values.
func helm(t *testing.T, args []string, orders chartutil.Values) {
	t.Helper()
	set := flag.NewFlagSet(args[0], flag.ContinueOnError)
	set.SetOutput(io.Discard)
	strict := set.Bool("strict", false, "")
	install := set.Bool("install", false, "")
	set.Bool("create-namespace", false, "")
	namespace := set.String("namespace", "", "")
	file := set.String("values", "", "")
	values := with(t, orders, "")
	set.Func("set", "", func(change string) error { return strvals.ParseInto(change, values) })
	var names []string
	for rest := args[1:]; ; rest = set.Args()[1:] { // helm takes flags behind arguments, too
		if err := set.Parse(rest); err != nil {
			t.Errorf("helm %v: %v", args, err)
			return
		}
		if set.NArg() == 0 {
			break
		}
		names = append(names, set.Arg(0))
	}
	const folder = "deploy/helm/sluice"
	switch {
	case args[0] == "lint":
		if faults := strictly(values); !*strict || len(faults) > 0 || !slices.Equal(names, []string{folder}) {
			t.Errorf("helm %v: %v", args, faults)
		}
		return
	case *namespace != "ingest":
		t.Errorf("helm %v: the page's namespace is ingest", args)
	case args[0] == "rollback" && slices.Equal(names, []string{"sluice"}):
		return
	case *install && args[0] != "upgrade", args[0] != "template" && args[0] != "upgrade",
		!slices.Equal(names, []string{"sluice", folder}), *file != "orders.yaml":
		t.Errorf("helm %v is not what this test knows", args)
		return
	}
	if _, err := render(filepath.Join("../../..", folder), "sluice", values); err != nil {
		t.Errorf("helm %v: %v", args, err)
	}
}

// kubectl looks for what a command of kubectl names.
func kubectl(t *testing.T, args []string, orders chartutil.Values, overlay string) {
	t.Helper()
	command := strings.Join(args, " ")
	if command == "apply --kustomize overlay" {
		made, err := overlaid(t, overlay)
		if err != nil {
			t.Errorf("kubectl %s: %v", command, err)
			return
		}
		if out, status := sluice(t, get[*corev1.ConfigMap](t, made).Data, "validate"); status != 0 {
			t.Errorf("of the page's overlay the service says: %s", out)
		}
		account := get[*corev1.ServiceAccount](t, made)
		if account.Namespace != "ingest" || account.Annotations["eks.amazonaws.com/role-arn"] == "" {
			t.Errorf("the page's overlay makes the account %v", account)
		}
		return
	}
	made, err := render(chartFolder, "sluice", with(t, orders, "{podMonitor: {enabled: true}, autoscaling: {enabled: true, shards: 1, prometheus: {serverAddress: http://a}}}"))
	if err != nil {
		t.Fatal(err)
	}
	known := false
	for kind, o := range made {
		known = known || slices.Contains(args, strings.ToLower(kind)+"/"+o.GetName())
		for name, value := range o.GetLabels() {
			known = known || slices.Contains(args, name+"="+value)
		}
	}
	if !known || !slices.Equal(args[:2], []string{"--namespace", "ingest"}) {
		t.Errorf("kubectl %s names nothing that the chart makes", command)
	}
}
