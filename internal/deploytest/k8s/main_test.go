package k8s

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// scratch is a folder for the service's binary.
var scratch string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "sluice-k8s-"); err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return m.Run()
}

// build builds the service, for the first test that asks.
var build = sync.OnceValues(func() (binary string, err error) {
	binary = filepath.Join(scratch, "sluice")
	command := exec.Command("go", "build", "-o", binary, "./cmd/sluice")
	command.Dir = "../../.."
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the service: %w\n%s", err, out)
	}
	return binary, nil
})

// sluice runs the service's command with nothing but these variables, as a container does, and gives what it wrote and its status.
func sluice(t *testing.T, variables map[string]string, args ...string) (out string, status int) {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, args...)
	command.Env = []string{}
	for name, value := range variables {
		command.Env = append(command.Env, name+"="+value)
	}
	text, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}
