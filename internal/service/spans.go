package service

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-etl/sluice/internal/spans"
)

// flushSpans is how long a service that stops waits for the collector. What that does not take by then is dropped.
const flushSpans = time.Second

// keepSpans sends spans to the configured collector, beside the consumer, until the function that it returns is called. Without a
// collector the tracer is nil.
func (s *Service) keepSpans(ctx context.Context) (t *spans.Tracer, stop func()) {
	cfg := s.cfg.Traces
	if cfg == nil {
		return nil, func() {}
	}
	name := cfg.Service
	if name == "" {
		name = s.cfg.App
	}
	resource := []spans.Attribute{{Key: "service.name", Value: name}}
	given := map[string]bool{}
	for _, a := range cfg.Attributes {
		resource = append(resource, spans.Attribute{Key: a[0], Value: a[1]})
		given[a[0]] = true
	}
	for _, a := range []spans.Attribute{
		{Key: "service.version", Value: s.build.Version}, {Key: "service.instance.id", Value: s.cfg.WorkerID}, {Key: "aws.kinesis.stream_name", Value: s.cfg.StreamName()},
	} {
		if !given[a.Key] {
			resource = append(resource, a)
		}
	}
	s.Metrics.ExpectSpans(spans.Causes())
	t = spans.New(spans.Config{
		Resource: resource, Scope: "github.com/sluice-etl/sluice", Version: s.build.Version, Ratio: cfg.Ratio,
		Sender:  spans.NewCollector(cfg.Endpoint, cfg.Header, cfg.Gzip, cfg.Timeout),
		Metrics: s.Metrics, Log: s.log,
	})
	s.log.Info("sending spans to an OpenTelemetry collector", "service", name, "ratio", cfg.Ratio)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // to the end of the consumer, whose last commits are told
	var running sync.WaitGroup
	running.Go(func() { t.Run(ctx, flushSpans) })
	return t, func() { cancel(); running.Wait() }
}
