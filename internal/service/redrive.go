package service

import (
	"context"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/redrive"
)

// Redrive sends rejected records from the bucket to the configured stream again. The filters, the flags and whom to tell are
// given, and the prefix if it is not the beginning of the configured one; the rest is filled in here.
func Redrive(ctx context.Context, cfg *config.Config, c redrive.Config) (redrive.Summary, error) {
	plan, faults := interpret(cfg)
	if len(faults) > 0 {
		return redrive.Summary{}, faults
	}
	clients, store, err := Connect(ctx, cfg, nil)
	if err != nil {
		return redrive.Summary{}, err
	}
	if err := store.Check(ctx); err != nil {
		return redrive.Summary{}, err
	}
	if c.Prefix == "" {
		c.Prefix = plan.errorPrefix.Static()
	}
	// The claims are of the stream, and not of the application: with another application, of another format, the same records
	// are sent no second time.
	c.Store, c.State = store, cfg.StatePrefix+"redrive/"+cfg.StreamName()+"/"
	c.Send = func(ctx context.Context, records []consumer.Outgoing) error {
		return (&consumer.Producer{Client: clients.Kinesis, Stream: cfg.StreamName()}).Put(ctx, records)
	}
	return redrive.Run(ctx, c)
}
