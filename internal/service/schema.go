package service

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sluice-etl/sluice/internal/athena"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/transform"
)

// sampleBytes is how much of a file of records is looked at.
const sampleBytes = 64 << 20

// DetectSchema finds the schema of records in the configured format, one or more a line, gzip or not. Formats that tell their
// columns themselves need no record.
func DetectSchema(cfg *config.Config, r io.Reader) (*transform.Schema, error) {
	undeclared := *cfg
	undeclared.Schema = detect
	known, faults := schema(&undeclared)
	if len(faults) > 0 {
		return nil, faults
	}
	if known != nil {
		return known, nil
	}
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("the records are no gzip: %w", err)
		}
		in = bufio.NewReader(unzipped)
	}
	sample, err := io.ReadAll(io.LimitReader(in, sampleBytes))
	if err != nil {
		return nil, fmt.Errorf("read the records: %w", err)
	}
	d := newDetector(cfg, pipeline.Reserved()...)
	d.Add(sample)
	if d.Records() == 0 {
		return nil, fmt.Errorf("no record of the format %s is found; SLUICE_FORMAT tells the format", cfg.Format)
	}
	found := d.Schema()
	return &found, nil
}

// AgreedSchema reads the schema that the workers have agreed on.
func AgreedSchema(ctx context.Context, cfg *config.Config) (*transform.Schema, error) {
	clients, _, err := Connect(ctx, cfg, nil)
	if err != nil {
		return nil, err
	}
	return pipeline.Agreed(ctx, clients, cfg.LeaseTable)
}

// AthenaTable gives the statement for a table over the files of a schema.
func AthenaTable(cfg *config.Config, s *transform.Schema, name string, projection bool) (string, error) {
	if cfg.Output == sink.OutputRaw {
		return "", errors.New("files of SLUICE_OUTPUT=raw have no columns: a table over them needs a serde for the lines that came")
	}
	prefix, err := sink.ParsePrefix(cfg.Prefix)
	if err != nil {
		return "", config.Faults{cfg.Fault("PREFIX", err.Error())}
	}
	steps, faults := enrichment(cfg, s)
	if len(faults) > 0 {
		return "", faults
	}
	fields, err := pipeline.Columns(*s, steps)
	if err != nil {
		return "", err
	}
	fields = slices.DeleteFunc(fields, func(f columns.Field) bool { return slices.Contains(prefix.FolderColumns(), f.Name) })
	return athena.Table{Name: name, Bucket: cfg.Bucket, Prefix: prefix, Columns: fields, JSON: cfg.Output == sink.OutputJSON, Projection: projection}.DDL()
}
