package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// proxies stand between the workers and each service.
type proxies struct{ kinesis, dynamo, s3 *proxy }

// startProxies starts a proxy before each of three endpoints.
func startProxies(kinesisURL, dynamoURL, s3URL string) (*proxies, error) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // one of the toxics writes to the global logger
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &proxies{}
	for _, one := range []struct {
		name, url string
		into      **proxy
	}{{"Kinesis", kinesisURL, &p.kinesis}, {"DynamoDB", dynamoURL, &p.dynamo}, {"S3", s3URL, &p.s3}} {
		upstream, err := url.Parse(one.url)
		if err != nil {
			return nil, err
		}
		inner := toxiproxy.NewProxy(server, one.name, "127.0.0.1:0", upstream.Host)
		if err := inner.Start(); err != nil {
			p.stop()
			return nil, fmt.Errorf("start a proxy before %s: %w", one.name, err)
		}
		*one.into = &proxy{name: one.name, url: "http://" + inner.Listen, inner: inner}
	}
	return p, nil
}

func (p *proxies) all() []*proxy { return []*proxy{p.kinesis, p.dynamo, p.s3} }

func (p *proxies) stop() {
	for _, one := range p.all() {
		if one != nil {
			one.inner.Stop()
		}
	}
}

// proxy stands before one service.
type proxy struct {
	name, url string
	inner     *toxiproxy.Proxy
}

// toxic is what a proxy does to connections, in Toxiproxy's terms. A proxy has one of a kind at a time.
type toxic struct {
	Type       string           `json:"type"`
	Stream     string           `json:"stream"` // upstream: requests; downstream: answers
	Attributes map[string]int64 `json:"attributes"`
}

// The directions of a toxic.
const (
	requests = "upstream"
	answers  = "downstream"
)

// add lets a toxic work, on the connections there are and on new ones. remove ends it.
func (p *proxy) add(t toxic) (remove func() error, err error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	var added *toxics.ToxicWrapper
	err = p.bounded("add", t, func() (err error) { added, err = p.inner.Toxics.AddToxicJson(bytes.NewReader(text)); return })
	if err != nil {
		return nil, err
	}
	return func() error {
		return p.bounded("remove", t, func() error { return p.inner.Toxics.RemoveToxic(context.Background(), added.Name) })
	}, nil
}

// patience is how long a change of a proxy may take. It waits until what is under way on each connection is written, and
// for that until a peer that stands still goes on.
const patience = 2 * time.Minute

// bounded fails where a change of a proxy does not come to an end.
func (p *proxy) bounded(what string, t toxic, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	err := error(nil)
	select {
	case err = <-done:
	case <-time.After(patience):
		err = fmt.Errorf("not done within %v", patience)
	}
	if err != nil {
		return fmt.Errorf("%s the toxic %s of the proxy before %s: %w", what, t.Type, p.name, err)
	}
	return nil
}
