package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Check tells whether the bucket can be reached, and if not, what to do about it. It does not find out whether every
// permission is there.
func (s *Store) Check(ctx context.Context) error {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket}, perAttempt(callTime))
	if err == nil {
		return nil
	}
	return fmt.Errorf("check the bucket %s: %w", s.bucket, explain(err, s.client.Options().Region))
}

// explain says what an answer to HeadBucket means. Such an answer has no text of its own, being one to a HEAD.
func explain(err error, region string) error {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil {
		return err
	}
	status := answer.HTTPStatusCode()
	// A request that is signed for the wrong region is redirected or refused; S3 names the right one in either case.
	switch home := answer.Response.Header.Get("X-Amz-Bucket-Region"); {
	case status == http.StatusNotFound:
		return fmt.Errorf("there is no such bucket; create it, or correct the name: %w", err)
	case home != "" && home != region:
		return fmt.Errorf("it is in the region %s, but the AWS region configured is %s; set AWS_REGION=%s, or use a bucket in %s: %w",
			home, region, home, region, err)
	case status == http.StatusForbidden:
		return fmt.Errorf("access is forbidden; allow these credentials s3:ListBucket on the bucket, "+
			"and correct the name if it is somebody else's: %w", err)
	case status == http.StatusMovedPermanently:
		return fmt.Errorf("it is in another region than %s, which is the AWS region configured; set AWS_REGION to the bucket's: %w",
			region, err)
	}
	return err
}
