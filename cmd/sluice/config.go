package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/service"
)

// validate tells every fault of the configuration at once; load does it.
func validate(ctx context.Context, c command) error {
	own := flags("validate")
	online := own.Bool("online", false, "also look at the stream, the table, the bucket and the catalog")
	cfg, err := load(c, own, 0)
	if err != nil {
		return err
	}
	if *online {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := service.Online(ctx, cfg); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(c.stdout, "the configuration is valid")
	return err
}

// printConfig needs no setting to be given: it is also there to find out what is missing.
func printConfig(_ context.Context, c command) error {
	own := flags("config")
	env := own.Bool("env", false, "print SLUICE_* lines")
	docs := own.Bool("docs", false, "print the reference of all settings, in Markdown")
	cfg, err := load(c, own, 0, config.Require())
	if err != nil {
		return err
	}
	text := cfg.YAML()
	switch {
	case *docs:
		text = config.Docs()
	case *env:
		text = cfg.Env()
	}
	_, err = c.stdout.Write(text)
	return err
}
