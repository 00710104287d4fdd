package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/internal/registrar"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/sink/catalog"
	"github.com/sluice-etl/sluice/sink/s3"
)

// table is how the configured Glue table lies in the bucket; nil where there is none. The prefix is nil where it has a fault of
// its own.
func table(cfg *config.Config, prefix *sink.Prefix) (*catalog.Layout, error) {
	if (cfg.GlueDatabase == "") != (cfg.GlueTable == "") {
		return nil, errors.New("a table has a name and a database: set SLUICE_GLUE_DATABASE and SLUICE_GLUE_TABLE, or neither")
	}
	if cfg.GlueTable == "" || prefix == nil {
		return nil, nil
	}
	l, err := catalog.NewLayout(cfg.Bucket, prefix)
	if err != nil {
		return nil, fmt.Errorf("SLUICE_PREFIX is not that of a table: %w", err)
	}
	// Athena and crawlers take all that lies below a table's location for its rows.
	for key, other := range map[string]string{"SLUICE_ERROR_PREFIX": cfg.ErrorPrefix, "SLUICE_STATE_PREFIX": cfg.StatePrefix} {
		if strings.HasPrefix(other, l.Location()) {
			return nil, fmt.Errorf("%s lies in %s, among the table's files; move it elsewhere", key, l.Location())
		}
	}
	return l, nil
}

// openCatalog makes the catalog of the configured table.
func openCatalog(ctx context.Context, cfg *config.Config, onError func(service, operation, class string)) (*catalog.Catalog, error) {
	sdk, err := config.AWS(ctx, cfg, onError)
	if err != nil {
		return nil, err
	}
	return catalog.Open(sdk, cfg.GlueDatabase, cfg.GlueTable), nil
}

// keepCatalog keeps the configured table as the files are, beside the consumer, until the function that it returns is called.
func (s *Service) keepCatalog(ctx context.Context, store *s3.Store, p *pipeline.Pipeline, c *consumer.Consumer) (stop func(), err error) {
	if s.plan.table == nil {
		return func() {}, nil
	}
	table, err := openCatalog(ctx, s.cfg, s.Metrics.AWSError)
	if err != nil {
		return nil, err
	}
	s.Metrics.ExpectCatalog(registrar.Operations())
	r := registrar.New(registrar.Config{
		Names: protocol.Names{App: s.cfg.App, Stream: s.cfg.StreamName(), StatePrefix: s.cfg.StatePrefix},
		Store: store, Catalog: table, Layout: s.plan.table, Output: s.cfg.Output,
		Columns: func(ctx context.Context) ([]columns.Field, error) { return p.Written(ctx, c.Agreed) },
		Leads:   c.Leads,
		// Nothing is new before a commit; and who queries the last minute waits no longer for its partition than for its rows.
		Every:   min(s.cfg.FlushInterval, time.Minute),
		Metrics: s.Metrics, Log: s.log,
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // to the end of the consumer, after that of the context
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	return func() { cancel(); running.Wait() }, nil
}
