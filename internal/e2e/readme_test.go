package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// TestReadme types the README's commands for AWS into a shell, with endpoints in the environment that lead elsewhere.
func TestReadme(t *testing.T) {
	ctx := t.Context()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, found := strings.Cut(string(text), "```\ngo build ./cmd/sluice\n")
	script, _, closed := strings.Cut(script, "```")
	if !found || !closed || !strings.Contains(script, "./sluice validate --online\n") || !strings.HasSuffix(script, "./sluice run\n") {
		t.Fatalf("the README's commands for AWS are not found, or not those that this test expects:\n%s", script)
	}
	w := newWorld(ctx, t)
	p, ledger := newProducer(t, w)
	records := make([]world.Record, world.BatchSize)
	for i := range records {
		payload := fmt.Appendf(nil, `{"sourceIp":"10.0.%d.%d","amount":%d}`, i%7, i%100, i)
		records[i] = world.Record{Key: fmt.Sprint(i), Data: payload, Payloads: [][]byte{payload}}
	}
	put(t, p, records)

	folder := t.TempDir() // go build would leave the binary in the project
	if err := os.Symlink(filepath.Join(binaries, "sluice"), filepath.Join(folder, "sluice")); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-ec", strings.Replace(script, "./sluice run\n", "exec ./sluice run\n", 1))
	shell.Dir = folder
	shell.Env = slices.Concat(os.Environ(), world.Environment(w.KinesisURL, w.DynamoURL, w.S3URL), []string{"SLUICE_FLUSH_INTERVAL=1s"})
	// The README promises this address.
	if answer, err := http.Get("http://127.0.0.1:9464/healthz"); err == nil {
		answer.Body.Close()
		shell.Env = append(shell.Env, "SLUICE_HTTP_ADDR="+address(t)) // somebody else has it on this machine
	}
	var out process.Tail
	shell.Stdout, shell.Stderr = &out, &out
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- shell.Wait() }()
	t.Cleanup(func() {
		_ = shell.Process.Kill() // it may have ended
		if t.Failed() {
			t.Log(out.String())
		}
	})
	visible := world.Visible{}
	for deadline := time.Now().Add(time.Minute); visibleRows(t, visible, w) < int64(ledger.Len()); time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("the commands ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the records are not visible after a minute")
		}
	}
	if err := shell.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(fmt.Errorf("after SIGTERM: %w", err))
	}
	exact(t, output(w), ledger)
}
