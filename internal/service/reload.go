package service

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/pipeline"
)

// Reload says how a running service comes by new settings. All fields are required.
type Reload struct {
	Asked <-chan os.Signal               // asks for it each time that something is received
	Read  func() (*config.Config, error) // reads the configuration again, from where it was read, and checks it as Check does
	Level *slog.LevelVar                 // of the service's log
}

// reload takes over what can change while the service runs, as often as it is asked to, until the context ends. A
// configuration with a fault changes nothing: the service goes on with what it has.
func (s *Service) reload(ctx context.Context, p *pipeline.Pipeline) {
	running := s.cfg
	for {
		select {
		case <-s.Reload.Asked:
		case <-ctx.Done():
			return
		}
		next, err := s.Reload.Read()
		if err != nil {
			s.refuse(err)
			continue
		}
		merged, changes := running.Reload(next)
		detectors := make([]anomaly.Settings, len(merged.Detectors))
		for i, d := range merged.Detectors {
			detectors[i] = detector(d)
		}
		if err := p.Tune(detectors); err != nil {
			s.refuse(err)
			continue
		}
		running = merged
		if s.status != nil {
			s.status.Configure(s.shown(running))
		}
		s.tell(changes, ops.Level(running.LogLevel))
	}
}

// refuse tells, of a configuration that is not taken over, every fault.
func (s *Service) refuse(err error) {
	const message = "the configuration is not reloaded, and stays as it was; mend it, and send SIGHUP again"
	var faults config.Faults
	if !errors.As(err, &faults) {
		s.log.Error(message, "error", err)
		return
	}
	for _, fault := range faults {
		s.log.Error(message, "error", fault.String())
	}
}

// tell logs what has changed, and goes over to a level of the log. In between the log is at the more talkative of both
// levels, so that who turns it down or up sees that it was done.
func (s *Service) tell(changes []config.Change, level slog.Level) {
	s.Reload.Level.Set(min(level, s.Reload.Level.Level()))
	taken := 0
	for _, c := range changes {
		if c.Live {
			taken++
			s.log.Info("a setting was changed", "key", c.Key, "old", c.Old, "new", c.New)
		} else {
			s.log.Warn("a setting needs a restart, and stays as it was", "key", c.Key, "old", c.Old, "new", c.New)
		}
	}
	s.log.Info("the configuration is reloaded", "changed", taken, "need_a_restart", len(changes)-taken)
	s.Reload.Level.Set(level)
}
