package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
)

// How long one attempt of a call may take before it is given up and tried again. S3 answers small calls in well under a
// second, but may take minutes to assemble a large object; a transfer below slowest is as good as none.
const (
	callTime     = 30 * time.Second
	completeTime = 3 * time.Minute
	slowest      = 256 << 10 // bytes a second
)

func transferTime(size int) time.Duration {
	return callTime + time.Duration(size)*time.Second/slowest
}

// perAttempt bounds each attempt of a call. The SDK leaves that to the HTTP client, which cannot know what is transferred,
// and takes a context's deadline for the caller's wish not to go on.
func perAttempt(limit time.Duration) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Finalize.Insert(attemptLimit(limit), "Retry", middleware.After)
		})
	}
}

type attemptLimit time.Duration

func (attemptLimit) ID() string { return "SluiceAttemptLimit" }

func (l attemptLimit) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error) {
	limited, cancel := context.WithTimeoutCause(ctx, time.Duration(l), errAttempt)
	defer cancel()
	out, metadata, err := next.HandleFinalize(limited, in)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(limited), errAttempt) {
		err = &attemptError{time.Duration(l), err}
	}
	return out, metadata, err
}

var errAttempt = errors.New("the attempt took too long")

// attemptError hides that a context ended the attempt, so that the SDK tries again.
type attemptError struct {
	limit time.Duration
	err   error
}

func (e *attemptError) Error() string {
	return fmt.Sprintf("no answer after %v, given up: %v", e.limit, e.err)
}

// RetryableError is what the SDK's retryer looks for.
func (*attemptError) RetryableError() bool { return true }

// Timeout is what the net package's errors have.
func (*attemptError) Timeout() bool { return true }
