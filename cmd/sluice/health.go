package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sluice-etl/sluice/internal/config"
)

// healthTimeout is shorter than what those who ask give the command, so that they see its reason.
const healthTimeout = 3 * time.Second

// health asks the service that runs with the same settings whether it lives. It is what checks the health of a container
// whose image has no shell and no curl.
func health(ctx context.Context, c command) error {
	cfg, err := settings(c, flags("health"), 0, config.Require())
	if err != nil {
		return err
	}
	if cfg.HTTPAddr == "off" {
		return errors.New("nobody can be asked: SLUICE_HTTP_ADDR is off; set it to the service's host:port")
	}
	// An address without a host, at which all interfaces are listened to, leads to this machine.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cfg.HTTPAddr+"/healthz", nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: healthTimeout, Transport: &http.Transport{}} // not by a proxy of the environment
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no service answers at SLUICE_HTTP_ADDR: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", request.URL, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", request.URL, answer.Status, text)
	}
	_, err = c.stdout.Write(text)
	return err
}
