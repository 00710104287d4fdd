package peers

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestStart(t *testing.T) {
	dir := os.Getenv(Env)
	if dir == "" {
		t.Skipf("%s names no installation of the peers; .ci/run makes one and runs this", Env)
	}
	for _, name := range []string{"kinesalite", "dynalite"} {
		t.Run(name, func(t *testing.T) {
			url, stop, err := Start(context.Background(), dir, name)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(url, "http://127.0.0.1:") {
				t.Errorf("URL %q is not on 127.0.0.1", url)
			}
			answer, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if err := stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
			if answer, err := http.Get(url); err == nil {
				answer.Body.Close()
				t.Error("it still answers after stop")
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	for _, c := range []struct{ name, says string }{
		{"localstack", "no peer is named"},
		{"kinesalite", "npm ci"},
	} {
		_, _, err := Start(context.Background(), t.TempDir(), c.name)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("Start(%s) = %v, want an error that says %q", c.name, err, c.says)
		}
	}
}
