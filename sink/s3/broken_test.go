package s3

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// received reads a part as S3 does, which stores no part whose checksum is wrong.
func received(r *http.Request) (body []byte, intact bool) {
	body, err := io.ReadAll(r.Body)
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body))
	return body, err == nil && base64.StdEncoding.EncodeToString(sum) == r.Header.Get("X-Amz-Checksum-Crc32")
}

// A part whose transfer breaks off in the middle, or arrives damaged, is sent again, whole, on another connection.
func TestAPartIsSentAgain(t *testing.T) {
	part := []byte(strings.Repeat("0123456789abcdef", 1<<20/16))
	for name, spoil := range map[string]func(w http.ResponseWriter, r *http.Request){
		"the connection is reset in the middle": func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadFull(r.Body, make([]byte, len(part)/2)); err != nil {
				t.Error(err)
			}
			connection, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Fatal(err)
			}
			if err := connection.(*net.TCPConn).SetLinger(0); err != nil { // a reset, and not an end
				t.Error(err)
			}
			connection.Close()
		},
		"the answer is lost": func(_ http.ResponseWriter, r *http.Request) {
			if _, intact := received(r); !intact {
				t.Error("the part is damaged")
			}
			panic(http.ErrAbortHandler)
		},
		"S3 is overloaded": func(w http.ResponseWriter, r *http.Request) { refuse(w, http.StatusServiceUnavailable, "SlowDown") },
		"S3 fails": func(w http.ResponseWriter, r *http.Request) {
			refuse(w, http.StatusInternalServerError, "InternalError")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var parts atomic.Int32
			s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				switch operation(r) {
				case "create":
					w.Write([]byte("<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"))
				case "part":
					if parts.Add(1) == 1 {
						spoil(w, r)
						return
					}
					if body, intact := received(r); !intact || string(body) != string(part) {
						t.Errorf("%d bytes came again; want %d that fit their checksum", len(body), len(part))
					}
					w.Header().Set("ETag", `"etag"`)
				default:
					t.Errorf("%s %s", r.Method, r.URL)
				}
			})
			_, etags, err := s.Upload(t.Context(), "a", "token", "", part)
			if err != nil || len(etags) != 1 || parts.Load() != 2 {
				t.Errorf("%q, %v, after %d attempts; want one part after two", etags, err, parts.Load())
			}
		})
	}
}

// What S3 finds damaged is no upload: the caller makes another.
func TestADamagedPartIsNoUpload(t *testing.T) {
	var aborted atomic.Int32
	s := answering(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		switch operation(r) {
		case "create":
			w.Write([]byte("<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"))
		case "part":
			refuse(w, http.StatusBadRequest, "BadDigest")
		case "abort":
			aborted.Add(1)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	_, _, err := s.Upload(t.Context(), "a", "token", "", []byte("body"))
	says(t, err, "BadDigest")
	if n := aborted.Load(); n != 1 {
		t.Errorf("aborted %d times", n)
	}
}
