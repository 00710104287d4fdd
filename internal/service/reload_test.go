package service

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/pipeline"
)

// Each configuration is taken over as far as it can be, or refused whole, and the log tells what became of it.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := func(settings string) (*config.Config, error) {
			environ := append([]string{"SLUICE_STREAM=s", "SLUICE_BUCKET=bucket", "SLUICE_MEMORY_LIMIT=256MiB",
				"SLUICE_ANOMALY_DETECTORS=source", "SLUICE_ANOMALY_SOURCE_KIND=rate", "SLUICE_ANOMALY_SOURCE_KEY=ip"}, strings.Fields(settings)...)
			cfg, err := config.Load(nil, environ, os.ReadFile)
			if err != nil {
				return nil, err
			}
			return cfg, Check(cfg).Err()
		}
		cfg, err := read("")
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		level := new(slog.LevelVar)
		s, err := New(cfg, ops.NewLogger(&log, "text", level, false))
		if err != nil {
			t.Fatal(err)
		}
		p, err := pipeline.New(s.plan.stages(cfg, "test"))
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan os.Signal)
		next := ""
		s.Reload = &Reload{Asked: asked, Level: level, Read: func() (*config.Config, error) {
			if next == "gone" {
				return nil, errors.New("it is gone")
			}
			return read(next)
		}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.reload(ctx, p)
		for _, step := range []struct {
			settings string
			level    slog.Level
			logged   string // a part of each line
		}{
			{"SLUICE_LOG_LEVEL=warn SLUICE_ANOMALY_SOURCE_THRESHOLD=0.5 SLUICE_APP=other", slog.LevelWarn,
				`needs a restart, and stays as it was" key=SLUICE_APP old=sluice new=other` + "\n" +
					`was changed" key=SLUICE_ANOMALY_SOURCE_THRESHOLD old="" new=0.5` + "\n" +
					`was changed" key=SLUICE_LOG_LEVEL old=info new=warn` + "\n" + `is reloaded" changed=2 need_a_restart=1`},
			{"SLUICE_LOG_LEVEL=debug SLUICE_ANOMALY_SOURCE_THRESHOLD=0 SLUICE_FLUSH_BYTES=1", slog.LevelWarn,
				"not reloaded, and stays as it was; mend it, and send SIGHUP again\" error=\"SLUICE_FLUSH_BYTES"},
			{"SLUICE_LOG_LEVEL=debug SLUICE_ANOMALY_SOURCE_THRESHOLD=0", slog.LevelWarn, "the threshold 0 is not above 0"},
			{"gone", slog.LevelWarn, "it is gone"},
			{"SLUICE_LOG_LEVEL=debug", slog.LevelDebug,
				`key=SLUICE_ANOMALY_SOURCE_THRESHOLD old=0.5 new=""` + "\n" + `key=SLUICE_LOG_LEVEL old=warn new=debug` + "\n" + `changed=2 need_a_restart=0`},
		} {
			log.Reset()
			next = step.settings
			asked <- os.Interrupt
			synctest.Wait()
			lines, want := strings.Split(strings.TrimSpace(log.String()), "\n"), strings.Split(step.logged, "\n")
			if level.Level() != step.level || len(lines) != len(want) {
				t.Errorf("%s: the level is %v; logged is\n%s", step.settings, level, log.String())
				continue
			}
			for i, line := range lines {
				if !strings.Contains(line, want[i]) {
					t.Errorf("%s: %s; want %s", step.settings, line, want[i])
				}
			}
		}
	})
}
