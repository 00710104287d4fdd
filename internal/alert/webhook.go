package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Header is that of the signature: t=SECONDS,v1=HEX, where SECONDS is the time of the attempt since 1970, and HEX the HMAC-SHA256 of
// SECONDS, a dot and the body. A receiver that refuses old times cannot be shown an old alert again.
const Header = "Sluice-Signature"

// Webhook posts alerts to an address.
type Webhook struct {
	address string
	secret  []byte // empty: requests are not signed
	client  *http.Client
}

// NewWebhook makes a receiver of an address.
func NewWebhook(address string, secret []byte) *Webhook {
	return &Webhook{address, secret, &http.Client{
		// Another address would get the body, and perhaps by plain http.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Name implements Receiver.
func (*Webhook) Name() string { return "webhook" }

// Send implements Receiver. Any answer of 2xx takes the alert; 408, 425, 429 and 5xx ask to come again, with Retry-After in seconds if
// there is one; all others refuse it.
func (w *Webhook) Send(ctx context.Context, a *Alert) error {
	body := a.Body()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.address, bytes.NewReader(body))
	if err != nil {
		return Refused{errors.New("the webhook's address makes no request")}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "sluice")
	if len(w.secret) > 0 {
		request.Header.Set(Header, Sign(w.secret, time.Now(), body))
	}
	answer, err := w.client.Do(request)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err // without the address
		}
		return fmt.Errorf("post to the webhook: %w", err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // the connection can be used again; an error is of no account
	code := answer.StatusCode
	err = fmt.Errorf("the webhook answered %s", answer.Status)
	switch {
	case code/100 == 2:
		return nil
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		if seconds, bad := strconv.Atoi(answer.Header.Get("Retry-After")); bad == nil && seconds > 0 {
			return Later{time.Duration(min(seconds, 3600)) * time.Second, err}
		}
		return err
	}
	return Refused{err}
}

// Sign gives the value of Header for a body that is sent at a time.
func Sign(secret []byte, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
