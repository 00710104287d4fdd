package s3

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"testing"
	"time"
)

// What S3 refuses is an error that says where, and only what is not there is fs.ErrNotExist.
func TestReadErrors(t *testing.T) {
	for code, test := range map[string]struct {
		status  int
		missing bool
	}{
		"NoSuchKey":    {404, true},
		"AccessDenied": {403, false},
		"InvalidRange": {416, false},
	} {
		s := answering(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, test.status, code) })
		err := s.ReadAt(t.Context(), "a", make([]byte, 8), 92)
		says(t, err, "read 8 bytes at 92 of s3://bucket/a: ", code)
		if errors.Is(err, fs.ErrNotExist) != test.missing {
			t.Errorf("ReadAt, %s: %v", code, err)
		}
		if code == "InvalidRange" {
			continue // no answer to a HEAD
		}
		_, _, err = s.Head(t.Context(), "a") // which has a status, and no words
		says(t, err, "look at s3://bucket/a: ", fmt.Sprint(test.status))
		if errors.Is(err, fs.ErrNotExist) != test.missing {
			t.Errorf("Head, %d: %v", test.status, err)
		}
	}
	s := answering(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "AccessDenied") })
	says(t, s.List(t.Context(), "a", nil, nil), "list s3://bucket/a: ", "AccessDenied")
}

func TestReadAtAsksForTheBytesAlone(t *testing.T) {
	s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if span := r.Header.Get("Range"); span != "bytes=92-99" {
			t.Errorf("the range is %q", span)
		}
		w.WriteHeader(http.StatusPartialContent)
		w.Write([]byte("12345678"))
	})
	p := make([]byte, 8)
	if err := s.ReadAt(t.Context(), "a", p, 92); err != nil || string(p) != "12345678" {
		t.Errorf("%q, %v", p, err)
	}
}

// A transfer that breaks off is an error, and not zeros at the end.
func TestReadAtBreaksOff(t *testing.T) {
	s := answering(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "8")
		w.Write([]byte("1234"))
	})
	if err := s.ReadAt(t.Context(), "a", make([]byte, 8), 92); err == nil {
		t.Error("no error")
	}
}

// A list comes in pages, and one that breaks off is an error.
func TestListPages(t *testing.T) {
	for _, breaks := range []bool{false, true} {
		s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			switch token := r.URL.Query().Get("continuation-token"); {
			case token == "":
				fmt.Fprint(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>
					<Contents><Key>a/1</Key><Size>5</Size><LastModified>2026-01-31T12:00:00.000Z</LastModified></Contents></ListBucketResult>`)
			case token == "more" && !breaks:
				fmt.Fprint(w, `<ListBucketResult><IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>a/b/</Prefix></CommonPrefixes></ListBucketResult>`)
			default:
				refuse(w, 403, "AccessDenied")
			}
		})
		var found []string
		err := s.List(t.Context(), "a/", func(key string, size int64, modified time.Time) error {
			found = append(found, fmt.Sprint(key, " ", size, " ", modified.UTC().Format(time.RFC3339)))
			return nil
		}, func(prefix string) error {
			found = append(found, prefix)
			return nil
		})
		if breaks {
			says(t, err, "AccessDenied")
		} else if got := fmt.Sprint(found); err != nil || got != "[a/1 5 2026-01-31T12:00:00Z a/b/]" {
			t.Errorf("%s, %v", got, err)
		}
	}
}
