package consumer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// TestFirehose puts records into a server that checks each request's signature, fails once, and then refuses every third record.
func TestFirehose(t *testing.T) {
	keys := credentials.NewStaticCredentialsProvider("id", "secret", "token")
	requests := 0
	var taken, acknowledged []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := signedAs(r, body, keys); err != nil {
			t.Error(err)
		}
		requests++
		switch requests {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case 4:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"ResourceNotFoundException"}`)
			return
		}
		var in struct {
			DeliveryStreamName string
			Records            []struct{ Data []byte }
		}
		if err := json.Unmarshal(body, &in); err != nil || in.DeliveryStreamName != "weblog" || r.Header.Get("X-Amz-Target") != "Firehose_20150804.PutRecordBatch" {
			t.Errorf("%v: %s", err, body)
		}
		type answer struct{ RecordId, ErrorCode string }
		var answers []answer
		for i, record := range in.Records {
			if requests == 2 && i%3 == 2 {
				answers = append(answers, answer{ErrorCode: "ServiceUnavailableException"})
				continue
			}
			taken = append(taken, string(record.Data))
			answers = append(answers, answer{RecordId: fmt.Sprint("id-", len(taken))})
		}
		if err := json.NewEncoder(w).Encode(map[string]any{"RequestResponses": answers}); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	f := &Firehose{SDK: aws.Config{Region: "eu-central-1", Credentials: keys}, Stream: "weblog", Endpoint: server.URL, Acknowledged: func(receipts []Receipt) {
		for _, r := range receipts {
			acknowledged = append(acknowledged, r.ID+" "+string(r.Data))
		}
	}}
	var records []Outgoing
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("line %d\n", i))
		records = append(records, Outgoing{Data: []byte(want[i])})
	}
	if err := f.Put(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	for i, data := range taken {
		if id := fmt.Sprint("id-", i+1); i >= len(acknowledged) || acknowledged[i] != id+" "+data {
			t.Errorf("%q was taken as %s; it is told of %q", data, id, acknowledged)
		}
	}
	slices.Sort(taken)
	if !slices.Equal(taken, want) || requests != 3 {
		t.Errorf("after %d requests there are %q", requests, taken)
	}
	if err := f.Put(t.Context(), records[:1]); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") || requests != 4 {
		t.Errorf("a stream that is missing gives %v after %d requests", err, requests)
	}
	// More than a request may have goes in two.
	requests, taken = 10, nil
	large := Outgoing{Data: bytes.Repeat([]byte("x"), maxFirehoseBytes*2/3)}
	if err := f.Put(t.Context(), []Outgoing{large, large}); err != nil || len(taken) != 2 || requests != 12 {
		t.Errorf("%d large records came in %d requests, %v", len(taken), requests-10, err)
	}
}

// signedAs signs a request like the one that came, and compares.
func signedAs(r *http.Request, body []byte, keys aws.CredentialsProvider) error {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return err
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for _, name := range []string{"Content-Type", "X-Amz-Target"} {
		again.Header.Set(name, r.Header.Get(name))
	}
	pair, err := keys.Retrieve(r.Context())
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), pair, again, hex.EncodeToString(sum[:]), "firehose", "eu-central-1", at); err != nil {
		return err
	}
	if got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization"); got != want {
		return fmt.Errorf("the signature is %s; want %s", got, want)
	}
	return nil
}
