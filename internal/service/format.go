package service

import (
	"errors"
	"os"

	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/transform"
)

// Values of settings that mean something here.
const (
	detect  = "detect" // SLUICE_SCHEMA
	auto    = "auto"   // SLUICE_APACHE_LOG_FORMAT
	allText = "string" // SLUICE_APACHE_TYPES
	off     = "off"    // SLUICE_INTAKE_ADDR and the other addresses
	event   = "event"  // SLUICE_PARTITION_TIME
)

// schema is what the configuration says of the columns: nil, where they are to be found in the first records.
func schema(cfg *config.Config) (*transform.Schema, config.Faults) {
	var base transform.Schema // of the format, if it has columns of its own
	var err error
	switch cfg.Format {
	case transform.FormatApache:
		if cfg.ApacheLogFormat == auto {
			if cfg.Schema != detect {
				return nil, config.Faults{cfg.Fault("SCHEMA", "columns cannot be declared for a log format that is to be found; set SLUICE_APACHE_LOG_FORMAT")}
			}
			return nil, nil
		}
		if base, err = transform.ApacheSchema(cfg.ApacheLogFormat, cfg.ApacheTypes == allText, pipeline.Reserved()...); err != nil {
			return nil, config.Faults{cfg.Fault("APACHE_LOG_FORMAT", err.Error())}
		}
	case transform.FormatRaw:
		base = transform.RawSchema()
	case transform.FormatCSV, transform.FormatTSV:
		base.Format = cfg.Format
	}
	if cfg.Schema == detect {
		if base.Fields == nil {
			return nil, nil
		}
		return &base, nil
	}
	declared, err := readSchema(cfg.Schema)
	if err != nil {
		return nil, config.Faults{cfg.Fault("SCHEMA", err.Error())}
	}
	declared.Format, declared.LogFormat = base.Format, base.LogFormat
	if declared.Nested == transform.NestedJSON && cfg.Nested == transform.NestedFlatten && cfg.Format == "json" {
		declared.Nested = transform.NestedFlatten
	}
	return &declared, nil
}

func readSchema(file string) (transform.Schema, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return transform.Schema{}, errors.New("there is no such file; want detect, or a file that declares columns")
	}
	if err != nil {
		return transform.Schema{}, err
	}
	return transform.ParseSchema(text, pipeline.Reserved()...)
}

// newDetector makes what finds the schema where none is declared.
func newDetector(cfg *config.Config, reserved ...string) pipeline.Detector {
	switch cfg.Format {
	case transform.FormatApache:
		return transform.NewLogDetector(cfg.ApacheTypes == allText, reserved...)
	case transform.FormatCSV, transform.FormatTSV:
		return transform.NewHeaderDetector(cfg.Format, reserved...)
	}
	d := transform.NewDetector(reserved...)
	if cfg.Nested == transform.NestedFlatten {
		d.Flatten()
	}
	return d
}
