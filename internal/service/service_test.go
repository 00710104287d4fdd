package service

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/sluice-etl/sluice/internal/config"
)

// A service that is asked to stop while it starts has nothing to commit, and stops as asked.
func TestStoppedWhileStarting(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	bucket := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop()
		<-r.Context().Done() // no answer
	}))
	defer bucket.Close()
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for _, service := range []string{"S3", "KINESIS", "DYNAMODB"} {
		t.Setenv("AWS_ENDPOINT_URL_"+service, bucket.URL)
	}
	cfg, err := config.Load(nil, []string{"SLUICE_STREAM=s", "SLUICE_BUCKET=lake", "SLUICE_HTTP_ADDR=off"}, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(ctx); err != nil || ctx.Err() == nil {
		t.Errorf("it ended with %v; the context with %v", err, ctx.Err())
	}
}
