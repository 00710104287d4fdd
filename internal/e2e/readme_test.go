package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
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
	p := &producer{client: w.kinesis, stream: stream, ledger: &check.Ledger{}, random: rand.New(rand.NewPCG(seed(t), 1))}
	records := make([]record, batchSize)
	for i := range records {
		payload := fmt.Appendf(nil, `{"sourceIp":"10.0.%d.%d","amount":%d}`, i%7, i%100, i)
		records[i] = record{key: fmt.Sprint(i), data: payload, payloads: [][]byte{payload}}
	}
	p.put(ctx, t, records)

	folder := t.TempDir() // go build would leave the binary in the project
	if err := os.Symlink(filepath.Join(binaries, "sluice"), filepath.Join(folder, "sluice")); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-ec", strings.Replace(script, "./sluice run\n", "exec ./sluice run\n", 1))
	shell.Dir = folder
	shell.Env = append(os.Environ(), "AWS_REGION="+region, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey,
		"AWS_ENDPOINT_URL_KINESIS="+w.kinesisURL, "AWS_ENDPOINT_URL_DYNAMODB="+w.dynamoURL, "AWS_ENDPOINT_URL_S3="+w.s3URL, "SLUICE_FLUSH_INTERVAL=1s")
	// The README promises this address.
	if answer, err := http.Get("http://127.0.0.1:9464/healthz"); err == nil {
		answer.Body.Close()
		shell.Env = append(shell.Env, "SLUICE_HTTP_ADDR="+address(t)) // somebody else has it on this machine
	}
	var out tail
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
	visible := counter{}
	for deadline := time.Now().Add(time.Minute); visible.count(t, w.dir) < int64(p.ledger.Len()); time.Sleep(100 * time.Millisecond) {
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
	exact(t, w.output(), p.ledger)
}
