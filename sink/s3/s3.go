// Package s3 is a store of objects in an S3 bucket.
//
// An upload is a multipart upload, however small: S3 keeps it invisible, and for as long as the bucket's rules let it,
// until it is completed. Its object carries the metadata sluice-commit, by which anyone can tell whose object it is.
//
// The package holds no policy: it decides neither what is uploaded, nor when an upload is given up. It does not stream:
// bodies are in memory. And it does not set a bucket up.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// Sizes of parts, in bytes. S3 refuses smaller parts than the least, but for the last of an object.
const (
	DefaultPartSize = 16 << 20
	MinPartSize     = 5 << 20
)

// tokenMetadata is the object metadata that holds a commit's token.
const tokenMetadata = "sluice-commit"

// Options say where and how objects are stored.
type Options struct {
	Bucket   string
	KMSKey   string // the SSE-KMS key of everything written: an id, ARN or alias; empty: the bucket's own encryption
	PartSize int64  // bytes in a part of an upload, at least MinPartSize; 0: DefaultPartSize
}

// Store is a bucket. Its methods are safe for concurrent use. Each retries as its client does, and bounds each attempt in
// time; after an error it may be called again.
type Store struct {
	client   *s3.Client
	bucket   string
	partSize int64
	kmsKey   *string                    // nil: none
	sse      types.ServerSideEncryption // goes with kmsKey
}

// New makes the store of a bucket. It does not call S3; Check does.
func New(client *s3.Client, o Options) *Store {
	s := &Store{client: client, bucket: o.Bucket, partSize: DefaultPartSize}
	if o.PartSize != 0 {
		s.partSize = max(o.PartSize, MinPartSize)
	}
	if o.KMSKey != "" {
		s.kmsKey, s.sse = &o.KMSKey, types.ServerSideEncryptionAwsKms
	}
	return s
}

// wrap says what failed, and where.
func (s *Store) wrap(operation, key string, err error) error {
	return fmt.Errorf("%s s3://%s/%s: %w", operation, s.bucket, key, err)
}

// hasCode tells whether an error is an answer of S3 with one of these codes.
func hasCode(err error, codes ...string) bool {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return false
	}
	for _, code := range codes {
		if answer.ErrorCode() == code {
			return true
		}
	}
	return false
}

// Put stores an object, visible at once; it replaces what has the key.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
		ServerSideEncryption: s.sse, SSEKMSKeyId: s.kmsKey,
	}, perAttempt(transferTime(len(body))))
	if err != nil {
		return s.wrap("put", key, err)
	}
	return nil
}

// Get reads an object whole. The error is fs.ErrNotExist where there is none. Without the permission s3:ListBucket, S3
// does not tell that from a forbidden one.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	body, err := s.get(ctx, key)
	if err != nil {
		return nil, s.wrap("get", key, err)
	}
	return body, nil
}

func (s *Store) get(ctx context.Context, key string) ([]byte, error) {
	// The body is read after the call has returned, so that this is bounded as a whole.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if hasCode(err, "NoSuchKey") {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(out.Body)
	return body, errors.Join(err, out.Body.Close())
}

// Delete removes an object; a missing one is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key}, perAttempt(callTime))
	if err != nil && !hasCode(err, "NoSuchKey") {
		return s.wrap("delete", key, err)
	}
	return nil
}
