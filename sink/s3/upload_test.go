package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestUpload(t *testing.T) {
	for _, test := range []struct {
		size  int
		parts map[string]int // size by number
	}{
		{0, map[string]int{"1": 0}},
		{MinPartSize, map[string]int{"1": MinPartSize}},
		{2*MinPartSize + 3, map[string]int{"1": MinPartSize, "2": MinPartSize, "3": 3}},
	} {
		t.Run(fmt.Sprint(test.size), func(t *testing.T) {
			var lock sync.Mutex
			parts := map[string]int{}
			s := answering(t, Options{KMSKey: "alias/key", PartSize: 1}, func(w http.ResponseWriter, r *http.Request) {
				switch operation(r) {
				case "create":
					for name, want := range map[string]string{
						"X-Amz-Meta-Sluice-Commit":                    "token",
						"Content-Type":                                "text/plain",
						"X-Amz-Server-Side-Encryption":                "aws:kms",
						"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/key",
					} {
						if got := r.Header.Get(name); got != want {
							t.Errorf("%s is %q, want %q", name, got, want)
						}
					}
					w.Write([]byte("<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"))
				case "part":
					number, size := r.URL.Query().Get("partNumber"), len(read(t, r.Body))
					if r.Header.Get("X-Amz-Checksum-Crc32") == "" || r.URL.Query().Get("uploadId") != "id" {
						t.Errorf("part %s: %s without a checksum, or of another upload", number, r.URL)
					}
					lock.Lock()
					parts[number] = size
					lock.Unlock()
					w.Header().Set("ETag", `"etag-`+number+`"`)
					w.Header().Set("X-Amz-Checksum-Crc32", r.Header.Get("X-Amz-Checksum-Crc32"))
				default:
					t.Errorf("%s %s", r.Method, r.URL)
				}
			})
			id, etags, err := s.Upload(t.Context(), "a", "token", "text/plain", make([]byte, test.size))
			if err != nil || id != "id" || len(etags) != len(test.parts) {
				t.Fatalf("Upload: %q, %q, %v", id, etags, err)
			}
			lock.Lock()
			defer lock.Unlock()
			if !maps.Equal(parts, test.parts) {
				t.Errorf("parts of the sizes %v, want %v", parts, test.parts)
			}
			for i, etag := range etags {
				if name, checksum, _ := strings.Cut(etag, " "); name != fmt.Sprintf("etag-%d", i+1) || len(checksum) != 8 {
					t.Errorf("etag %d is %q", i, etag)
				}
			}
		})
	}
}

func TestUploadThatFailsIsAborted(t *testing.T) {
	for name, abort := range map[string]int{"aborted": http.StatusNoContent, "not even that": http.StatusForbidden} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var aborted atomic.Int32
			s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				switch operation(r) {
				case "create":
					w.Write([]byte("<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"))
				case "part":
					cancel() // the caller's impatience must not keep it from being aborted
					refuse(w, http.StatusForbidden, "AccessDenied")
				case "abort":
					aborted.Add(1)
					w.WriteHeader(abort)
				}
			})
			_, _, err := s.Upload(ctx, "a", "token", "", []byte("body"))
			says(t, err, "upload s3://bucket/a: part 1: ")
			if n := aborted.Load(); n != 1 {
				t.Errorf("aborted %d times", n)
			}
			if abort == http.StatusForbidden {
				says(t, err, "then abort the upload of s3://bucket/a: ")
			}
		})
	}
}

// page is an answer to a listing of uploads: keys, each with an id, and where to go on.
func page(truncated bool, nextKey, nextID string, uploads ...string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<ListMultipartUploadsResult><IsTruncated>%v</IsTruncated><NextKeyMarker>%s</NextKeyMarker>"+
		"<NextUploadIdMarker>%s</NextUploadIdMarker>", truncated, nextKey, nextID)
	for _, u := range uploads {
		key, id, _ := strings.Cut(u, " ")
		fmt.Fprintf(&b, "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload>", key, id)
	}
	return b.String() + "</ListMultipartUploadsResult>"
}

func TestUploadsPages(t *testing.T) {
	type markers struct{ key, id string }
	for name, test := range map[string]struct {
		pages map[markers]string // those missing are refused
		want  []string
		says  string
	}{
		"one": {map[markers]string{{}: page(false, "", "", "p/a 1")}, []string{"p/a 1"}, ""},
		"within a key": {map[markers]string{
			{}:           page(true, "p/a", "2", "p/a 1", "p/a 2"),
			{"p/a", "2"}: page(true, "p/a", "4", "p/a 3", "p/a 4"),
			{"p/a", "4"}: page(false, "", "", "p/b 5"),
		}, []string{"p/a 1", "p/a 2", "p/a 3", "p/a 4", "p/b 5"}, ""},
		"markers within a key are refused": {map[markers]string{
			{}:          page(true, "p/a", "1", "p/a 1"),
			{"p/a", ""}: page(false, "", "", "p/b 2"),
		}, []string{"p/a 1", "p/b 2"}, ""},
		"no markers": {map[markers]string{{}: page(true, "", "", "p/a 1")}, []string{"p/a 1"}, "not where"},
		"refused":    {nil, nil, "InvalidArgument"},
	} {
		t.Run(name, func(t *testing.T) {
			s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				query := r.URL.Query()
				if operation(r) != "uploads" || query.Get("prefix") != "p/" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				if answer, ok := test.pages[markers{query.Get("key-marker"), query.Get("upload-id-marker")}]; ok {
					w.Write([]byte(answer))
					return
				}
				refuse(w, http.StatusBadRequest, "InvalidArgument")
			})
			var got []string
			err := s.Uploads(t.Context(), "p/", func(key, id string, started time.Time) error {
				if !started.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
					t.Errorf("started at %v", started)
				}
				got = append(got, key+" "+id)
				return nil
			})
			if !slices.Equal(got, test.want) {
				t.Errorf("uploads %q, want %q", got, test.want)
			}
			if test.says == "" && err != nil {
				t.Error(err)
			}
			if test.says != "" {
				says(t, err, "list the uploads under s3://bucket/p/: ", test.says)
			}
		})
	}
}

// silent is an HTTP client whose first requests get no answer.
type silent struct{ requests, unanswered int }

func (c *silent) Do(r *http.Request) (*http.Response, error) {
	c.requests++
	if c.requests <= c.unanswered {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

// An attempt without an answer is given up and made again; the caller's own deadline is final.
func TestAttemptsAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		unanswered int
		deadline   time.Duration // the caller's
		requests   int
		took       time.Duration
		says       string
		is         error
	}{
		"the second is answered": {1, time.Hour, 2, callTime, "", nil},
		"none is answered":       {2, time.Hour, 2, 2 * callTime, "no answer after 30s", nil},
		"the caller gives up":    {2, time.Second, 1, time.Second, "deadline", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &silent{unanswered: test.unanswered}
				s := New(s3.New(s3.Options{Region: "us-east-1", Retryer: twice(), HTTPClient: client,
					Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")}), Options{Bucket: "bucket"})
				ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
				defer cancel()
				start := time.Now()
				err := s.Abort(ctx, "a", "id")
				if took := time.Since(start); took != test.took || client.requests != test.requests {
					t.Errorf("%d requests in %v, want %d in %v", client.requests, took, test.requests, test.took)
				}
				if test.says == "" && err != nil {
					t.Error(err)
				}
				if test.says != "" {
					says(t, err, test.says)
				}
				if test.is != nil && !errors.Is(err, test.is) {
					t.Errorf("%v is not %v", err, test.is)
				}
			})
		})
	}
}
