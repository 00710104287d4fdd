// Package sigv4 checks requests that were signed with AWS Signature Version 4, as a service does that gets them.
//
// It is for services of the JSON protocols, all of whose requests are POST / without a query: there is nothing in their
// address to be put into a canonical form. The signature stands in the header Authorization; one in a query, and a chunked or
// unsigned payload are not known here. A session token is a header like any other: only AWS can read it, and here
// a key's secret is enough.
//
// The algorithm is that of "Create a signed AWS API request" in the IAM User Guide
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeLayout = "20060102T150405Z"

	// Window is how far a request's time may be from the clock of whoever checks it, as at AWS.
	Window = 5 * time.Minute
)

// Verifier checks signatures. It is safe for concurrent use where Secret and Now are.
type Verifier struct {
	Region, Service string // that a signature must be for
	Secret          func(id string) (secret string, known bool)
	Now             func() time.Time
}

// Signature is a valid one. Whoever sees the same one again, sees the same request again.
type Signature struct {
	KeyID string
	At    time.Time // when the request was signed, in whole seconds
	Value [sha256.Size]byte
}

// Verify checks that the holder of a known key signed this request, with this body, within Window of now, for the
// verifier's region and service. Its errors say what is wrong, for the log of who checks; who asks must not learn more
// than that the check failed, and cannot learn from the time it takes whether the key is known.
//
// Everything by which a service acts must be signed: the host, the body, and every header of AWS's own (X-Amz-...), which
// names the operation and the time.
func (v *Verifier) Verify(r *http.Request, body []byte) (Signature, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/" || r.URL.RawQuery != "" {
		return Signature{}, fmt.Errorf("%s %s is signed otherwise than POST / is", r.Method, r.URL.Path)
	}
	if len(r.Header.Values("Authorization")) != 1 {
		return Signature{}, errors.New("want one header Authorization")
	}
	auth, err := parse(r.Header.Get("Authorization"))
	if err != nil {
		return Signature{}, err
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse(timeLayout, date)
	if err != nil {
		return Signature{}, errors.New("X-Amz-Date is no time such as 20260131T090000Z")
	}
	if off := v.Now().Sub(at); off.Abs() > Window {
		return Signature{}, fmt.Errorf("signed %v ago by the clock here; at most %v is allowed", off.Round(time.Second), Window)
	}
	if want := (scope{date[:8], v.Region, v.Service}); auth.scope != want {
		return Signature{}, fmt.Errorf("signed for %s; want %s", auth.scope, want)
	}
	headers, err := canonicalHeaders(r, auth.signed)
	if err != nil {
		return Signature{}, err
	}
	hash := sha256.Sum256(body)
	bodyHash := hex.EncodeToString(hash[:])
	if told, ok := r.Header["X-Amz-Content-Sha256"]; ok && (len(told) != 1 || told[0] != bodyHash) {
		return Signature{}, errors.New("X-Amz-Content-Sha256 is not the hash of the body that came")
	}

	canonical := sha256.Sum256([]byte("POST\n/\n\n" + headers + "\n" + strings.Join(auth.signed, ";") + "\n" + bodyHash))
	text := algorithm + "\n" + date + "\n" + auth.scope.String() + "\n" + hex.EncodeToString(canonical[:])
	secret, known := v.Secret(auth.keyID) // an unknown key's is empty, and takes the same work
	right := mac(auth.scope.key(secret), text)
	if same := hmac.Equal(right, auth.signature[:]); !known {
		return Signature{}, fmt.Errorf("the access key %q is not known", auth.keyID)
	} else if !same {
		return Signature{}, fmt.Errorf("the signature is not that of the access key %q: its secret is another one, or the request was changed on its way", auth.keyID)
	}
	return Signature{auth.keyID, at, auth.signature}, nil
}

// scope is what a signature is for.
type scope struct{ date, region, service string }

func (s scope) String() string {
	return s.date + "/" + s.region + "/" + s.service + "/" + terminator
}

// key is the key by which the holder of a secret signs within the scope.
func (s scope) key(secret string) []byte {
	key := mac([]byte("AWS4"+secret), s.date)
	for _, part := range []string{s.region, s.service, terminator} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// authorization is the header's content.
type authorization struct {
	keyID     string
	scope     scope
	signed    []string // names of headers, lower-case, in their order
	signature [sha256.Size]byte
}

// parse reads the header Authorization.
func parse(header string) (a authorization, err error) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return a, errors.New("the header Authorization is not of " + algorithm)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := fields[name]; twice || len(fields) == 3 {
			return a, errors.New("the header Authorization has more than Credential, SignedHeaders and Signature")
		}
		fields[name] = value
	}
	credential := strings.Split(fields["Credential"], "/")
	if len(credential) != 5 || credential[4] != terminator {
		return a, errors.New("the Credential in Authorization is not KEY/DATE/REGION/SERVICE/" + terminator)
	}
	a.keyID, a.scope = credential[0], scope{credential[1], credential[2], credential[3]}
	a.signed = strings.Split(fields["SignedHeaders"], ";")
	for i, name := range a.signed {
		if name != strings.ToLower(name) || i > 0 && name <= a.signed[i-1] {
			return a, errors.New("the SignedHeaders in Authorization are not lower-case names in their order, each once")
		}
	}
	signature := fields["Signature"]
	if n, err := hex.Decode(a.signature[:], []byte(signature[:min(len(signature), 2*sha256.Size)])); err != nil || n != sha256.Size || len(signature) != 2*n {
		return a, errors.New("the Signature in Authorization is not 64 hexadecimal digits")
	}
	return a, nil
}

// canonicalHeaders gives the signed headers in the form in which they were signed. It fails where one that must be signed
// is not, and where one that is signed did not come.
func canonicalHeaders(r *http.Request, signed []string) (string, error) {
	need := []string{"host", "x-amz-date"}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			need = append(need, lower)
		}
	}
	for _, name := range need {
		if _, ok := slices.BinarySearch(signed, name); !ok {
			return "", fmt.Errorf("the header %s is not signed", name)
		}
	}
	var b strings.Builder
	for _, name := range signed {
		values := slices.Clone(r.Header.Values(name))
		if name == "host" { // which net/http takes out of the headers
			values = []string{r.Host}
		}
		if len(values) == 0 {
			return "", fmt.Errorf("the header %s is signed and did not come", name)
		}
		for i, value := range values {
			values[i] = strings.Join(strings.Fields(value), " ")
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	return b.String(), nil
}
