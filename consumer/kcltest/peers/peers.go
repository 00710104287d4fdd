// Package peers runs stand-ins that others wrote, kinesalite for Kinesis and dynalite for DynamoDB, beside kcltest's: a contract that only our
// own server were held to would only say that we agree with ourselves. It installs nothing: run `npm ci` in a copy of this folder first.
package peers

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Env is the environment variable that names, for tests, the directory in which package.json's packages are installed.
const Env = "KCLTEST_PEERS"

//go:embed loopback.js
var loopback string

// startTimeout bounds how long a peer may take until it answers. Node starts in well under a second on an idle machine.
const startTimeout = 30 * time.Second

// Start runs the peer name, "kinesalite" or "dynalite", from the packages installed in dir, and returns its URL on 127.0.0.1 once it accepts
// connections. Its state is in memory. stop ends it and waits; so does the end of ctx, or of this process.
func Start(ctx context.Context, dir, name string) (url string, stop func() error, err error) {
	if name != "kinesalite" && name != "dynalite" {
		return "", nil, fmt.Errorf("peers: no peer is named %q", name)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", name)); err != nil {
		return "", nil, fmt.Errorf("peers: %s is not installed (copy package.json and package-lock.json to %s and run npm ci there): %w", name, dir, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "node", "-e", loopback, name)
	cmd.Dir = dir
	cmd.Stderr = &stderr
	// Held open, never written: its end tells the peer to exit.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return "", nil, fmt.Errorf("peers: start %s: %w", name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return "", nil, fmt.Errorf("peers: start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return "", nil, fmt.Errorf("peers: start %s: %w", name, err)
	}
	stop = func() error {
		stdin.Close()
		cancel()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("peers: stop %s: %w", name, err)
		}
		return nil
	}

	slow := time.AfterFunc(startTimeout, cancel)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if !slow.Stop() || err != nil {
		// Only after Wait is stderr complete.
		waitErr := stop()
		return "", nil, fmt.Errorf("peers: %s ended or did not answer within %v: %w\n%s", name, startTimeout, errors.Join(err, waitErr), stderr.String())
	}
	return strings.TrimSpace(line), stop, nil
}
