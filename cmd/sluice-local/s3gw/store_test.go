package s3gw

import (
	"context"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	sink "github.com/sluice-etl/sluice/sink/s3"
	"github.com/sluice-etl/sluice/sink/storetest"
)

// gateway is a gateway that is stopped and started again over the same folders.
type gateway struct {
	options   Options
	running   *Gateway
	transport *http.Transport
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{options: options(t)}
	t.Cleanup(func() { g.stop(t) })
	return g
}

func (g *gateway) stop(t *testing.T) {
	t.Helper()
	if g.running != nil {
		// The gateway waits for connections that were opened and never used, as the transport does under load.
		g.transport.CloseIdleConnections()
		if err := g.running.Close(); err != nil {
			t.Error(err)
		}
		g.running = nil
	}
}

// restart returns a client of a gateway that knows only what is on the disk.
func (g *gateway) restart(t *testing.T) *s3.Client {
	t.Helper()
	g.stop(t)
	var err error
	if g.running, err = Start(g.options); err != nil {
		t.Fatal(err)
	}
	g.transport = http.DefaultTransport.(*http.Transport).Clone()
	return s3.New(g.running.Client().Options(), func(o *s3.Options) { o.HTTPClient = &http.Client{Transport: g.transport} })
}

// The contract of stores against a real S3 protocol; every opening is a restart of the gateway.
func TestStoreContract(t *testing.T) {
	g := newGateway(t)
	storetest.Run(t, func(t *testing.T) storetest.Store {
		client := g.restart(t)
		return sink.New(s3.New(client.Options(), smallPages), sink.Options{Bucket: g.options.Bucket, PartSize: 8 << 20})
	})
}

// smallPages makes lists come in several pages. Those of uploads end where the contract's first key ends: versitygw cannot
// go on within a key.
func smallPages(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("SmallPages", func(ctx context.Context,
			in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			switch list := in.Parameters.(type) {
			case *s3.ListMultipartUploadsInput:
				list.MaxUploads = aws.Int32(4)
			case *s3.ListObjectsV2Input:
				list.MaxKeys = aws.Int32(2)
			}
			return next.HandleInitialize(ctx, in)
		}), middleware.Before)
	})
}
