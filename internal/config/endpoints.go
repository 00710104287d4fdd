package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// checkEndpoints refuses AWS endpoints whose traffic others could read: plain http that leaves the machine. Link-local
// addresses leave it too.
func (l *loader) checkEndpoints() {
	if strings.EqualFold(l.environ["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"], "true") {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		value := l.environ[name]
		if name != "AWS_ENDPOINT_URL" && !strings.HasPrefix(name, "AWS_ENDPOINT_URL_") || value == "" {
			continue
		}
		endpoint, err := url.Parse(value)
		switch {
		case err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https":
			// The value may hold a password, and so may url.Parse's error.
			l.faults = append(l.faults, Fault{name, sourceEnv, "want a URL such as https://host or http://localhost:4566"})
		case linkLocal(endpoint):
			l.faults = append(l.faults, Fault{name, sourceEnv, fmt.Sprintf(
				"%s is a link-local address: credentials are to be had there, and none of these services", endpoint.Host)})
		case insecure(endpoint) && !l.config.AllowInsecureEndpoints:
			l.faults = append(l.faults, Fault{name, sourceEnv, fmt.Sprintf(
				"%s would be reached over plain http; use https, or set SLUICE_ALLOW_INSECURE_ENDPOINTS=true", endpoint.Host)})
		}
	}
}

// checkWebhook refuses an address of alerts that others could read, as those of AWS. Its path and its parameters may be secret.
func (l *loader) checkWebhook() {
	u, err := url.Parse(l.config.AlertWebhook)
	if err != nil || u.Host == "" {
		return // there is none, or what is wrong with it is told
	}
	if linkLocal(u) {
		l.faults = append(l.faults, l.config.Fault("ALERT_WEBHOOK", u.Host+" is a link-local address: credentials are to be had there, and nobody takes alerts"))
	} else if insecure(u) && !l.config.AllowInsecureEndpoints {
		l.faults = append(l.faults, l.config.Fault("ALERT_WEBHOOK", u.Host+" would be reached over plain http; use https, or set SLUICE_ALLOW_INSECURE_ENDPOINTS=true"))
	}
}

// linkLocal tells whether the endpoint is an address of the network's own, as that of the instance metadata is.
func linkLocal(endpoint *url.URL) bool {
	address, err := netip.ParseAddr(endpoint.Hostname())
	return err == nil && address.Unmap().IsLinkLocalUnicast()
}

// insecure tells whether what is sent to the endpoint can be read outside of this machine.
func insecure(endpoint *url.URL) bool {
	if endpoint.Scheme == "https" {
		return false
	}
	host := strings.ToLower(endpoint.Hostname())
	if host == "localhost" {
		return false
	}
	address, err := netip.ParseAddr(host)
	return err != nil || !address.Unmap().IsLoopback()
}
