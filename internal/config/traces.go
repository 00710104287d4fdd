package config

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Traces tells where spans go, and of what they are. It is read from OpenTelemetry's own names in the environment, as
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ has them.
type Traces struct {
	Endpoint   string      // of traces; it may hold a password
	Header     http.Header // secret
	Gzip       bool
	Timeout    time.Duration
	Ratio      float64     // of the batches that are told; in (0,1]
	Service    string      // empty: not told
	Attributes [][2]string // of the resource, without the service's name
}

const (
	otelPrefix = "OTEL_EXPORTER_OTLP_"
	otelTraces = otelPrefix + "TRACES_"
)

// readTraces takes over where spans are to go. Without an endpoint they go nowhere, whatever else is set.
func (l *loader) readTraces() {
	name, endpoint := l.otlp("ENDPOINT")
	exporter := l.environ["OTEL_TRACES_EXPORTER"]
	if endpoint == "" || strings.EqualFold(l.environ["OTEL_SDK_DISABLED"], "true") || exporter == "none" {
		return
	}
	if exporter != "" && exporter != "otlp" {
		l.otelFault("OTEL_TRACES_EXPORTER", "%s: want otlp, or none for no spans", abridged(exporter))
	}
	t := &Traces{Ratio: l.sampler(), Timeout: 10 * time.Second}
	t.Header = l.otlpHeader()
	t.Endpoint = l.otlpEndpoint(name, endpoint, len(t.Header) > 0)
	if name, text := l.otlp("PROTOCOL"); text != "" && text != "http/protobuf" {
		l.otelFault(name, "%s: want http/protobuf, which collectors take at port 4318; or OTEL_TRACES_EXPORTER=none for no spans", abridged(text))
	}
	if name, text := l.otlp("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		if t.Timeout = time.Duration(ms) * time.Millisecond; err != nil || ms <= 0 || ms > int(time.Hour/time.Millisecond) {
			l.otelFault(name, "%s: want milliseconds, such as 10000", abridged(text))
		}
	}
	if name, text := l.otlp("COMPRESSION"); text != "" && text != "none" {
		if t.Gzip = text == "gzip"; !t.Gzip {
			l.otelFault(name, "%s: want gzip or none", abridged(text))
		}
	}
	for _, of := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		if name, text := l.otlp(of); text != "" {
			l.otelFault(name, "is not read; SSL_CERT_FILE names the file of authorities that a collector's certificate is checked by")
		}
	}
	if all, err := pairs(l.environ["OTEL_RESOURCE_ATTRIBUTES"]); err != nil {
		l.otelFault("OTEL_RESOURCE_ATTRIBUTES", "%v", err)
	} else {
		for _, pair := range all {
			if pair[0] == "service.name" {
				t.Service = pair[1]
			} else {
				t.Attributes = append(t.Attributes, pair)
			}
		}
	}
	if name := l.environ["OTEL_SERVICE_NAME"]; name != "" {
		t.Service = name
	}
	if t.Ratio > 0 {
		l.config.Traces = t
	}
}

// otlp gives a setting of the exporter, and its name: that for traces, if it is set, and else that for all signals.
func (l *loader) otlp(what string) (name, text string) {
	if name = otelTraces + what; l.environ[name] == "" {
		name = otelPrefix + what
	}
	return name, l.environ[name]
}

func (l *loader) otelFault(name, format string, args ...any) {
	l.faults = append(l.faults, Fault{name, sourceEnv, fmt.Sprintf(format, args...)})
}

// otlpEndpoint checks where traces go. Spans tell of shards, keys and errors, which may go over plain http as metrics do; a secret may not.
func (l *loader) otlpEndpoint(name, text string, secret bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		l.otelFault(name, "want a URL such as http://localhost:4318") // the value may hold a password, and so may url.Parse's error
		return ""
	case linkLocal(u):
		l.otelFault(name, "%s is a link-local address: credentials are to be had there, and nobody takes spans", u.Host)
	case (secret || u.User != nil) && insecure(u) && !l.config.AllowInsecureEndpoints:
		l.otelFault(name, "%s would get a secret over plain http; use https, or set SLUICE_ALLOW_INSECURE_ENDPOINTS=true", u.Host)
	}
	if name == otelPrefix+"ENDPOINT" { // of all signals
		u = u.JoinPath("v1/traces")
	}
	return u.String()
}

// otlpHeader gives what is added to requests. No fault shows any of it.
func (l *loader) otlpHeader() http.Header {
	name, text := l.otlp("HEADERS")
	all, err := pairs(text)
	h := http.Header{}
	for _, pair := range all {
		if strings.ContainsFunc(pair[0], notInHeaderName) || strings.ContainsFunc(pair[1], isControl) {
			err = errPairs
		}
		h.Set(pair[0], pair[1])
	}
	if err != nil {
		l.otelFault(name, "%v", errPairs)
	}
	return h
}

// notInHeaderName is true of what is no tchar of RFC 9110, section 5.6.2.
func notInHeaderName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

// sampler gives the part of the batches that is told. A batch has no parent, so that those that ask a parent are like those that do not.
func (l *loader) sampler() float64 {
	const name, argument = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	switch text := l.environ[name]; strings.TrimPrefix(text, "parentbased_") {
	case "", "always_on":
		return 1
	case "always_off":
		return 0
	case "traceidratio":
		text := l.environ[argument]
		if text == "" {
			return 1
		}
		ratio, err := strconv.ParseFloat(text, 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) {
			l.otelFault(argument, "%s: want a number from 0 to 1", abridged(text))
		}
		return ratio
	default:
		l.otelFault(name, "%s: want always_on, always_off, traceidratio, or one of these after parentbased_", abridged(text))
		return 1
	}
}

var errPairs = errors.New("want name=value, separated by commas, with %2C for a comma in a value")

// pairs reads a list of names and values, in the form of the header baggage that W3C describes, as far as OpenTelemetry's settings take it.
func pairs(text string) (list [][2]string, err error) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name, err := url.PathUnescape(strings.TrimSpace(name))
		value, err2 := url.PathUnescape(strings.TrimSpace(value))
		if !ok || name == "" || err != nil || err2 != nil {
			return nil, errPairs
		}
		list = append(list, [2]string{name, value})
	}
	return list, nil
}
