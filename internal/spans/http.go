package spans

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Collector sends requests to a collector by OTLP over HTTP.
type Collector struct {
	Endpoint string      // where traces go; it may hold a password
	Header   http.Header // added to each request; secret
	Gzip     bool
	Timeout  time.Duration // of an attempt

	client http.Client
}

// NewCollector makes a sender. Redirects are not followed: another host would get the header.
func NewCollector(endpoint string, header http.Header, zip bool, timeout time.Duration) *Collector {
	return &Collector{Endpoint: endpoint, Header: header, Gzip: zip, Timeout: timeout, client: http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send implements Sender. Answers of 429, 502, 503 and 504 ask to come again, as OTLP has it, and so does whoever does not answer. No
// error tells of the endpoint or the header.
func (c *Collector) Send(ctx context.Context, body []byte) (refused int, err error) {
	if c.Gzip {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write(body) // neither fails on a buffer
		_ = w.Close()
		body = packed.Bytes()
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the collector's address makes no request")
	}
	if c.Header != nil {
		request.Header = c.Header.Clone()
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("User-Agent", "sluice")
	if c.Gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	answer, err := c.client.Do(request)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err // without the address
		}
		return 0, Later{0, fmt.Errorf("post to the collector: %w", err)}
	}
	defer answer.Body.Close()
	response, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // without it, it tells of nothing
	if answer.StatusCode/100 == 2 {
		return rejected(response), nil
	}
	err = fmt.Errorf("the collector answered %s", answer.Status)
	switch answer.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 0, Later{retryAfter(answer.Header.Get("Retry-After"), time.Now()), err}
	}
	return 0, err
}

// retryAfter reads how long to wait, which is told in seconds or as a time.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), 3600)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
