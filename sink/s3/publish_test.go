package s3

import (
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestPublish(t *testing.T) {
	const completed = `<CompleteMultipartUploadResult><Key>a</Key></CompleteMultipartUploadResult>`
	for name, test := range map[string]struct {
		status int
		code   string // of the error; empty: success
		object string // the token of what has the key; empty: nothing has it
		lost   bool
		says   string // empty: published
	}{
		"completed":                      {200, "", "token", false, ""},
		"completed before":               {404, "NoSuchUpload", "token", false, ""},
		"completed, says a precondition": {412, "PreconditionFailed", "token", false, ""},
		"completed at this moment":       {409, "ConditionalRequestConflict", "token", false, ""},
		"never uploaded":                 {404, "NoSuchUpload", "", true, "NoSuchUpload"},
		"gone, and another object":       {404, "NoSuchUpload", "other", true, "NoSuchUpload"},
		"success for another's object":   {200, "", "other", true, "another object has the key"},
		"success without an object":      {200, "", "", false, "there is no object yet"},
		"another object in the way":      {412, "PreconditionFailed", "other", false, `commit "other"`},
		"conflict without an object":     {409, "ConditionalRequestConflict", "", false, "ConditionalRequestConflict"},
		"error in a success":             {200, "InternalError", "", false, "InternalError"},
		"forbidden":                      {403, "AccessDenied", "token", false, "AccessDenied"},
		"bucket is gone":                 {404, "NoSuchBucket", "", false, "NoSuchBucket"},
		"bytes are damaged":              {400, "InvalidPart", "", false, "InvalidPart"},
	} {
		t.Run(name, func(t *testing.T) {
			s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				switch op := operation(r); {
				case op == "complete" && test.code != "":
					refuse(w, test.status, test.code)
				case op == "complete":
					w.Write([]byte(completed))
				case op == "head" && test.object == "":
					w.WriteHeader(http.StatusNotFound)
				case op == "head":
					w.Header().Set("X-Amz-Meta-Sluice-Commit", test.object)
				default:
					t.Errorf("%s %s", r.Method, r.URL)
				}
			})
			err := s.Publish(t.Context(), "a", "id", []string{"etag"}, "token")
			if test.says == "" && err != nil {
				t.Fatal(err)
			}
			if test.says != "" {
				says(t, err, "publish s3://bucket/a: ", test.says)
			}
			if test.code != "" && test.says == test.code {
				says(t, err, "The words of S3.")
			}
			if errors.Is(err, fs.ErrNotExist) != test.lost {
				t.Errorf("%v; is it fs.ErrNotExist? want %v", err, test.lost)
			}
		})
	}
}

// The answer to a request that was carried out is lost, and the SDK asks again.
func TestPublishAnswerLost(t *testing.T) {
	var lock sync.Mutex
	var calls []string
	s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		calls = append(calls, operation(r))
		switch len(calls) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			refuse(w, http.StatusNotFound, "NoSuchUpload")
		default:
			w.Header().Set("X-Amz-Meta-Sluice-Commit", "token")
		}
	})
	if err := s.Publish(t.Context(), "a", "id", []string{"etag"}, "token"); err != nil {
		t.Error(err)
	}
	lock.Lock()
	defer lock.Unlock()
	if want := []string{"complete", "complete", "head"}; !slices.Equal(calls, want) {
		t.Errorf("calls: %v, want %v", calls, want)
	}
}

// Where it cannot be seen whose object it is, nothing is said to be lost.
func TestPublishHeadFails(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusServiceUnavailable} {
		s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			if operation(r) == "complete" {
				refuse(w, http.StatusNotFound, "NoSuchUpload")
				return
			}
			w.WriteHeader(status)
		})
		err := s.Publish(t.Context(), "a", "id", []string{"etag"}, "token")
		says(t, err, "look at what has the key", http.StatusText(status)[:7])
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v is fs.ErrNotExist", err)
		}
	}
}

func TestPublishNamesThePartsAndNeverReplaces(t *testing.T) {
	s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if operation(r) == "head" {
			w.Header().Set("X-Amz-Meta-Sluice-Commit", "token")
			return
		}
		if id, match := r.URL.Query().Get("uploadId"), r.Header.Get("If-None-Match"); id != "id" || match != "*" {
			t.Errorf("the upload %s is completed with If-None-Match %q", id, match)
		}
		body := strings.ReplaceAll(read(t, r.Body), "&#34;", "")
		for _, part := range []string{
			"<Part><ChecksumCRC32>AAAA==</ChecksumCRC32><ETag>first</ETag><PartNumber>1</PartNumber></Part>",
			"<Part><ETag>second</ETag><PartNumber>2</PartNumber></Part>",
		} {
			if !strings.Contains(body, part) {
				t.Errorf("%s lacks %s", body, part)
			}
		}
		w.Write([]byte("<CompleteMultipartUploadResult/>"))
	})
	etags := []string{encodePart(`"first"`, "AAAA=="), encodePart(`"second"`, "")}
	if err := s.Publish(t.Context(), "a", "id", etags, "token"); err != nil {
		t.Error(err)
	}
}
