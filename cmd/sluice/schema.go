package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/service"
	"github.com/sluice-etl/sluice/transform"
)

// tableName is a name that Athena takes, with or without its database.
var tableName = regexp.MustCompile(`^([a-z0-9_]{1,255}\.)?[a-z0-9_]{1,255}$`)

// schema prints the columns: those of a file of records, or those that the workers have agreed on. It changes nothing.
func schema(ctx context.Context, c command) error {
	own := flags("schema")
	asDDL := own.Bool("athena", false, "print the statement that makes a table of Athena")
	projection := own.Bool("projection", false, "with --athena: let Athena compute the partitions, which need not be registered then")
	name := own.String("table", "", "with --athena: the `name` of the table, or DATABASE.TABLE (default: the stream's name)")
	cfg, err := load(c, own, 1, config.Require())
	if err != nil {
		return err
	}
	if *asDDL {
		if *name == "" {
			*name = regexp.MustCompile(`[^a-z0-9_]`).ReplaceAllString(strings.ToLower(cfg.StreamName()), "_")
		}
		switch {
		case cfg.Bucket == "":
			return usageError("--athena needs SLUICE_BUCKET (or --bucket): the table lies there")
		case !tableName.MatchString(*name):
			return usageError("--table is to be a name of lower-case letters, digits and _, or DATABASE.TABLE; without SLUICE_STREAM it must be given")
		}
	} else if *projection || *name != "" {
		return usageError("--projection and --table belong to --athena")
	}
	found, err := findSchema(ctx, c, cfg)
	if err != nil {
		return err
	}
	if !*asDDL {
		out := json.NewEncoder(c.stdout)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(found)
	}
	ddl, err := service.AthenaTable(cfg, found, *name, *projection)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.stdout, ddl)
	return err
}

func findSchema(ctx context.Context, c command, cfg *config.Config) (*transform.Schema, error) {
	if len(cfg.Args) == 0 {
		return service.AgreedSchema(ctx, cfg)
	}
	if cfg.Args[0] == "-" {
		return service.DetectSchema(cfg, c.stdin)
	}
	file, err := os.Open(cfg.Args[0])
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return service.DetectSchema(cfg, file)
}
