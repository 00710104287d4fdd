package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// awsEnvironment keeps the tests from whatever the developer has configured.
func awsEnvironment(t *testing.T, variables ...string) {
	t.Helper()
	for _, line := range os.Environ() {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil { // the value comes back after the test
				t.Fatal(err)
			}
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	for _, line := range append([]string{"AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none,
		"AWS_EC2_METADATA_DISABLED=true"}, variables...) {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
}

// failures collects what onError hears.
type failures struct {
	sync.Mutex
	heard []string
}

func (f *failures) add(service, operation, class string) {
	f.Lock()
	defer f.Unlock()
	f.heard = append(f.heard, service+" "+operation+" "+class)
}

var withKeys = awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("id", "key", ""))

// awsFor is a configuration that talks to the handler.
func awsFor(t *testing.T, f *failures, handler http.HandlerFunc) aws.Config {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	awsEnvironment(t, "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL="+server.URL)
	cfg, err := AWS(t.Context(), load(t, nil, nil), f.add, withKeys)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestRegionMissing(t *testing.T) {
	awsEnvironment(t)
	_, err := AWS(t.Context(), load(t, nil, nil), nil)
	if err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v", err)
	}
}

// Every failed attempt is reported, the retries stop at a success, and a success reports nothing.
func TestFailedAttempts(t *testing.T) {
	var f failures
	calls := 0
	cfg := awsFor(t, &f, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < 3 {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"ProvisionedThroughputExceededException","message":"slow down"}`)
			return
		}
		fmt.Fprint(w, `{"StreamDescriptionSummary":{}}`)
	})
	if _, err := kinesis.NewFromConfig(cfg).DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	want := []string{"kinesis DescribeStreamSummary throttled", "kinesis DescribeStreamSummary throttled"}
	if !slices.Equal(f.heard, want) {
		t.Errorf("heard %q", f.heard)
	}
}

func TestClasses(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		class  string
	}{
		{400, "ThrottlingException", Throttled},
		{400, "LimitExceededException", Throttled},
		{400, "AccessDeniedException", Denied},
		{400, "UnrecognizedClientException", Denied},
		{403, "Whatever", Denied},
		{400, "ResourceNotFoundException", NotFound},
		{400, "ValidationException", Client},
		{500, "InternalServerError", Server},
		{503, "ServiceUnavailable", Server},
		{400, "ConditionalCheckFailedException", ""},
	} {
		var f failures
		cfg := awsFor(t, &f, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
			fmt.Fprintf(w, `{"__type":%q,"message":"m"}`, tt.code)
		})
		client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 })
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{
			TableName: aws.String("table"), Item: map[string]types.AttributeValue{"a": &types.AttributeValueMemberS{Value: "b"}},
		})
		want := []string{"dynamodb PutItem " + tt.class}
		if tt.class == "" {
			want = nil
		}
		if err == nil || !slices.Equal(f.heard, want) {
			t.Errorf("%d %s: heard %q, want %q (%v)", tt.status, tt.code, f.heard, want, err)
		}
	}
}

func TestClassesOfS3(t *testing.T) {
	for status, tt := range map[int]struct{ code, class string }{
		404: {"NoSuchKey", NotFound},
		403: {"AccessDenied", Denied},
		409: {"ConditionalRequestConflict", Client},
		412: {"PreconditionFailed", ""},
		503: {"SlowDown", Throttled},
		301: {"PermanentRedirect", Client},
	} {
		var f failures
		path := ""
		cfg := awsFor(t, &f, func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.Path
			w.WriteHeader(status)
			fmt.Fprintf(w, `<Error><Code>%s</Code><Message>m</Message></Error>`, tt.code)
		})
		client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.RetryMaxAttempts = 1 })
		_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key")})
		if got := Class(err); err == nil || got != tt.class {
			t.Errorf("%d %s: %q, want %q (%v)", status, tt.code, got, tt.class, err)
		}
		if path != "/bucket/key" {
			t.Errorf("an endpoint that is configured is addressed by path, not %s", path)
		}
	}
}

func TestPathStyle(t *testing.T) {
	awsEnvironment(t, "AWS_REGION=eu-west-1")
	cfg, err := AWS(t.Context(), load(t, nil, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s3.NewFromConfig(cfg).Options().UsePathStyle {
		t.Error("AWS itself is not addressed by path")
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
	if cfg, err = AWS(t.Context(), load(t, nil, nil), nil); err != nil {
		t.Fatal(err)
	}
	if !s3.NewFromConfig(cfg).Options().UsePathStyle {
		t.Error("an S3 endpoint is addressed by path")
	}
}

// An answer that breaks off in the middle is asked for again, like one that does not come.
func TestHalfAnAnswer(t *testing.T) {
	var f failures
	calls := 0
	cfg := awsFor(t, &f, func(w http.ResponseWriter, _ *http.Request) {
		const answer = `{"StreamDescriptionSummary":{"StreamName":"s"}}`
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		if calls++; calls < 3 {
			fmt.Fprint(w, answer[:len(answer)/2])
			return
		}
		fmt.Fprint(w, answer)
	})
	out, err := kinesis.NewFromConfig(cfg).DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})
	if err != nil || aws.ToString(out.StreamDescriptionSummary.StreamName) != "s" {
		t.Errorf("%v, %v", out, err)
	}
	if want := []string{"kinesis DescribeStreamSummary connection", "kinesis DescribeStreamSummary connection"}; !slices.Equal(f.heard, want) {
		t.Errorf("heard %q, want %q", f.heard, want)
	}
}

func TestClassesWithoutAnswer(t *testing.T) {
	var f failures
	stop := make(chan struct{})
	defer close(stop)
	cfg := awsFor(t, &f, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	describe := func(ctx context.Context, cfg aws.Config) error {
		client := kinesis.NewFromConfig(cfg, func(o *kinesis.Options) { o.RetryMaxAttempts = 1 })
		_, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})
		return err
	}

	deadline, cancel := context.WithTimeout(t.Context(), 50e6)
	defer cancel()
	if err := describe(deadline, cfg); Class(err) != Timeout {
		t.Errorf("timeout: %q of %v", Class(err), err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := describe(cancelled, cfg); Class(err) != "" {
		t.Errorf("given up: %q of %v", Class(err), err)
	}

	// A port that was free a moment ago refuses.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.BaseEndpoint = aws.String("http://" + listener.Addr().String())
	t.Setenv("AWS_ENDPOINT_URL", "")
	if err := os.Unsetenv("AWS_ENDPOINT_URL"); err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := describe(t.Context(), cfg); Class(err) != Connection {
		t.Errorf("refused: %q of %v", Class(err), err)
	}

	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("none here")
	})
	if err := describe(t.Context(), cfg); Class(err) != Denied {
		t.Errorf("no credentials: %q of %v", Class(err), err)
	}
	want := []string{"timeout", "connection", "denied"}
	for i, class := range want {
		want[i] = "kinesis DescribeStreamSummary " + class
	}
	if !slices.Equal(f.heard, want) {
		t.Errorf("heard %q, want %q", f.heard, want)
	}
	if Class(nil) != "" || Class(errors.New("x")) != Other {
		t.Error("nothing, or something else")
	}
}

// An endpoint in the SDK's shared file is refused too, before anything is sent.
func TestInsecureEndpointInProfile(t *testing.T) {
	awsEnvironment(t, "AWS_REGION=eu-west-1")
	profile := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(profile, []byte("[default]\nendpoint_url = http://192.0.2.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", profile)
	cfg, err := AWS(t.Context(), load(t, nil, nil), nil, withKeys)
	if err != nil {
		t.Fatal(err)
	}
	_, err = kinesis.NewFromConfig(cfg).ListStreams(t.Context(), &kinesis.ListStreamsInput{})
	if err == nil || !strings.Contains(err.Error(), "plain http") {
		t.Errorf("got %v", err)
	}
}

// A peer that takes a connection and says nothing ends no call's time by itself: the client does.
func TestSilentPeers(t *testing.T) {
	for url, limit := range map[string]time.Duration{"http://peer/": 60 * time.Second, "https://peer/": 5 * time.Second} {
		t.Run(url, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := httpClient().WithTransportOptions(func(tr *http.Transport) {
					tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
						ours, theirs := net.Pipe()
						go func() { _, _ = io.Copy(io.Discard, theirs) }()
						return ours, nil
					}
				})
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				if _, err := client.Do(r); err == nil {
					t.Error("there was an answer")
				}
				if took := time.Since(begun); took != limit {
					t.Errorf("given up after %v; want %v", took, limit)
				}
			})
		})
	}
}
