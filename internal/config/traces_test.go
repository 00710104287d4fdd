package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// Where spans go follows from OpenTelemetry's own names, and without an endpoint they go nowhere.
func TestTraces(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"
	for name, c := range map[string]struct {
		environ []string
		want    func(*Traces) // changes what a mere endpoint gives; nil: there are to be none
	}{
		"endpoint":                {[]string{endpoint}, func(*Traces) {}},
		"no endpoint":             {[]string{"OTEL_EXPORTER_OTLP_HEADERS=a=b", "OTEL_TRACES_SAMPLER=nonsense", "OTEL_SERVICE_NAME=x"}, nil},
		"empty endpoint":          {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT="}, nil},
		"disabled":                {[]string{endpoint, "OTEL_SDK_DISABLED=true"}, nil},
		"no exporter":             {[]string{endpoint, "OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, nil},
		"always off":              {[]string{endpoint, "OTEL_TRACES_SAMPLER=parentbased_always_off"}, nil},
		"ratio of nothing":        {[]string{endpoint, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}, nil},
		"a path":                  {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318/otlp/"}, func(t *Traces) { t.Endpoint = "http://collector:4318/otlp/v1/traces" }},
		"of traces, as it stands": {[]string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://other/in"}, func(t *Traces) { t.Endpoint = "https://other/in" }},
		"protocol":                {[]string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, func(*Traces) {}},
		"timeout":                 {[]string{endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT=250"}, func(t *Traces) { t.Timeout = 250 * time.Millisecond }},
		"compression":             {[]string{endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION=gzip"}, func(t *Traces) { t.Gzip = true }},
		"ratio":                   {[]string{endpoint, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.25"}, func(t *Traces) { t.Ratio = 0.25 }},
		"headers, on this machine": {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318", "OTEL_EXPORTER_OTLP_HEADERS=api-key=a%2Cb, x = y=z"}, func(t *Traces) {
			t.Endpoint = "http://localhost:4318/v1/traces"
			t.Header.Set("Api-Key", "a,b")
			t.Header.Set("X", "y=z")
		}},
		"headers, in the clear": {[]string{endpoint, "OTEL_EXPORTER_OTLP_HEADERS=k=v", "SLUICE_ALLOW_INSECURE_ENDPOINTS=true"}, func(t *Traces) { t.Header.Set("K", "v") }},
		"resource": {[]string{endpoint, "OTEL_RESOURCE_ATTRIBUTES=service.name=first,deployment.environment.name=b%20c"}, func(t *Traces) {
			t.Service = "first"
			t.Attributes = [][2]string{{"deployment.environment.name", "b c"}}
		}},
		"the name is the stronger":  {[]string{endpoint, "OTEL_RESOURCE_ATTRIBUTES=service.name=first", "OTEL_SERVICE_NAME=second"}, func(t *Traces) { t.Service = "second" }},
		"a name of somebody else's": {[]string{endpoint, "OTEL_METRICS_EXPORTER=nonsense", "OTEL_GO_X=1"}, func(*Traces) {}},
	} {
		got := load(t, nil, c.environ).Traces
		if c.want == nil {
			if got != nil {
				t.Errorf("%s: got %+v", name, *got)
			}
			continue
		}
		want := &Traces{Endpoint: "http://collector:4318/v1/traces", Header: map[string][]string{}, Timeout: 10 * time.Second, Ratio: 1}
		c.want(want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

// What is wrong is told with its name, and never with a secret.
func TestTracesThatAreWrong(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"
	for variable, environ := range map[string][]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":        {"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317/hush-hush"},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": {endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://169.254.170.2/v1/traces"},
		"OTEL_EXPORTER_OTLP_PROTOCOL":        {endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
		"OTEL_EXPORTER_OTLP_TIMEOUT":         {endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT=10s"},
		"OTEL_EXPORTER_OTLP_COMPRESSION":     {endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION=zstd"},
		"OTEL_EXPORTER_OTLP_CERTIFICATE":     {endpoint, "OTEL_EXPORTER_OTLP_CERTIFICATE=/ca.pem"},
		"OTEL_EXPORTER_OTLP_HEADERS":         {"OTEL_EXPORTER_OTLP_ENDPOINT=https://collector", "OTEL_EXPORTER_OTLP_HEADERS=hush-hush"},
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS":  {"OTEL_EXPORTER_OTLP_ENDPOINT=https://collector", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=k=hush-hush%0d%0a"},
		"OTEL_RESOURCE_ATTRIBUTES":           {endpoint, "OTEL_RESOURCE_ATTRIBUTES=a"},
		"OTEL_TRACES_SAMPLER":                {endpoint, "OTEL_TRACES_SAMPLER=sometimes"},
		"OTEL_TRACES_SAMPLER_ARG":            {endpoint, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=25%"},
		"OTEL_TRACES_EXPORTER":               {endpoint, "OTEL_TRACES_EXPORTER=zipkin"},
	} {
		f := faults(t, nil, environ)
		if len(f) != 1 || f[0].Key != variable || strings.Contains(f.Error(), "hush-hush") {
			t.Errorf("%s: got %v", variable, f)
		}
	}
	// A secret is not sent for all to read.
	for _, environ := range [][]string{
		{endpoint, "OTEL_EXPORTER_OTLP_HEADERS=api-key=hush-hush"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://user:hush-hush@collector:4318"},
	} {
		f := faults(t, nil, environ)
		if len(f) != 1 || !strings.Contains(f.Error(), "SLUICE_ALLOW_INSECURE_ENDPOINTS") || strings.Contains(f.Error(), "hush-hush") {
			t.Errorf("%v: got %v", environ, f)
		}
	}
}
