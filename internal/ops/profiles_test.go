package ops

import (
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// Profiles are served at their own address, and neither there nor elsewhere is what the command line says.
func TestProfiles(t *testing.T) {
	s, err := NewProfiles("127.0.0.1:0", quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	url := "http://" + s.Addr() + "/debug/pprof/"
	for _, path := range []string{"heap", "profile?seconds=1"} {
		// As docs/operations.md has it.
		top, err := exec.Command("go", "tool", "pprof", "-top", url+path).CombinedOutput()
		if err != nil || !strings.Contains(string(top), "flat%") {
			t.Errorf("%s: %v\n%s", path, err, top)
		}
	}
	if status, _, body := do(t, "GET", url+"goroutine?debug=2"); status != 200 || !strings.Contains(body, "TestProfiles(") {
		t.Errorf("goroutine: %d %s", status, body)
	}
	if status, _, body := do(t, "GET", url+"trace?seconds=0.1"); status != 200 || !strings.HasPrefix(body, "go 1.") {
		t.Errorf("trace: %d, %.20q", status, body)
	}
	for _, path := range []string{"cmdline", "../../metrics"} {
		if status, _, body := do(t, "GET", url+path); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// Importing net/http/pprof has registered it at the default mux: which is not what the other address serves.
func TestProfilesAreNotAmongMetrics(t *testing.T) {
	request, err := http.NewRequest("GET", "http://x/debug/pprof/cmdline", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, pattern := http.DefaultServeMux.Handler(request); pattern == "" {
		t.Fatal("the default mux has no profiles: this test shows nothing")
	}
	m, h, _ := newTestMetrics()
	url := serveAll(t, m, h)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars"} {
		if status, _, body := do(t, "GET", url+path); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestProfilesAtAnAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := NewProfiles(taken.Addr().String(), quiet()); err == nil || !strings.Contains(err.Error(), "SLUICE_PPROF_ADDR") {
		t.Error(err)
	}
}
