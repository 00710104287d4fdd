package s3

import (
	"errors"
	"io/fs"
	"net/http"
	"testing"
)

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		region string
		says   []string
	}{
		"missing":                     {404, "", []string{"there is no such bucket", "create it"}},
		"forbidden":                   {403, "us-east-1", []string{"forbidden", "s3:ListBucket", "Forbidden"}},
		"forbidden, says no region":   {403, "", []string{"forbidden", "s3:ListBucket"}},
		"elsewhere":                   {301, "eu-west-1", []string{"it is in the region eu-west-1, but", "is us-east-1", "set AWS_REGION=eu-west-1"}},
		"elsewhere, signature":        {400, "eu-west-1", []string{"set AWS_REGION=eu-west-1"}},
		"elsewhere, forbidden":        {403, "eu-west-1", []string{"set AWS_REGION=eu-west-1"}},
		"elsewhere, nobody tells":     {301, "", []string{"another region than us-east-1", "set AWS_REGION"}},
		"a fault that it cannot name": {500, "", []string{"StatusCode: 500"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodHead || r.URL.Path != "/bucket" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				if test.region != "" {
					w.Header().Set("X-Amz-Bucket-Region", test.region)
				}
				w.WriteHeader(test.status)
			})
			says(t, s.Check(t.Context()), append(test.says, "check the bucket bucket: ", "HeadBucket")...)
		})
	}

	found := answering(t, Options{}, func(http.ResponseWriter, *http.Request) {})
	if err := found.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCheckWithoutAnswer(t *testing.T) {
	s := answering(t, Options{}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	says(t, s.Check(t.Context()), "check the bucket bucket: ", "EOF")
}

func TestGetErrors(t *testing.T) {
	for code, test := range map[string]struct {
		status  int
		missing bool
	}{
		"NoSuchKey":    {404, true},
		"NoSuchBucket": {404, false}, // a fault of the set-up; nobody may take it for an empty store
		"AccessDenied": {403, false},
	} {
		s := answering(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, test.status, code) })
		_, err := s.Get(t.Context(), "a")
		says(t, err, "get s3://bucket/a: ", "GetObject", code, "The words of S3.")
		if errors.Is(err, fs.ErrNotExist) != test.missing {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// An object whose transfer breaks off is an error, and not a short object.
func TestGetBreaksOff(t *testing.T) {
	s := answering(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("only this"))
	})
	if body, err := s.Get(t.Context(), "a"); err == nil {
		t.Errorf("%d bytes, and no error", len(body))
	}
}

func TestPutEncrypts(t *testing.T) {
	s := answering(t, Options{KMSKey: "alias/key"}, func(_ http.ResponseWriter, r *http.Request) {
		if key := r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"); operation(r) != "put" || key != "alias/key" {
			t.Errorf("%s %s with the key %q", r.Method, r.URL, key)
		}
	})
	if err := s.Put(t.Context(), "a", []byte("body")); err != nil {
		t.Error(err)
	}
	refused := answering(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "AccessDenied") })
	says(t, refused.Put(t.Context(), "a", nil), "put s3://bucket/a: ", "The words of S3.")
	says(t, refused.Delete(t.Context(), "a"), "delete s3://bucket/a: ", "The words of S3.")
	says(t, refused.Abort(t.Context(), "a", "id"), "abort the upload of s3://bucket/a: ", "The words of S3.")
}
