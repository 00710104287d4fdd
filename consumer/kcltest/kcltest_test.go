package kcltest_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/sluice-etl/sluice/consumer/kcltest"
)

// start serves until the end of the test.
func start(t testing.TB, options kcltest.Options) *kcltest.Server {
	t.Helper()
	server, err := kcltest.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return server
}

// client is the SDK's, which does not try again.
func client(server *kcltest.Server) *kinesis.Client { return clientOf(server.URL, server.Client()) }

func clientOf(url string, http *http.Client) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(url),
		Credentials:  credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Retryer:      aws.NopRetryer{},
		HTTPClient:   http,
	})
}
