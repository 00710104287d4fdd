package e2e

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// actions are what services, started by the tests so far, have called, by the names that IAM has for it. It is safe for
// concurrent use.
var actions = &actionSet{called: map[string]bool{}}

type actionSet struct {
	mu     sync.Mutex
	called map[string]bool
}

func (s *actionSet) add(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, action := range actionsOf(r) {
		s.called[action] = true
	}
}

// services are those of the protocols awsJson, by what their requests say before the operation's name. An action is called
// as its operation.
var services = map[string]string{"Kinesis_20131202": "kinesis", "DynamoDB_20120810": "dynamodb", "AWSGlue": "glue"}

// actionsOf are the actions that a request needs. What is not known gives a name that no policy has.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
func actionsOf(r *http.Request) []string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		service, operation, _ := strings.Cut(target, ".")
		return []string{cmp.Or(services[service], service) + ":" + operation}
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") { // the protocol awsQuery, of SNS alone
		form, err := peek(r)
		if err != nil {
			return []string{"sns:unknown " + err.Error()}
		}
		return []string{"sns:" + form.Get("Action")}
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // the bucket is the path's first part
	query := r.URL.Query()
	switch of := r.Method; {
	case key == "" && of == http.MethodGet && query.Has("uploads"):
		return []string{"s3:ListBucketMultipartUploads"}
	case key == "" && (of == http.MethodHead || of == http.MethodGet && query.Has("list-type")):
		return []string{"s3:ListBucket"}
	case key == "":
	case of == http.MethodHead:
		return []string{"s3:GetObject", "s3:ListBucket"} // without the latter, an object that is missing is forbidden, not missing
	case of == http.MethodGet:
		return []string{"s3:GetObject"}
	case of == http.MethodPut, of == http.MethodPost && (query.Has("uploads") || query.Has("uploadId")):
		return []string{"s3:PutObject"} // also the parts of an upload, its begin and its end
	case of == http.MethodDelete && query.Has("uploadId"):
		return []string{"s3:AbortMultipartUpload"}
	case of == http.MethodDelete:
		return []string{"s3:DeleteObject"}
	}
	return []string{fmt.Sprintf("s3:unknown %s %s?%s", r.Method, r.URL.Path, r.URL.RawQuery)}
}

// peek reads the form that is a request's body, and leaves it there.
func peek(r *http.Request) (url.Values, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return url.ParseQuery(string(body))
}

const template = "../../deploy/ecs/sluice.yaml"

// allowed are the actions that the template's policies of the service allow.
func allowed(text []byte) (map[string]bool, error) {
	var resources struct {
		Resources map[string]yaml.Node `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &resources); err != nil {
		return nil, fmt.Errorf("%s: %w", template, err)
	}
	found := map[string]bool{}
	for _, name := range []string{"ServicePolicy", "CatalogPolicy", "AlertPolicy", "KeyPolicy"} {
		node, ok := resources.Resources[name]
		if !ok {
			return nil, fmt.Errorf("%s has no %s", template, name)
		}
		var policy struct {
			Properties struct {
				PolicyDocument struct {
					Statement []struct {
						Action []string `yaml:"Action"`
					} `yaml:"Statement"`
				} `yaml:"PolicyDocument"`
			} `yaml:"Properties"`
		}
		if err := node.Decode(&policy); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", template, name, err)
		}
		for _, statement := range policy.Properties.PolicyDocument.Statement {
			for _, action := range statement.Action {
				found[action] = true
			}
		}
	}
	return found, nil
}

// unused are actions that the policies allow, and nobody is seen to call; needless are those that are called and not allowed.
var (
	unused = map[string]string{
		"kms:GenerateDataKey": "S3 calls it for who puts",
		"kms:Decrypt":         "S3 calls it for who gets, and who completes an upload",
	}
	needless = map[string]string{
		"dynamodb:CreateTable": "the template makes the table, and tells the service not to",
		"kinesis:PutRecords":   "Direct PUT, which the template does not set up",
	}
)

// compare tells what the template allows and no service has called, and the other way round.
func compare(called, allowed map[string]bool) error {
	var errs []error
	for _, action := range slices.Sorted(maps.Keys(allowed)) {
		if !called[action] && unused[action] == "" {
			errs = append(errs, fmt.Errorf("%s allows %s, which no service has called", template, action))
		}
	}
	for _, action := range slices.Sorted(maps.Keys(called)) {
		if !allowed[action] && needless[action] == "" {
			errs = append(errs, fmt.Errorf("a service has called %s, which %s does not allow", action, template))
		}
	}
	for _, exception := range slices.Concat(slices.Collect(maps.Keys(unused)), slices.Collect(maps.Keys(needless))) {
		if called[exception] == (unused[exception] != "") {
			errs = append(errs, fmt.Errorf("%s is no exception any more", exception))
		}
	}
	return errors.Join(errs...)
}

// permissions holds what the services of all tests have called against the template. It is for the end of the whole suite.
func permissions() error {
	text, err := os.ReadFile(template)
	if err != nil {
		return err
	}
	policy, err := allowed(text)
	if err != nil {
		return err
	}
	actions.mu.Lock()
	defer actions.mu.Unlock()
	return compare(actions.called, policy)
}

// What the comparison at the end of the suite finds.
func TestPermissions(t *testing.T) {
	text, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := allowed(text)
	if err != nil {
		t.Fatal(err)
	}
	called := maps.Clone(policy)
	for action := range unused {
		delete(called, action)
	}
	for action := range needless {
		called[action] = true
	}
	if err := compare(called, policy); err != nil {
		t.Errorf("the same: %v", err)
	}
	for action := range policy {
		fewer := maps.Clone(policy)
		delete(fewer, action)
		if err := compare(called, fewer); unused[action] == "" && (err == nil || !strings.Contains(err.Error(), "has called "+action)) {
			t.Errorf("a policy without %s: %v", action, err)
		}
	}
	for _, action := range []string{"s3:DeleteBucket", "dynamodb:PutItem"} {
		more := maps.Clone(policy)
		more[action] = true
		if err := compare(called, more); err == nil || !strings.Contains(err.Error(), "allows "+action) {
			t.Errorf("a policy with %s: %v", action, err)
		}
	}
	delete(called, "kinesis:PutRecords")
	if err := compare(called, policy); err == nil {
		t.Error("an exception that is none is not found")
	}
}

func TestActionsOf(t *testing.T) {
	for request, want := range map[string]string{
		"HEAD /lake":                               "s3:ListBucket",
		"HEAD /lake/":                              "s3:ListBucket",
		"GET /lake?list-type=2&prefix=data":        "s3:ListBucket",
		"GET /lake/?uploads=&prefix=data":          "s3:ListBucketMultipartUploads",
		"GET /lake/data/a?x-id=GetObject":          "s3:GetObject",
		"HEAD /lake/data/a":                        "s3:GetObject s3:ListBucket",
		"PUT /lake/data/a?x-id=PutObject":          "s3:PutObject",
		"POST /lake/data/a?uploads=":               "s3:PutObject",
		"PUT /lake/data/a?partNumber=1&uploadId=u": "s3:PutObject",
		"POST /lake/data/a?uploadId=u":             "s3:PutObject",
		"DELETE /lake/data/a?uploadId=u":           "s3:AbortMultipartUpload",
		"DELETE /lake/data/a":                      "s3:DeleteObject",
		"DELETE /lake":                             "s3:unknown DELETE /lake?",
		"POST /lake?delete=":                       "s3:unknown POST /lake?delete=",
	} {
		method, target, _ := strings.Cut(request, " ")
		r, err := http.NewRequest(method, "http://127.0.0.1"+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(actionsOf(r), " "); got != want {
			t.Errorf("%s: %s; want %s", request, got, want)
		}
	}
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AWSGlue.GetTable")
	if got := actionsOf(r); !slices.Equal(got, []string{"glue:GetTable"}) {
		t.Errorf("of Glue: %s", got)
	}
	const form = "Action=Publish&Version=2010-03-31"
	r, err = http.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	got := actionsOf(r)
	if left, err := io.ReadAll(r.Body); !slices.Equal(got, []string{"sns:Publish"}) || string(left) != form || err != nil {
		t.Errorf("of SNS: %s; of the body %q is left", got, left)
	}
}
