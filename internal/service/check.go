package service

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/intake"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/sink/catalog"
	"github.com/sluice-etl/sluice/transform"
	"github.com/sluice-etl/sluice/transform/enrich"
)

// plan is what the configuration says to the stages.
type plan struct {
	prefix, errorPrefix *sink.Prefix
	detectors           []anomaly.Settings
	schema              *transform.Schema // nil: it is to be found
	table               *catalog.Layout   // nil: there is no table in the catalog
	enrich              *enrich.Plan
	keys                *intake.Keys // nil: no records are taken in
	time                pipeline.EventTime
}

// Check finds what config.Load cannot know: faults in what the stages have to understand.
func Check(cfg *config.Config) config.Faults {
	_, faults := interpret(cfg)
	return faults
}

func interpret(cfg *config.Config) (p plan, faults config.Faults) {
	var err error
	if p.prefix, err = sink.ParsePrefix(cfg.Prefix); err != nil {
		faults = append(faults, cfg.Fault("PREFIX", err.Error()))
	}
	if p.errorPrefix, err = sink.ParseErrorPrefix(cfg.ErrorPrefix); err != nil {
		faults = append(faults, cfg.Fault("ERROR_PREFIX", err.Error()))
	}
	if p.table, err = table(cfg, p.prefix); err != nil {
		faults = append(faults, cfg.Fault("GLUE_TABLE", err.Error()))
	}
	schema, schemaFaults := schema(cfg)
	p.schema = schema
	faults = append(faults, schemaFaults...)
	steps, stepFaults := enrichment(cfg, schema)
	p.enrich = steps
	faults = append(faults, stepFaults...)
	switch {
	case cfg.IntakeAddr == off:
	case cfg.IntakeKeysFile == "":
		faults = append(faults, cfg.Fault("INTAKE_KEYS_FILE", "nobody could put records at SLUICE_INTAKE_ADDR; name a file of access keys: a line for each, with its id and its secret"))
	default:
		if p.keys, err = intake.OpenKeys(cfg.IntakeKeysFile); err != nil {
			faults = append(faults, cfg.Fault("INTAKE_KEYS_FILE", err.Error()))
		}
	}
	if cfg.AlertWebhook == "" && cfg.AlertSecret != "" {
		faults = append(faults, cfg.Fault("ALERT_WEBHOOK_SECRET", "there is nothing to sign: set SLUICE_ALERT_WEBHOOK, too"))
	}
	if len(cfg.Detectors) == 0 && (cfg.AlertTopic != "" || cfg.AlertWebhook != "") {
		faults = append(faults, cfg.Fault("ANOMALY_DETECTORS", "without a detector there is nothing to announce to SLUICE_ALERT_SNS_TOPIC or SLUICE_ALERT_WEBHOOK; name one, or leave them out"))
	}
	format, err := transform.ParseTimeFormat(cfg.TimeFormat)
	if err != nil {
		faults = append(faults, cfg.Fault("TIME_FORMAT", err.Error()))
	}
	p.time = pipeline.EventTime{Column: cfg.TimeColumn, Format: format, Partition: cfg.PartitionTime == event, MaxSkew: cfg.MaxSkew}
	switch {
	case cfg.TimeColumn == "" && p.time.Partition:
		faults = append(faults, cfg.Fault("PARTITION_TIME", "event needs a column that tells the time; set SLUICE_TIME_COLUMN"))
	case cfg.TimeColumn != "" && schema != nil && !slices.ContainsFunc(schema.Fields, func(f transform.Field) bool { return f.Name == cfg.TimeColumn }):
		faults = append(faults, cfg.Fault("TIME_COLUMN", fmt.Sprintf("the schema has no column %q", cfg.TimeColumn)))
	}
	if p.prefix != nil && schema != nil && len(stepFaults) == 0 {
		fields, err := pipeline.Columns(*schema, steps)
		if err != nil {
			return p, append(faults, cfg.Fault("SCHEMA", err.Error()))
		}
		var names []string
		for _, f := range fields {
			names = append(names, f.Name)
		}
		for _, column := range p.prefix.Columns() {
			if !slices.Contains(names, column) {
				faults = append(faults, cfg.Fault("PREFIX", fmt.Sprintf("there is no column %q; there are %s", column, strings.Join(names, ", "))))
			}
		}
	}
	var known []columns.Field // beforehand, those that steps add among them
	if schema != nil && len(stepFaults) == 0 {
		known, _ = pipeline.CheckColumns(*schema, steps) // what is wrong is a fault of the steps
	}
	for _, d := range cfg.Detectors {
		settings := detector(d)
		if err := fits(settings, known); err != nil {
			faults = append(faults, cfg.Fault("ANOMALY_DETECTORS", err.Error()))
		}
		p.detectors = append(p.detectors, settings)
	}
	return p, faults
}

// detector is what the configuration says to a detector.
func detector(d config.Detector) anomaly.Settings {
	return anomaly.Settings{
		Name: d.Name, Kind: d.Kind, Key: d.Key, Metric: d.Metric, Window: d.Window, Threshold: d.Threshold, MinCount: d.MinCount,
		MaxKeys: d.MaxKeys, Baseline: d.Baseline, Scope: d.Scope, Expression: d.Expression,
	}
}

// stages is the configuration of a pipeline, but for its memory, and for whom it tells.
func (p plan) stages(cfg *config.Config, createdBy string) pipeline.Config {
	return pipeline.Config{
		Prefix: p.prefix, ErrorPrefix: p.errorPrefix, Timezone: cfg.Timezone,
		Schema:      p.schema,
		NewDetector: func(reserved ...string) pipeline.Detector { return newDetector(cfg, reserved...) },
		Output:      cfg.Output, Compression: cfg.Compression, CreatedBy: createdBy,
		Enrich: *p.enrich, Detectors: p.detectors, EventTime: p.time,
		FlushBytes: cfg.FlushBytes, FlushInterval: cfg.FlushInterval,
	}
}

// fits tells whether there can be such a detector, and where the columns are known, whether it finds those that it needs.
func fits(settings anomaly.Settings, known []columns.Field) error {
	engine, err := anomaly.NewEngine([]anomaly.Settings{settings})
	if err != nil || known == nil {
		return err
	}
	return engine.Bind(known)
}
