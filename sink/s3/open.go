package s3

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Open makes the store of a bucket, with a client of the configuration.
func Open(sdk aws.Config, o Options) *Store {
	return New(s3.NewFromConfig(sdk, func(o *s3.Options) {
		// S3 has checksums of whole objects and of parts, and none of what is read of them: each read would log that.
		o.DisableLogOutputChecksumValidationSkipped = true
	}), o)
}
