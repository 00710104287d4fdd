package service

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/alert"
	"github.com/sluice-etl/sluice/internal/alert/sns"
	"github.com/sluice-etl/sluice/internal/config"
)

// leastSecret is the length of a key that nobody guesses.
const leastSecret = 16

// alertSecret is the key of the webhook's signatures, or nil where there is none.
func alertSecret(cfg *config.Config) ([]byte, config.Faults) {
	var message string
	secret := []byte(cfg.AlertSecret)
	switch {
	case cfg.AlertWebhook == "" && (cfg.AlertSecret != "" || cfg.AlertSecretFile != ""):
		message = "there is nothing to sign: set SLUICE_ALERT_WEBHOOK, too"
	case cfg.AlertSecret != "" && cfg.AlertSecretFile != "":
		message = "SLUICE_ALERT_WEBHOOK_SECRET is set, too; leave one of them out"
	case cfg.AlertSecretFile != "":
		var err error
		if secret, err = os.ReadFile(cfg.AlertSecretFile); errors.Is(err, os.ErrNotExist) {
			message = "there is no such file; want one with the key of the signatures"
		} else if err != nil {
			message = err.Error()
		} else if secret = bytes.TrimRight(secret, "\r\n"); len(secret) < leastSecret {
			message = "the key is too short; want at least 16 characters, as `openssl rand -hex 32` makes them"
		}
	}
	if message != "" {
		return nil, config.Faults{cfg.Fault("ALERT_WEBHOOK_SECRET_FILE", message)}
	}
	return secret, nil
}

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
	var receivers []alert.Receiver
	if s.cfg.AlertTopic != "" {
		sdk, err := config.AWS(ctx, s.cfg, s.Metrics.AWSError)
		if err != nil {
			return a, nil, err
		}
		receivers = append(receivers, sns.Open(sdk, s.cfg.AlertTopic))
	}
	if s.cfg.AlertWebhook != "" {
		receivers = append(receivers, alert.NewWebhook(s.cfg.AlertWebhook, s.plan.alertSecret))
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
