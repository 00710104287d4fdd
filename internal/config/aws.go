package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluice-etl/sluice/internal/plainbody"
)

// The retries of one call. Whoever makes the call repeats it after that as long as it makes sense, so these only
// bridge a blink; the SDK's own limit of 20 s for a pause would hide an outage from readiness for minutes.
const (
	maxAttempts = 5
	maxBackoff  = 3 * time.Second
)

// AWS is the SDK's configuration for all clients: credentials, region and endpoints are the SDK's own, from the
// environment and its shared files. Clients retry with jitter, time out on peers that say nothing, and address S3
// objects by path where an S3 endpoint is configured.
//
// onError, when given, hears of every failed attempt, also of those that are retried; it is called concurrently.
// service and operation are the SDK's names, the service's in lower case; for class see Class. A condition that does
// not hold is an answer and no failure, and neither is a call that the caller gave up.
//
// options come after those made here, and win.
func AWS(ctx context.Context, c *Config, onError func(service, operation, class string),
	options ...func(*awsconfig.LoadOptions) error) (aws.Config, error) {
	options = append([]func(*awsconfig.LoadOptions) error{
		awsconfig.WithAppID("sluice"),
		awsconfig.WithHTTPClient(httpClient()),
		awsconfig.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = maxAttempts
				o.MaxBackoff = maxBackoff
				o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(cutOff))
			})
		}),
		awsconfig.WithServiceOptions(pathStyle),
	}, options...)
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("no AWS region is configured; set AWS_REGION, or region in the AWS profile")
	}
	// Only now, so that these do not reach the clients that fetch credentials: these speak plain http to link-local
	// addresses by design.
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		if onError != nil {
			if err := stack.Finalize.Insert(attempt{onError}, "Retry", middleware.After); err != nil {
				return err
			}
		}
		if c.AllowInsecureEndpoints {
			return nil
		}
		return stack.Finalize.Add(guard{}, middleware.After)
	})
	cfg.HTTPClient = plainBodies{cfg.HTTPClient}
	return cfg, nil
}

// cutOff tells of an answer that ended in the middle. The SDK tries again when a connection breaks before the answer, and
// takes half an answer for a whole one that makes no sense.
func cutOff(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// plainBodies is a client whose requests are plain.
type plainBodies struct{ aws.HTTPClient }

func (c plainBodies) Do(r *http.Request) (*http.Response, error) {
	return c.HTTPClient.Do(plainbody.Of(r))
}

func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) {
			d.Timeout = 5 * time.Second
		}).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = 5 * time.Second
			// S3 may take long to answer, the others do not; it counts from the request's last byte.
			t.ResponseHeaderTimeout = 60 * time.Second
			// A process of many shards talks to three hosts; with fewer idle connections it would always be dialling.
			t.MaxIdleConns = 256
			t.MaxIdleConnsPerHost = 128
		})
}

// pathStyle is for S3 elsewhere than at AWS, where a bucket has rarely a host name of its own.
func pathStyle(_ string, options any) {
	if o, ok := options.(*s3.Options); ok && o.BaseEndpoint != nil {
		o.UsePathStyle = true
	}
}

// attempt is the middleware around each attempt of a call.
type attempt struct {
	onError func(service, operation, class string)
}

func (attempt) ID() string { return "SluiceAttempt" }

func (a attempt) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleFinalize(ctx, in)
	if class := Class(err); class != "" {
		service := strings.ToLower(strings.ReplaceAll(awsmiddleware.GetServiceID(ctx), " ", ""))
		a.onError(service, awsmiddleware.GetOperationName(ctx), class)
	}
	return out, metadata, err
}

// guard is the middleware that refuses insecure endpoints wherever they were configured. The check of the environment
// is kinder, since it comes before the start, but does not see the SDK's shared files.
type guard struct{}

func (guard) ID() string { return "SluiceGuard" }

func (guard) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error) {
	if request, ok := in.Request.(*smithyhttp.Request); ok && insecure(request.URL) {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf(
			"%s would be reached over plain http; use https, or set SLUICE_ALLOW_INSECURE_ENDPOINTS=true", request.URL.Host)
	}
	return next.HandleFinalize(ctx, in)
}
