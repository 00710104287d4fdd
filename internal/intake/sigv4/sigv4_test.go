package sigv4

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	testID     = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testBody   = `{"DeliveryStreamName":"orders","Record":{"Data":"eA=="}}`
)

var signedAt = time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)

func verifier() *Verifier {
	return &Verifier{Region: "eu-west-1", Service: "firehose", Now: func() time.Time { return signedAt },
		Secret: func(id string) (string, bool) {
			if id == testID {
				return testSecret, true
			}
			return "", false
		}}
}

// signing is what a client does, and may do otherwise than it should.
type signing struct {
	id, secret, region, service, body string
	at                                time.Time
	headers                           map[string]string // set before it is signed
}

// sign makes a request and lets AWS's own signer sign it; what a server gets of it has been over the wire.
func sign(t testing.TB, change ...func(*signing)) *http.Request {
	t.Helper()
	s := signing{testID, testSecret, "eu-west-1", "firehose", testBody, signedAt, map[string]string{}}
	for _, f := range change {
		f(&s)
	}
	r, err := http.NewRequest(http.MethodPost, "http://intake.example:9465/", strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Firehose_20150804.PutRecord")
	for name, value := range s.headers {
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	hash := sha256.Sum256([]byte(s.body))
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: s.id, SecretAccessKey: s.secret}, r,
		hex.EncodeToString(hash[:]), s.service, s.region, s.at); err != nil {
		t.Fatal(err)
	}
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	return received(t, wire.Bytes())
}

// received is a request as a server's handler gets it.
func received(t testing.TB, wire []byte) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What AWS's own signer for Go signs is valid, with whatever headers.
func TestTheSDKsSignature(t *testing.T) {
	for name, headers := range map[string]map[string]string{
		"as it is":      {},
		"spaces":        {"X-Amz-Meta": "  a   b  c "},
		"the body hash": {"X-Amz-Content-Sha256": hashOf(testBody)},
		"a session":     {"X-Amz-Security-Token": "of another service"},
		"attempts":      {"Amz-Sdk-Invocation-Id": "1", "Amz-Sdk-Request": "attempt=1; max=3"},
	} {
		t.Run(name, func(t *testing.T) {
			signature, err := verifier().Verify(sign(t, func(s *signing) { s.headers = headers }), []byte(testBody))
			if err != nil {
				t.Fatal(err)
			}
			if signature.KeyID != testID || !signature.At.Equal(signedAt) || signature.Value == [32]byte{} {
				t.Errorf("%+v", signature)
			}
		})
	}
}

// The SDK for JavaScript 2, which KDG's page uses, sends headers of its own and signs all of them but the content type.
func TestTheBrowsersSignature(t *testing.T) {
	r := sign(t, func(s *signing) {
		s.headers = map[string]string{"Content-Type": "", "X-Amz-User-Agent": "aws-sdk-js/2.7.19", "X-Amz-Content-Sha256": hashOf(testBody)}
	})
	if strings.Contains(r.Header.Get("Authorization"), "content-type") {
		t.Fatal("the content type is signed, which it is not there")
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	if _, err := verifier().Verify(r, []byte(testBody)); err != nil {
		t.Error(err)
	}
}

// This was signed by botocore 1.29 (Debian's), and came over the wire so. Its headers amz-sdk-... are not signed.
func TestBotocoresSignature(t *testing.T) {
	r := received(t, []byte("POST / HTTP/1.1\r\nAccept-Encoding: identity\r\nX-Amz-Target: Firehose_20150804.PutRecord\r\n"+
		"Content-Type: application/x-amz-json-1.1\r\nUser-Agent: Boto3/1.26.27\r\nhost: 127.0.0.1:18999\r\nX-Amz-Date: 20261125T213926Z\r\n"+
		"Authorization: AWS4-HMAC-SHA256 Credential=AKIDX/20261125/eu-west-1/firehose/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, "+
		"Signature=3b13a9d86580e0476d9d2933f5003faa63553507d5cca49e240e5d9de528a891\r\n"+
		"amz-sdk-invocation-id: 426d6f8b-8f51-4a88-98bf-ffaa70059e5c\r\namz-sdk-request: attempt=1\r\nContent-Length: 55\r\n\r\n"))
	v := verifier()
	v.Secret = func(id string) (string, bool) { return "secret", id == "AKIDX" }
	v.Now = func() time.Time { return time.Date(2026, 11, 25, 21, 39, 30, 0, time.UTC) }
	if _, err := v.Verify(r, []byte(`{"DeliveryStreamName": "s", "Record": {"Data": "eA=="}}`)); err != nil {
		t.Error(err)
	}
}

// Whatever is changed makes the signature invalid, and the error says to the log what it is.
func TestWhatIsRefused(t *testing.T) {
	drop := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	replace := func(old, by string) func(*http.Request) {
		return func(r *http.Request) {
			before := r.Header.Get("Authorization")
			r.Header.Set("Authorization", strings.Replace(before, old, by, 1))
			if r.Header.Get("Authorization") == before {
				t.Errorf("%s is not in %s", old, before)
			}
		}
	}
	for name, tt := range map[string]struct {
		sign   func(*signing)
		change func(*http.Request)
		body   string
		want   string
	}{
		"unknown key":                 {sign: func(s *signing) { s.id = "AKIDOTHER" }, want: "not known"},
		"unknown key, no secret":      {sign: func(s *signing) { s.id, s.secret = "AKIDOTHER", "" }, want: "not known"},
		"wrong secret":                {sign: func(s *signing) { s.secret += "x" }, want: "not that of"},
		"another body":                {body: strings.Replace(testBody, "eA", "eQ", 1), want: "not that of"},
		"another region":              {sign: func(s *signing) { s.region = "us-east-1" }, want: "eu-west-1"},
		"another service":             {sign: func(s *signing) { s.service = "kinesis" }, want: "firehose"},
		"old":                         {sign: func(s *signing) { s.at = signedAt.Add(-Window - time.Second) }, want: "5m1s ago"},
		"from the future":             {sign: func(s *signing) { s.at = signedAt.Add(Window + time.Second) }, want: "ago"},
		"another host":                {change: func(r *http.Request) { r.Host = "other" }, want: "not that of"},
		"another operation":           {change: set("X-Amz-Target", "Firehose_20150804.ListDeliveryStreams"), want: "not that of"},
		"another time":                {change: set("X-Amz-Date", "20260131T090001Z"), want: "not that of"},
		"a time of another day":       {change: set("X-Amz-Date", "20260130T235959Z"), want: "ago"},
		"no time":                     {change: drop("X-Amz-Date"), want: "X-Amz-Date"},
		"no signature":                {change: drop("Authorization"), want: "Authorization"},
		"two signatures":              {change: func(r *http.Request) { r.Header.Add("Authorization", "x") }, want: "one header"},
		"another algorithm":           {change: replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), want: "AWS4-HMAC-SHA256"},
		"a header of AWS's, unsigned": {change: set("X-Amz-Security-Token", "x"), want: "x-amz-security-token is not signed"},
		"a signed header is missing":  {change: drop("Content-Type"), want: "did not come"},
		"the target unsigned":         {change: replace(";x-amz-target", ""), want: "x-amz-target is not signed"},
		"the host unsigned":           {change: replace(";host", ""), want: "host is not signed"},
		"signed headers in disorder":  {change: replace("content-type;host", "host;content-type"), want: "order"},
		"signed headers twice":        {change: replace(";host", ";host;host"), want: "order"},
		"a short signature": {change: func(r *http.Request) {
			r.Header.Set("Authorization", strings.TrimRight(r.Header.Get("Authorization"), "0123456789abcdef"))
		}, want: "64"},
		"a long signature":    {change: func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+"00") }, want: "64"},
		"no credential":       {change: replace("Credential=", "Other="), want: "Credential"},
		"the same twice":      {change: replace("Signature=", "Credential=x, Signature="), want: "more than"},
		"an unsigned payload": {sign: func(s *signing) { s.headers["X-Amz-Content-Sha256"] = "UNSIGNED-PAYLOAD" }, want: "X-Amz-Content-Sha256"},
		"another path":        {change: func(r *http.Request) { r.URL.Path = "/x" }, want: "POST"},
		"a query":             {change: func(r *http.Request) { r.URL.RawQuery = "x=1" }, want: "POST"},
		"another method":      {change: func(r *http.Request) { r.Method = http.MethodPut }, want: "PUT"},
	} {
		t.Run(name, func(t *testing.T) {
			r := sign(t, func(s *signing) {
				if tt.sign != nil {
					tt.sign(s)
				}
			})
			if tt.change != nil {
				tt.change(r)
			}
			body := testBody
			if tt.body != "" {
				body = tt.body
			}
			_, err := verifier().Verify(r, []byte(body))
			if err == nil {
				t.Fatal("it is valid")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), testSecret) {
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

func hashOf(text string) string {
	hash := sha256.Sum256([]byte(text))
	return hex.EncodeToString(hash[:])
}

// No header is valid without the secret, and none is more than an error.
func FuzzAuthorization(f *testing.F) {
	f.Add(sign(f).Header.Get("Authorization"), "20260131T090000Z")
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260131/eu-west-1/firehose/aws4_request,SignedHeaders=host;x-amz-date,Signature="+strings.Repeat("0", 64), "20260131T090000Z")
	f.Add("AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=", "")
	f.Fuzz(func(t *testing.T, authorization, date string) {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		if signature, err := verifier().Verify(r, []byte("a body that nobody has signed")); err == nil {
			t.Errorf("%q is the signature %+v", authorization, signature)
		}
		a, err := parse(authorization)
		if err != nil {
			return
		}
		// What was read says the same when it is written.
		again, err := parse(algorithm + " Credential=" + a.keyID + "/" + a.scope.String() + ",SignedHeaders=" + strings.Join(a.signed, ";") + ",Signature=" + hex.EncodeToString(a.signature[:]))
		if err != nil || again.keyID != a.keyID || again.scope != a.scope || again.signature != a.signature || len(again.signed) != len(a.signed) {
			t.Errorf("%q is %+v, and then %+v, %v", authorization, a, again, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v, r := verifier(), sign(b)
	body := []byte(testBody)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r, body); err != nil {
			b.Fatal(err)
		}
	}
}
