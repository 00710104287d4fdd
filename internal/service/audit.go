package service

import (
	"context"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/audit"
	"github.com/sluice-etl/sluice/internal/config"
)

// auditPatience is more than what is left to do after a commit takes, also when its owner died and another has to take over.
const auditPatience = 20 * time.Second

// Audit holds what the commits of the configured stream claim against what lies in the bucket. The range and whom to tell
// are given; the rest of the audit's configuration is filled in here.
func Audit(ctx context.Context, cfg *config.Config, c audit.Config) (*audit.Summary, error) {
	plan, faults := interpret(cfg)
	if len(faults) > 0 {
		return nil, faults
	}
	clients, store, err := Connect(ctx, cfg, nil)
	if err != nil {
		return nil, err
	}
	if err := store.Check(ctx); err != nil {
		return nil, err
	}
	c.Names = protocol.Names{App: cfg.App, Stream: cfg.StreamName(), StatePrefix: cfg.StatePrefix}
	c.Prefixes = []string{plan.prefix.Static(), plan.errorPrefix.Static()}
	c.Store, c.Leases = store, clients.PendingReader(cfg.LeaseTable)
	c.Patience = auditPatience
	return audit.Run(ctx, c)
}
