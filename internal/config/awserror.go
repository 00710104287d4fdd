package config

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The classes of failed calls.
const (
	Throttled  = "throttled"  // too many calls or bytes; the service asks to slow down
	Timeout    = "timeout"    // no answer in time
	Connection = "connection" // the service could not be reached, or the connection broke
	Denied     = "denied"     // credentials missing, wrong, expired, or without the permission
	NotFound   = "not_found"  // the stream, table, bucket, object or upload does not exist
	Server     = "server"     // the service failed
	Client     = "client"     // the service refused the request for another reason
	Other      = "other"      // none of these
)

var (
	// deniedCodes are those that do not come with HTTP's 401 or 403.
	deniedCodes = []string{"AccessDenied", "AccessDeniedException", "UnrecognizedClientException", "ExpiredToken",
		"ExpiredTokenException", "IncompleteSignature", "InvalidSignatureException", "InvalidClientTokenId",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired",
		"KMSAccessDeniedException"}
	notFoundCodes = []string{"ResourceNotFoundException", "TableNotFoundException", "KMSNotFoundException", "EntityNotFoundException"}
	// conditionCodes answer a question that the caller asked with the call.
	conditionCodes = []string{"ConditionalCheckFailedException", "PreconditionFailed", "NotModified"}
)

// Class puts a failed call of the AWS SDK into one of few classes, fit for a label of a metric. It is empty where
// nothing failed: without an error, when a condition did not hold, or when the caller gave up.
func Class(err error) string {
	if err == nil || errors.Is(err, context.Canceled) {
		return ""
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		code := api.ErrorCode()
		// A transaction is cancelled for its conditions unless it names another reason.
		if slices.Contains(conditionCodes, code) ||
			code == "TransactionCanceledException" && strings.Contains(api.ErrorMessage(), "ConditionalCheckFailed") {
			return ""
		}
		switch {
		case (retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}).IsErrorThrottle(err) == aws.TrueTernary:
			return Throttled
		case slices.Contains(deniedCodes, code):
			return Denied
		case slices.Contains(notFoundCodes, code):
			return NotFound
		case strings.HasPrefix(code, "RequestTimeout"):
			return Timeout
		}
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() >= 300 {
		return statusClass(response.HTTPStatusCode())
	}
	if api != nil && api.ErrorFault() == smithy.FaultServer {
		return Server
	}
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout() {
		return Timeout
	}
	var send *smithyhttp.RequestSendError
	switch {
	case errors.As(err, &send), errors.As(err, &network), cutOff(err) == aws.TrueTernary,
		retry.RetryableConnectionError{}.IsErrorRetryable(err) == aws.TrueTernary:
		return Connection
	case noCredentials(err):
		return Denied
	}
	return Other
}

func statusClass(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Denied
	case status == http.StatusNotFound:
		return NotFound
	case status == http.StatusNotModified, status == http.StatusPreconditionFailed:
		return ""
	case status == http.StatusRequestTimeout:
		return Timeout
	case status >= 500:
		return Server
	}
	return Client
}

// noCredentials recognizes the failure before the request, for which the SDK has no type.
func noCredentials(err error) bool {
	return strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "failed to refresh cached credentials")
}
