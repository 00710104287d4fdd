package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/alert"
	"github.com/sluice-etl/sluice/internal/alert/sns"
	"github.com/sluice-etl/sluice/internal/config"
)

// announcer hands the pipeline's notices on.
type announcer struct{ *alert.Announcer }

func (a announcer) Announce(shard string, n anomaly.Notice, done func()) {
	told := alert.Alert{
		ID: n.ID, Sequence: n.Sequence, Phase: n.Phase, Group: n.Group, Shard: shard, Detector: n.Detector, Key: n.Key,
		Opened: time.UnixMilli(n.Opened).UTC(), At: time.UnixMilli(n.At).UTC(), Records: n.Rows, Score: n.Score, Reason: n.Reason,
	}
	if !n.Bandless {
		told.Band = &alert.Band{Value: n.Value, Expected: n.Expected, Lower: n.Lower, Upper: n.Upper}
	}
	a.Announcer.Announce(told, done)
}

// flushAlerts is how long a service that stops waits for receivers. What they do not take by then is announced again by who goes on.
const flushAlerts = time.Second

// keepAlerts tells the configured receivers of episodes, beside the consumer, until the function that it returns is called.
func (s *Service) keepAlerts(ctx context.Context) (a announcer, stop func(), err error) {
	receivers := slices.Clone(s.Receivers)
	if s.cfg.AlertTopic != "" {
		sdk, err := config.AWS(ctx, s.cfg, s.Metrics.AWSError)
		if err != nil {
			return a, nil, err
		}
		receivers = append(receivers, sns.Open(sdk, s.cfg.AlertTopic))
	}
	if s.cfg.AlertWebhook != "" {
		receivers = append(receivers, alert.NewWebhook(s.cfg.AlertWebhook, []byte(s.cfg.AlertSecret)))
	}
	var detectors, names []string
	for _, d := range s.plan.detectors {
		detectors = append(detectors, d.Name)
	}
	for _, r := range receivers {
		names = append(names, r.Name())
	}
	s.Metrics.ExpectAlerts(detectors, anomaly.Phases(), names, alert.Causes())
	a.Announcer = alert.New(alert.Config{
		App: s.cfg.App, Stream: s.cfg.StreamName(), Most: s.cfg.AlertMost, Receivers: receivers, Metrics: s.Metrics, Log: s.log,
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // to the end of the consumer, whose last commits may hold alerts
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx, flushAlerts) })
	return a, func() { cancel(); running.Wait() }, nil
}
