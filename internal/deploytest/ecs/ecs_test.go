// Package ecs holds the CloudFormation template of deploy/ecs against AWS's validator, the service's settings, and the
// commands of its page.
package ecs

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	file = "../../../deploy/ecs/sluice.yaml"
	// env names the folder in which package.json's package is installed.
	env = "CFN_VALIDATE"
)

//go:embed validate.js
var script string

func template(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type finding struct {
	Rule, Severity, Entity, Message string
	Line                            int
}

func (f finding) String() string {
	return fmt.Sprintf("%s %s, line %d, %s: %s", f.Severity, f.Rule, f.Line, f.Entity, f.Message)
}

// validate gives what AWS's validator finds in each of the templates.
func validate(t *testing.T, templates ...string) [][]finding {
	t.Helper()
	folder := os.Getenv(env)
	if folder == "" {
		t.Skipf("%s names no installation of @aws/cloudformation-validate; .ci/run makes one and runs this", env)
	}
	args := []string{"-e", script, "--"}
	for i, text := range templates {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	node := exec.CommandContext(t.Context(), "node", args...)
	node.Dir = folder
	var stderr bytes.Buffer
	node.Stderr = &stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var all [][]finding
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Buffer(nil, 16<<20); lines.Scan(); {
		var report struct {
			Status   string
			Findings []finding
		}
		if err := json.Unmarshal(lines.Bytes(), &report); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if report.Status != "OK" {
			t.Fatalf("the validator did not look at everything: %s", report.Status)
		}
		all = append(all, report.Findings)
	}
	if err := lines.Err(); err != nil || len(all) != len(templates) {
		t.Fatalf("%d answers for %d templates, %v", len(all), len(templates), err)
	}
	return all
}

// The template has no finding, and each planted fault has one.
func TestTemplate(t *testing.T) {
	text := template(t)
	faults := []struct{ old, new string }{
		{"BillingMode: PAY_PER_REQUEST", "BillingMode: PAY_PER_REQEST"},
		{"StopTimeout: 120", "StopTimeouts: 120"},
		{"StopTimeout: 120", "StopTimeout: soon"},
		{"TaskRoleArn: !GetAtt TaskRole.Arn", "TaskRoleArn: !GetAtt TaskRole.Name"},
		{"Value: !Ref Timezone", "Value: !Ref Timezon"},
		{"AttributeDefinitions: [{AttributeName: leaseKey", "AttributeDefinitions: [{AttributeName: lease"},
		{"      MaxCapacity: !Ref MaxTasks\n", ""},
		{"DependsOn: ServicePolicy", "DependsOn: ServicePolicies"},
		{"DaysAfterInitiation: 30", "DaysAfterInitiations: 30"},
		{`{Cpu: "1024", Memory: "4096"`, `{Cpu: "1024", Memory: "512"`},
		{"    Type: AWS::Kinesis::Stream\n    Condition: MakesStream", "    Type: AWS::Kinesis::Stream\n    Condition: MakeStream"},
		{"  PrometheusWorkspaceId:\n    Type: String", "  PrometheusWorkspaceId:\n    Type: Text"},
	}
	templates := []string{text}
	for _, f := range faults {
		if strings.Count(text, f.old) != 1 {
			t.Fatalf("the template has %q %d times; this test changes it where it is once", f.old, strings.Count(text, f.old))
		}
		templates = append(templates, strings.Replace(text, f.old, f.new, 1))
	}
	findings := validate(t, templates...)
	for _, f := range findings[0] {
		t.Error(f)
	}
	for i, f := range faults {
		if len(findings[i+1]) <= len(findings[0]) {
			t.Errorf("%s instead of %s: nothing is found", f.new, f.old)
		}
	}
}

// parameters are those of the template; the value tells whether one must be given.
func parameters(t *testing.T) map[string]bool {
	t.Helper()
	var parsed struct {
		Parameters map[string]struct {
			Default any `yaml:"Default"`
		} `yaml:"Parameters"`
	}
	if err := yaml.Unmarshal([]byte(template(t)), &parsed); err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{}
	for name, p := range parsed.Parameters {
		needed[name] = p.Default == nil
	}
	if len(needed) < 10 {
		t.Fatalf("only %d parameters are found", len(needed))
	}
	return needed
}

// A container gets settings that there are, and each parameter leads somewhere.
func TestSettings(t *testing.T) {
	reference, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	text := template(t)
	names := regexp.MustCompile(`\{Name: ((?:SLUICE|OTEL)_[A-Z_]+),`).FindAllStringSubmatch(text, -1)
	if len(names) < 10 {
		t.Fatalf("only %d settings are found", len(names))
	}
	for _, name := range names {
		if !bytes.Contains(reference, []byte("| `"+name[1]+"` |")) {
			t.Errorf("the service has no setting %s", name[1])
		}
	}
	for name := range parameters(t) {
		if !strings.Contains(text, "!Ref "+name) && !strings.Contains(text, "${"+name+"}") {
			t.Errorf("the parameter %s is used nowhere", name)
		}
	}
}

// YAML that CloudFormation does not read: it takes neither aliases nor merged maps.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
func TestNoAliases(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(template(t)), &document); err != nil {
		t.Fatal(err)
	}
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Tag == "!!merge" {
			t.Errorf("line %d has an anchor, an alias or a merge", n.Line)
			return
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	walk(&document)
}

// The page's commands name parameters that there are, and all that must be given.
func TestCommands(t *testing.T) {
	page, err := os.ReadFile("../../../docs/ecs.md")
	if err != nil {
		t.Fatal(err)
	}
	known := parameters(t)
	deployments := regexp.MustCompile(`(?s)aws cloudformation deploy .*?\n\n`).FindAllString(strings.ReplaceAll(string(page), "```", "\n\n"), -1)
	if len(deployments) == 0 {
		t.Fatal("docs/ecs.md deploys nothing")
	}
	for _, command := range deployments {
		if !strings.Contains(command, "--template-file deploy/ecs/sluice.yaml") || !strings.Contains(command, "--capabilities CAPABILITY_IAM") {
			t.Errorf("the command deploys another template, or without the right to make roles: %s", command)
		}
		given := map[string]bool{}
		for _, assignment := range regexp.MustCompile(`\s([A-Z][A-Za-z]+)=`).FindAllStringSubmatch(command, -1) {
			given[assignment[1]] = true
			if _, ok := known[assignment[1]]; !ok {
				t.Errorf("the template has no parameter %s", assignment[1])
			}
		}
		for name, needed := range known {
			if needed && !given[name] {
				t.Errorf("the parameter %s is not given: %s", name, command)
			}
		}
	}
}
