package service

import (
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
	"github.com/sluice-etl/sluice/transform/enrich"
)

// enrichment is what the configuration says of the steps for each row. It reads the databases and the key, and holds the steps
// against the columns where these are known beforehand.
func enrichment(cfg *config.Config, schema *transform.Schema) (steps *enrich.Plan, faults config.Faults) {
	needs := enrich.Resources{Reserved: append(pipeline.Reserved(), transform.RescuedColumn)}
	for _, file := range cfg.GeoIPDatabases {
		d, err := enrich.OpenDatabase(file)
		if err != nil {
			faults = append(faults, cfg.Fault("GEOIP_DATABASE", err.Error()))
		}
		needs.Databases = append(needs.Databases, d)
	}
	if cfg.HashKeyFile != "" {
		var err error
		if needs.Key, err = enrich.ReadKey(cfg.HashKeyFile); err != nil {
			faults = append(faults, cfg.Fault("HASH_KEY_FILE", err.Error()))
			needs.Key = &enrich.Key{} // the steps are looked at all the same
		}
	}
	steps, wrong := enrich.Parse(cfg.Enrich, needs)
	for _, err := range wrong {
		faults = append(faults, cfg.Fault("ENRICH", err.Error()))
	}
	if len(wrong) == 0 && cfg.Output == sink.OutputRaw && steps.Hides() {
		faults = append(faults, cfg.Fault("ENRICH", "hash and drop do not reach the lines as they came, which SLUICE_OUTPUT=raw writes; use parquet or json, or leave these steps out"))
	}
	if len(faults) > 0 || schema == nil {
		return steps, faults
	}
	if _, err := pipeline.CheckColumns(*schema, steps); err != nil {
		faults = append(faults, cfg.Fault("ENRICH", err.Error()))
	}
	return steps, faults
}
