package s3gw

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func options(t *testing.T) Options {
	dir := t.TempDir()
	return Options{Dir: filepath.Join(dir, "s3"), Sidecar: filepath.Join(dir, "meta"), Bucket: "bucket"}
}

func TestObjectsArePlainFilesAndOutliveTheGateway(t *testing.T) {
	o := options(t)
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("some bytes")
	for run := range 2 {
		start := time.Now()
		g, err := Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("run %d: started after %v", run, time.Since(start))
		if run == 0 {
			_, err = g.Client().PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: aws.String("bucket"), Key: aws.String("a/b.txt"), Body: bytes.NewReader(body),
				Metadata: map[string]string{"sluice-commit": "1"},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		got, err := g.Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("a/b.txt")})
		if err != nil {
			t.Fatal(err)
		}
		read, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(read, body) || got.Metadata["sluice-commit"] != "1" {
			t.Errorf("run %d: read %q, %v, metadata %v", run, read, err, got.Metadata)
		}
		onDisk, err := os.ReadFile(filepath.Join(o.Dir, "bucket", "a", "b.txt"))
		if err != nil || !bytes.Equal(onDisk, body) {
			t.Errorf("run %d: the file holds %q, %v", run, onDisk, err)
		}
		start = time.Now()
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("run %d: closed after %v", run, time.Since(start))
	}
	if after, err := os.Getwd(); err != nil || after != before {
		t.Errorf("the working directory is %s, %v after Close; it was %s", after, err, before)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	g, err := Start(options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	resp, err := http.Get(g.URL + "/bucket/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("an unsigned request got %s", resp.Status)
	}
}

func TestStartErrors(t *testing.T) {
	ok := options(t)
	for name, test := range map[string]struct {
		options Options
		says    string
	}{
		"no folders":      {Options{}, "must both be given"},
		"sidecar in dir":  {Options{Dir: ok.Dir, Sidecar: filepath.Join(ok.Dir, "meta")}, "put it beside"},
		"all interfaces":  {Options{Dir: ok.Dir, Sidecar: ok.Sidecar, Addr: ":9000"}, "not a loopback address"},
		"other interface": {Options{Dir: ok.Dir, Sidecar: ok.Sidecar, Addr: "192.0.2.1:9000"}, "not a loopback address"},
		"no port":         {Options{Dir: ok.Dir, Sidecar: ok.Sidecar, Addr: "127.0.0.1"}, "missing port"},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := Start(test.options)
			if err == nil {
				g.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not say %q", err, test.says)
			}
		})
	}
}

// A session token is passed over; the signature counts.
func TestSessionTokens(t *testing.T) {
	g, err := Start(options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for secret, allowed := range map[string]bool{g.SecretKey: true, "another": false} {
		with := g.Client().Options()
		with.Credentials = credentials.NewStaticCredentialsProvider(g.AccessKey, secret, "token")
		if _, err := s3.New(with).HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("bucket")}); (err == nil) != allowed {
			t.Errorf("with the secret %s: %v", secret, err)
		}
	}
}
