// Package service puts the parts together as the configuration says, and runs them. The commands sluice and
// sluice-local run the same service; they differ in what they find at the endpoints.
package service

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/alert"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/intake"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/internal/status"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/sink/catalog"
	"github.com/sluice-etl/sluice/sink/s3"
)

// Service is the service before it runs. It is used once.
type Service struct {
	Metrics   *ops.Metrics
	Observer  consumer.Observer    // the metrics, unless it is replaced by one that tells them, too
	Listening func(address string) // if set, is told where metrics and health are served
	TakingIn  func(address string) // if set, is told where Direct PUT is served, if it is
	Receivers []alert.Receiver     // of alerts, beside the configured ones
	Reload    *Reload              // nil: settings stay as they are while it runs

	cfg    *config.Config
	log    *slog.Logger
	build  ops.Build
	plan   plan
	health *ops.Health
	status *status.Page // nil where there is none
}

// New makes a service of a configuration, which it checks as Check does.
func New(cfg *config.Config, log *slog.Logger) (*Service, error) {
	plan, faults := interpret(cfg)
	if len(faults) > 0 {
		return nil, faults
	}
	build := ops.ReadBuild()
	health := ops.NewHealth()
	metrics := ops.NewMetrics(build, health)
	var detectors []string
	for _, d := range cfg.Detectors {
		detectors = append(detectors, d.Name)
	}
	if cfg.StatusKeys {
		metrics.ShowKeys()
	}
	metrics.Expect(pipeline.Reasons(), detectors, pipeline.Triggers())
	return &Service{Metrics: metrics, Observer: metrics, cfg: cfg, log: log, build: build, plan: plan, health: health}, nil
}

// Run reads the stream until the context ends, and then commits what was received and gives the shards back, within
// the configured time. An error tells what made it impossible to start, or to go on.
func (s *Service) Run(ctx context.Context) error {
	// The batches keep to their share of this; the runtime collects garbage sooner as it comes near.
	debug.SetMemoryLimit(s.cfg.MemoryLimit)
	s.Metrics.MemoryLimit(s.cfg.MemoryLimit)

	if s.cfg.HTTPAddr != off {
		server, err := ops.NewServer(s.cfg.HTTPAddr, s.Metrics, s.health, s.page(), s.log)
		if err != nil {
			return err
		}
		defer server.Close()
		s.log.Info("serving metrics and health", "address", server.Addr())
		if s.Listening != nil {
			s.Listening(server.Addr())
		}
	}
	if s.cfg.PprofAddr != off {
		server, err := ops.NewProfiles(s.cfg.PprofAddr, s.log)
		if err != nil {
			return err
		}
		defer server.Close()
		s.log.Info("serving profiles", "address", server.Addr())
	}
	clients, store, err := Connect(ctx, s.cfg, s.Metrics.AWSError)
	if err != nil {
		return err
	}
	if err := store.Check(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	stages := s.plan.stages(s.cfg, s.build.Version)
	// The rest is for what is being read, encoded and uploaded, and for garbage.
	stages.MemoryLimit = s.cfg.MemoryLimit * 2 / 5
	stages.Metrics, stages.Log = s.Metrics, s.log
	alerts, stopAlerts, err := s.keepAlerts(ctx)
	if err != nil {
		return err
	}
	tracer, stopSpans := s.keepSpans(ctx)
	defer func() {
		var both sync.WaitGroup // each has its second, and it is the same one
		both.Go(stopAlerts)
		both.Go(stopSpans)
		both.Wait()
	}()
	stages.Spans = tracer
	stages.Announcer, stages.Quiet = alerts, s.cfg.AlertQuiet
	p, err := pipeline.New(stages)
	if err != nil {
		return err
	}
	records, err := s.intake(clients)
	if err != nil {
		return err
	}
	c := consumer.New(consumer.Config{
		Stream: s.cfg.StreamName(), StreamARN: s.cfg.StreamARN(), App: s.cfg.App, Table: s.cfg.LeaseTable,
		CreateTable: s.cfg.CreateTable, Worker: s.cfg.WorkerID, MaxLeases: s.cfg.MaxLeases, Failover: s.cfg.FailoverTime,
		Start:       consumer.Start{Latest: s.cfg.Start.Position == config.Latest, At: s.cfg.Start.Time},
		StatePrefix: s.cfg.StatePrefix, Prefixes: []string{s.plan.prefix.Static(), s.plan.errorPrefix.Static()},
		Process: func(ctx context.Context, session *consumer.Session) error { return p.Process(ctx, session) },
		Log:     s.log, Observe: s.Observer,
	}, clients, store)

	if s.cfg.Output == sink.OutputRaw && len(s.plan.detectors) > 0 {
		s.log.Warn("the files are raw lines, which show no flags: what the detectors find is in the metrics alone", "key", "SLUICE_OUTPUT")
	}
	stopCatalog, err := s.keepCatalog(ctx, store, p, c)
	if err != nil {
		return err
	}
	defer stopCatalog()

	s.log.Info("running", "version", s.build.Version, "stream", s.cfg.Stream, "app", s.cfg.App, "worker", s.cfg.WorkerID, "bucket", s.cfg.Bucket)
	stopping := context.AfterFunc(ctx, s.health.Stopping)
	defer stopping()
	// The last two seconds of 20 are for what comes after: the worker's item, the catalog, the servers, and the process's own end.
	grace := s.cfg.ShutdownTimeout - s.cfg.ShutdownTimeout/10
	both, ctx := errgroup.WithContext(ctx)
	if records != nil {
		both.Go(func() error { return records.Run(ctx, grace) })
	}
	if s.Reload != nil {
		both.Go(func() error { s.reload(ctx, p); return nil })
	}
	both.Go(func() error { return c.Run(ctx, grace) })
	return both.Wait()
}

// intake is the endpoint of Direct PUT, or nil where there is none.
func (s *Service) intake(clients consumer.Clients) (*intake.Server, error) {
	if s.plan.keys == nil {
		return nil, nil
	}
	server, err := intake.NewServer(s.cfg.IntakeAddr, intake.Config{
		Stream: s.cfg.IntakeStream, Region: clients.Kinesis.Options().Region, Keys: s.plan.keys,
		Putter: &consumer.Direct{Client: clients.Kinesis, Stream: s.cfg.StreamName()},
		Memory: s.cfg.MemoryLimit / 16,
		Bucket: s.cfg.Bucket, Prefix: s.cfg.Prefix, ErrorPrefix: s.cfg.ErrorPrefix,
		Observe: s.Metrics, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("taking records in", "address", server.Addr(), "as", s.cfg.IntakeStream)
	if s.TakingIn != nil {
		s.TakingIn(server.Addr())
	}
	return server, nil
}

// Connect makes the clients of the stream and the lease table, and the store. onError, which may be nil, hears of
// every failed attempt; see config.AWS.
func Connect(ctx context.Context, cfg *config.Config, onError func(service, operation, class string)) (consumer.Clients, *s3.Store, error) {
	sdk, err := config.AWS(ctx, cfg, onError)
	if err != nil {
		return consumer.Clients{}, nil, err
	}
	return consumer.NewClients(sdk), s3.Open(sdk, s3.Options{Bucket: cfg.Bucket, KMSKey: cfg.KMSKey}), nil
}

// Online looks at the stream, the table, the bucket and the catalog, and tells of every one that the service could not use.
func Online(ctx context.Context, cfg *config.Config) error {
	clients, store, err := Connect(ctx, cfg, nil)
	if err != nil {
		return err
	}
	errs := []error{clients.Check(ctx, cfg.StreamName(), cfg.LeaseTable, cfg.CreateTable), store.Check(ctx)}
	if plan, faults := interpret(cfg); plan.table != nil && len(faults) == 0 {
		table, err := openCatalog(ctx, cfg, nil)
		if err == nil {
			err = table.Check(ctx, catalog.Definition{Layout: plan.table, Output: cfg.Output})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
