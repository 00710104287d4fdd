package intake

import "net/http"

// The codes of errors: Firehose's own, and those that all services of the protocol have.
const (
	codeSignature     = "InvalidSignatureException"
	codeUnknown       = "UnknownOperationException"
	codeSerialization = "SerializationException"
	codeValidation    = "ValidationException"
	codeArgument      = "InvalidArgumentException"
	codeNotFound      = "ResourceNotFoundException"
	codeUnavailable   = "ServiceUnavailableException"
	codeTimeout       = "RequestTimeoutException"

	codeOK = "OK" // of what is no error; in metrics alone
)

// fault is an error as it is answered.
type fault struct {
	status        int
	code, message string
}

func (f *fault) Error() string { return f.code + ": " + f.message }

// refused is the answer to whoever is not known, whatever the reason. Clients whose clock is wrong learn the time from the
// answer's header Date, and the SDKs do so at this code.
var refused = &fault{http.StatusForbidden, codeSignature,
	"The request is not signed by a known access key for this service and region, or not within five minutes of now. Check the credentials, the region and the clock."}

// slowDown is what the SDKs take for a wish to try again later, which they do by themselves.
var slowDown = &fault{http.StatusServiceUnavailable, codeUnavailable, "Slow down."}

// replayed is what a put is told that is signed as an earlier one was, a second after it came.
var replayed = &fault{http.StatusServiceUnavailable, codeUnavailable, "This very request was carried out already, or another one that is signed like it within the same second."}

// badRequest is an error of the caller's.
func badRequest(code, message string) *fault { return &fault{http.StatusBadRequest, code, message} }
