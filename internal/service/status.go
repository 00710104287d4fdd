package service

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/status"
)

// page makes the status page, or nil where there is to be none.
func (s *Service) page() ops.Page {
	if !s.cfg.Status {
		return nil
	}
	s.status = status.New(s.shown(s.cfg), s.Metrics, s.health)
	return s.status
}

// shown is what the page tells of a configuration that New has found in order.
func (s *Service) shown(of *config.Config) status.Config {
	cfg := status.Config{Build: s.build, Worker: of.WorkerID, Stream: of.StreamName(), KeysShown: of.StatusKeys,
		Detectors: []status.Detector{}}
	sources := map[string]string{} // by name
	for _, setting := range of.Settings() {
		cfg.Settings = append(cfg.Settings, status.Setting(setting))
		sources[setting.Name], _, _ = strings.Cut(setting.Source, ":") // of a default, not which kind has which
		if strings.HasPrefix(setting.Source, "file ") {
			sources[setting.Name] = setting.Source
		}
	}
	for _, d := range of.Detectors {
		d, err := detector(d).Complete()
		if err != nil {
			continue // New has found it in order
		}
		setting := func(name, value string) status.Setting {
			full := config.DetectorSetting(d.Name, name)
			return status.Setting{Name: full, Value: value, Source: sources[full]}
		}
		cfg.Detectors = append(cfg.Detectors, status.Detector{
			Name: d.Name, Kind: d.Kind, Key: strings.Join(d.Key, ", "), Metric: cmp.Or(d.Metric, d.Expression),
			Threshold: setting("THRESHOLD", strconv.FormatFloat(*d.Threshold, 'g', -1, 64)),
			MinCount:  setting("MIN_COUNT", strconv.FormatInt(*d.MinCount, 10)),
		})
	}
	return cfg
}
