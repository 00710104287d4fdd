package k8s

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/strvals"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

const chartFolder = "../../../deploy/helm/sluice"

// values are those of a file, changed as --set does it.
func values(t *testing.T, file string, set ...string) chartutil.Values {
	t.Helper()
	read, err := chartutil.ReadValuesFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range set {
		if err := strvals.ParseInto(change, read); err != nil {
			t.Fatalf("--set %s: %v", change, err)
		}
	}
	return read
}

func required() string { return filepath.Join(chartFolder, "ci", "required-values.yaml") }
func full() string     { return filepath.Join(chartFolder, "ci", "full-values.yaml") }

// render decodes what helm template makes.
func render(folder, release string, values chartutil.Values) (objects, error) {
	text, err := template(folder, release, values)
	if err != nil {
		return nil, err
	}
	return decode(text)
}

// template is helm template.
func template(folder, release string, values chartutil.Values) (string, error) {
	chart, err := loader.Load(folder)
	if err != nil {
		return "", err
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: "ingest", IsInstall: true, Revision: 1}
	all, err := chartutil.ToRenderValues(chart, values, options, nil)
	if err != nil {
		return "", err
	}
	texts, err := engine.Render(chart, all)
	if err != nil {
		return "", err
	}
	maps.DeleteFunc(texts, func(name, _ string) bool { return filepath.Ext(name) != ".yaml" })
	return strings.Join(slices.Collect(maps.Values(texts)), "\n---\n"), nil
}

// strictly is helm lint --strict, for which a warning is a fault.
func strictly(values chartutil.Values) (faults []error) {
	for _, m := range lint.All(chartFolder, values, "ingest", true).Messages {
		if m.Severity >= support.WarningSev {
			faults = append(faults, m)
		}
	}
	return faults
}

// The chart is in order for helm lint --strict, also without any values, and makes what Kubernetes takes.
func TestChart(t *testing.T) {
	if faults := strictly(chartutil.Values{}); faults != nil {
		t.Errorf("without values: %v", errors.Join(faults...))
	}
	for file, wanted := range map[string]string{
		required(): "ConfigMap Deployment NetworkPolicy PodDisruptionBudget ServiceAccount",
		full():     "ConfigMap Deployment NetworkPolicy PodDisruptionBudget PodMonitor ScaledObject Service ServiceAccount",
	} {
		if faults := strictly(values(t, file)); faults != nil {
			t.Errorf("%s: %v", file, errors.Join(faults...))
		}
		made, err := render(chartFolder, "orders", values(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if got := strings.Join(slices.Sorted(maps.Keys(made)), " "); got != wanted {
			t.Errorf("%s makes %s, want %s", file, got, wanted)
		}
		for kind, o := range made {
			if o.GetName() != "orders-sluice" {
				t.Errorf("%s: the %s is called %s", file, kind, o.GetName())
			}
		}
		connected(t, made)
		hardened(t, get[*appsv1.Deployment](t, made).Spec.Template.Spec)
	}
}

// connected holds the objects together: what one of them names is there in the other.
func connected(t *testing.T, made objects) {
	t.Helper()
	deployment := get[*appsv1.Deployment](t, made)
	pod := deployment.Spec.Template
	selectors := []map[string]string{
		deployment.Spec.Selector.MatchLabels,
		get[*policyv1.PodDisruptionBudget](t, made).Spec.Selector.MatchLabels,
		get[*networkingv1.NetworkPolicy](t, made).Spec.PodSelector.MatchLabels,
	}
	for _, spread := range pod.Spec.TopologySpreadConstraints {
		selectors = append(selectors, spread.LabelSelector.MatchLabels)
	}
	container := pod.Spec.Containers[0]
	ports := map[string]bool{}
	for _, p := range container.Ports {
		ports[p.Name] = true
	}
	used := []string{container.LivenessProbe.HTTPGet.Port.String(), container.ReadinessProbe.HTTPGet.Port.String()}
	for _, rule := range get[*networkingv1.NetworkPolicy](t, made).Spec.Ingress {
		used = append(used, rule.Ports[0].Port.String())
	}
	if made["Service"] != nil {
		service := get[*corev1.Service](t, made).Spec
		selectors = append(selectors, service.Selector)
		used = append(used, service.Ports[0].TargetPort.String())
	}
	if made["PodMonitor"] != nil {
		monitor := get[*monitoringv1.PodMonitor](t, made).Spec
		selectors = append(selectors, monitor.Selector.MatchLabels)
		used = append(used, *monitor.PodMetricsEndpoints[0].Port)
	}
	for _, s := range selectors {
		if len(s) == 0 || !labels.SelectorFromSet(s).Matches(labels.Set(pod.Labels)) {
			t.Errorf("the selector %v does not find pods of the labels %v", s, pod.Labels)
		}
	}
	for _, port := range used {
		if !ports[port] {
			t.Errorf("the port %q is used, and the container has %v", port, ports)
		}
	}
	if got, want := pod.Spec.ServiceAccountName, get[*corev1.ServiceAccount](t, made).Name; got != want {
		t.Errorf("pods run as %s, and the account is %s", got, want)
	}
	if got, want := container.EnvFrom[0].ConfigMapRef.Name, get[*corev1.ConfigMap](t, made).Name; got != want {
		t.Errorf("variables come from %s, and the map is %s", got, want)
	}
	if made["ScaledObject"] != nil {
		scaled := get[*scaledObject](t, made).Spec
		if scaled.ScaleTargetRef.Name != deployment.Name || deployment.Spec.Replicas != nil {
			t.Errorf("KEDA scales %s, and the deployment %s asks for %v pods", scaled.ScaleTargetRef.Name, deployment.Name, deployment.Spec.Replicas)
		}
		if *scaled.MaxReplicaCount != 8 || *scaled.MinReplicaCount != 2 {
			t.Errorf("there are %d to %d pods for 8 shards, want 2 to 8", *scaled.MinReplicaCount, *scaled.MaxReplicaCount)
		}
	}
}

// hardened holds a pod to what the restricted standard of Kubernetes asks for, and to what the service needs.
func hardened(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	c, p := pod.Containers[0].SecurityContext, pod.SecurityContext
	for what, holds := range map[string]bool{
		"not root":                    *p.RunAsNonRoot && *p.RunAsUser == 65532,
		"the runtime's seccomp":       p.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"no further privileges":       !*c.AllowPrivilegeEscalation,
		"a read-only root":            *c.ReadOnlyRootFilesystem,
		"no capabilities":             slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) && c.Capabilities.Add == nil,
		"no token of Kubernetes":      !*pod.AutomountServiceAccountToken,
		"no links to services":        !*pod.EnableServiceLinks,
		"memory as much as asked for": pod.Containers[0].Resources.Limits.Memory().Equal(*pod.Containers[0].Resources.Requests.Memory()),
		"time to commit":              *pod.TerminationGracePeriodSeconds > 20,
	} {
		if !holds {
			t.Errorf("the pod lacks: %s", what)
		}
	}
}

// What the values say of settings reaches the service as variables, and means the same as in its file.
func TestSettingsReachTheService(t *testing.T) {
	folder := t.TempDir()
	keys := filepath.Join(folder, "keys")
	if err := os.WriteFile(keys, []byte("SHOP0001 0pCi7T1bXfZk0xW2fMfQ4Ue0m9n8b7v6c5x4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := values(t, full(), "config.intake_keys_file="+keys, "config.create_table=false", "config.max_skew=0",
		"config.anomaly.detectors.source.baseline=both", "config.anomaly.detectors.source.threshold=0.5")
	config := v["config"].(map[string]any)
	delete(config, "enrich") // which needs a database
	delete(config, "geoip_database")
	config["prefix"] = "a b='\"\\!{timestamp:yyyy}/€/"
	config["timezone"], config["http_addr"] = "Europe/Berlin", ":9464"
	made, err := render(chartFolder, "sluice", v)
	if err != nil {
		t.Fatal(err)
	}
	variables := get[*corev1.ConfigMap](t, made).Data
	// Helm reads numbers as floats, and a million is written 1e+06 unless one takes care.
	if got := variables["SLUICE_ANOMALY_SOURCE_MAX_KEYS"] + " " + variables["SLUICE_FLUSH_BYTES"]; got != "1000000 67108864" {
		t.Errorf("the numbers are %s", got)
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "sluice.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "e+06", "000000")), 0o600); err != nil {
		t.Fatal(err)
	}
	want, status := sluice(t, nil, "config", "--env", "--config", file)
	if status != 0 {
		t.Fatal(want)
	}
	got, status := sluice(t, variables, "config", "--env")
	if status != 0 || got != want {
		t.Errorf("the pod would have, status %d:\n%s\nwant:\n%s", status, got, want)
	}
	if strings.Count(got, "\n") < len(variables) {
		t.Errorf("of %d variables the service shows only:\n%s", len(variables), got)
	}
}

// The least that one gives is a valid configuration of the service.
func TestRequiredValuesAreValid(t *testing.T) {
	made, err := render(chartFolder, "sluice", values(t, required()))
	if err != nil {
		t.Fatal(err)
	}
	if out, status := sluice(t, get[*corev1.ConfigMap](t, made).Data, "validate"); status != 0 {
		t.Error(out)
	}
}

// Pods are made anew when a setting changes, and only then.
func TestSettingsRollPods(t *testing.T) {
	checksum := func(set ...string) string {
		made, err := render(chartFolder, "sluice", values(t, full(), set...))
		if err != nil {
			t.Fatal(err)
		}
		return get[*appsv1.Deployment](t, made).Spec.Template.Annotations["checksum/config"]
	}
	if a, b := checksum(), checksum("config.anomaly.detectors.source.threshold=0.99"); a == b || a == "" {
		t.Errorf("another threshold leaves the checksum at %q", a)
	}
	if a, b := checksum(), checksum("autoscaling.shards=9"); a != b {
		t.Errorf("another number of shards changes the pods")
	}
}

// Faulty values are refused, with words that say which.
func TestFaultyValues(t *testing.T) {
	for set, want := range map[string]string{
		"replica=3":                                "additional properties 'replica' not allowed",
		"replicas=two":                             "got string, want integer",
		"image.repo=sluice":                        "additional properties 'repo' not allowed",
		"config.flush_byte=8MiB":                   "additional properties 'flush_byte' not allowed",
		"config.create_table=yes":                  "got string, want boolean",
		"config.stream=":                           "config.stream is required",
		"config.bucket=":                           "config.bucket is required",
		"config.worker_id=one":                     "several pods cannot have one name",
		"config.http_addr=127.0.0.1:9464":          "want :PORT",
		"config.http_addr=off":                     "want :PORT",
		"config.shutdown_timeout=30s":              "the pod would be killed while it commits; want at least 35",
		"config.shutdown_timeout=1m":               "want at least 65",
		"config.shutdown_timeout=soon":             `invalid duration "soon"`,
		"terminationGracePeriodSeconds=20":         "want at least 25",
		"config.anomaly.detectors.a.key=ip":        "missing property 'kind'",
		"config.anomaly.detectors.A.kind=rate":     "invalid propertyName 'A'",
		"config.anomaly.detectors.a.treshold=0.9":  "additional properties 'treshold' not allowed",
		"config.anomaly.detectors.a.threshold=big": "does not match pattern",
		"secretEnv.alert_hook.name=a":              "secretEnv",
		"secretEnv.kms_key.name=a":                 "missing property 'key'",
		"files.a.secrets=a":                        "oneOf",
		"serviceAccount.roleArn=sluice":            "does not match pattern",
		"autoscaling.enabled=true":                 "autoscaling.shards is required",
		"autoscaling.enabled=true,autoscaling.shards=2,autoscaling.maxReplicas=3": "at most the 2 shards",
		"autoscaling.enabled=true,autoscaling.shards=2":                           "serverAddress is required",
	} {
		_, err := render(chartFolder, "sluice", values(t, required(), set))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v, want %q", set, err, want)
		}
	}
	// The schema is looked at by helm lint, too.
	if faults := strictly(values(t, required(), "replica=3")); len(faults) == 0 {
		t.Error("helm lint finds nothing wrong with the value replica")
	}
}

// A field that an editor misspelt in a template is found: the other tests would not pass over it.
func TestMisspeltFields(t *testing.T) {
	for template, misspelt := range map[string]string{
		"deployment.yaml":     "terminationGracePeriodSeconds",
		"networkpolicy.yaml":  "policyTypes",
		"podmonitor.yaml":     "podMetricsEndpoints",
		"scaledobject.yaml":   "maxReplicaCount",
		"serviceaccount.yaml": "automountServiceAccountToken",
	} {
		folder := t.TempDir()
		if err := os.CopyFS(folder, os.DirFS(chartFolder)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, "templates", template)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wrong := misspelt[:len(misspelt)-2] + misspelt[len(misspelt)-1:]
		planted := strings.Replace(string(text), misspelt+":", wrong+":", 1)
		if planted == string(text) {
			t.Fatalf("%s has no field %s", template, misspelt)
		}
		if err := os.WriteFile(file, []byte(planted), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := render(folder, "sluice", values(t, full())); err == nil || !strings.Contains(err.Error(), `unknown field "`) || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s with %s: %v", template, wrong, err)
		}
	}
}

// The lag that KEDA asks for is one that the service exports.
func TestScalingAsksForAMetric(t *testing.T) {
	made, err := render(chartFolder, "sluice", values(t, full()))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../ops/shards.go")
	if err != nil {
		t.Fatal(err)
	}
	trigger := get[*scaledObject](t, made).Spec.Triggers[0]
	const want = `max(sluice_lag_seconds{namespace="ingest",pod=~"sluice-[0-9a-z]+-[0-9a-z]+"})`
	if trigger.Metadata["query"] != want || !strings.Contains(string(source), `"sluice_lag_seconds"`) {
		t.Errorf("KEDA asks for %s, want %s", trigger.Metadata["query"], want)
	}
	if trigger.Metadata["threshold"] != "30" || trigger.MetricType != "Value" {
		t.Errorf("the target is %s as %s, want 30 as Value", trigger.Metadata["threshold"], trigger.MetricType)
	}
}

// A duration is read as Go does it, in all its forms.
func TestGracePeriod(t *testing.T) {
	for _, timeout := range []string{"1s", "1500ms", "1m", "1m30s", "0.5h", "1h0m1s"} {
		d, err := time.ParseDuration(timeout)
		if err != nil {
			t.Fatal(err)
		}
		v := values(t, required(), "config.shutdown_timeout="+timeout)
		v["terminationGracePeriodSeconds"] = int(d/time.Second) + 1
		if _, err := render(chartFolder, "sluice", v); err != nil {
			t.Errorf("%s of %d s: %v", timeout, v["terminationGracePeriodSeconds"], err)
		}
		v["terminationGracePeriodSeconds"] = int(d / time.Second)
		if _, err := render(chartFolder, "sluice", v); err == nil {
			t.Errorf("%s of %d s is taken", timeout, v["terminationGracePeriodSeconds"])
		}
	}
}
