package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	dead := false
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/healthz":
			http.NotFound(w, r)
		case dead:
			http.Error(w, "the worker has ended", http.StatusServiceUnavailable)
		default:
			_, _ = w.Write([]byte("ok\n"))
		}
	}))
	defer service.Close()
	_, port, err := net.SplitHostPort(service.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// As in the image: all interfaces; a proxy is for others; and files that settings name are not read.
	environ := []string{"SLUICE_HTTP_ADDR=:" + port, "HTTP_PROXY=http://127.0.0.1:1", "SLUICE_GEOIP_DATABASE=missing.mmdb"}
	if status, stdout, stderr := sluice(t, environ, "health"); status != 0 || stdout != "ok\n" {
		t.Errorf("of a service that lives: status %d, %s%s", status, stdout, stderr)
	}
	dead = true
	status, _, stderr := sluice(t, environ, "health")
	if status != 1 {
		t.Errorf("of a dead one: status %d", status)
	}
	contains(t, stderr, "503", "the worker has ended")
	service.Close()
	begun := time.Now()
	status, _, stderr = sluice(t, environ, "health")
	if status != 1 || time.Since(begun) > 2*healthTimeout {
		t.Errorf("of none: status %d after %v", status, time.Since(begun))
	}
	contains(t, stderr, "SLUICE_HTTP_ADDR")
	status, _, stderr = sluice(t, []string{"SLUICE_HTTP_ADDR=off"}, "health")
	if status != 1 {
		t.Errorf("without an address: status %d", status)
	}
	contains(t, stderr, "SLUICE_HTTP_ADDR is off")
}
