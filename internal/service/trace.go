package service

import (
	"context"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/trace"
)

// Trace tells where a record of the configured stream went. The shard and the sequence number are given; the rest of the
// configuration of the search is filled in here.
func Trace(ctx context.Context, cfg *config.Config, c trace.Config) (*trace.Trace, error) {
	clients, store, err := Connect(ctx, cfg, nil)
	if err != nil {
		return nil, err
	}
	if err := store.Check(ctx); err != nil {
		return nil, err
	}
	c.Names = protocol.Names{App: cfg.App, Stream: cfg.StreamName(), StatePrefix: cfg.StatePrefix}
	c.Store, c.Pending = store, clients.PendingReader(cfg.LeaseTable).PendingOf
	return trace.Run(ctx, c)
}
