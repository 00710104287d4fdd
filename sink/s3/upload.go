package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// partsAtOnce is how many parts of one upload are under way at the same time.
const partsAtOnce = 4

// Upload stores body as a multipart upload whose object will carry the token. When it returns, S3 has every part. The
// ETags go to Publish as they are; they hold the checksums as well. An upload that fails is aborted, as far as that can be
// done.
func (s *Store) Upload(ctx context.Context, key, token, contentType string, body []byte) (uploadID string, etags []string, err error) {
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: &key,
		Metadata:             map[string]string{tokenMetadata: token},
		ContentType:          aws.String(contentType),
		ChecksumAlgorithm:    types.ChecksumAlgorithmCrc32,
		ServerSideEncryption: s.sse, SSEKMSKeyId: s.kmsKey,
	}, perAttempt(callTime))
	if err != nil {
		return "", nil, s.wrap("start the upload of", key, err)
	}
	uploadID = aws.ToString(out.UploadId)
	if etags, err = s.uploadParts(ctx, key, uploadID, body); err != nil {
		// Nobody else knows this upload. Where it stays, since S3 cannot be reached, it is one to be found by Uploads.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
		defer cancel()
		if aborting := s.Abort(ctx, key, uploadID); aborting != nil {
			err = fmt.Errorf("%w; then %v", err, aborting)
		}
		return "", nil, s.wrap("upload", key, err)
	}
	return uploadID, etags, nil
}

func (s *Store) uploadParts(ctx context.Context, key, uploadID string, body []byte) ([]string, error) {
	// An empty object is one empty part.
	etags := make([]string, max(1, (int64(len(body))+s.partSize-1)/s.partSize))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i := range etags {
		part := body[:min(int64(len(body)), s.partSize)]
		body = body[len(part):]
		group.Go(func() (err error) {
			etags[i], err = s.uploadPart(ctx, key, uploadID, i, part)
			return err
		})
	}
	return etags, group.Wait()
}

func (s *Store) uploadPart(ctx context.Context, key, uploadID string, index int, part []byte) (string, error) {
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: &key, UploadId: &uploadID, PartNumber: partNumber(index),
		Body: bytes.NewReader(part), ContentLength: aws.Int64(int64(len(part))),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	}, perAttempt(transferTime(len(part))))
	if err != nil {
		return "", fmt.Errorf("part %d: %w", *partNumber(index), err)
	}
	return encodePart(aws.ToString(out.ETag), aws.ToString(out.ChecksumCRC32)), nil
}

// partNumber is the number of a part; S3 counts from 1.
func partNumber(index int) *int32 { return aws.Int32(int32(index) + 1) }

// encodePart makes one string of what S3 wants to hear again of a part: its ETag and, where S3 gave one, its checksum.
func encodePart(etag, crc32 string) string {
	etag = strings.Trim(etag, `"`)
	if crc32 == "" {
		return etag
	}
	return etag + " " + crc32
}

func decodePart(index int, text string) types.CompletedPart {
	etag, crc32, ok := strings.Cut(text, " ")
	part := types.CompletedPart{PartNumber: partNumber(index), ETag: aws.String(`"` + etag + `"`)}
	if ok {
		part.ChecksumCRC32 = &crc32
	}
	return part
}

// Publish makes an upload visible. It may be called again, by anyone, also after it succeeded or when it is not known
// whether it did: when the upload is gone, it succeeds if the object at key carries the token, and is fs.ErrNotExist
// otherwise. An object that is there already is not replaced.
func (s *Store) Publish(ctx context.Context, key, uploadID string, etags []string, token string) error {
	if err := s.publish(ctx, key, uploadID, etags, token); err != nil {
		return s.wrap("publish", key, err)
	}
	return nil
}

func (s *Store) publish(ctx context.Context, key, uploadID string, etags []string, token string) error {
	parts := make([]types.CompletedPart, len(etags))
	for i, etag := range etags {
		parts[i] = decodePart(i, etag)
	}
	_, completed := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: &key, UploadId: &uploadID,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		IfNoneMatch:     aws.String("*"),
	}, perAttempt(completeTime))
	gone := hasCode(completed, "NoSuchUpload")
	taken := hasCode(completed, "PreconditionFailed", "ConditionalRequestConflict")
	if completed != nil && !gone && !taken {
		return completed
	}

	// An upload is gone when an earlier attempt, or somebody else, has completed it. Not every S3 says so then: some give
	// success for any upload of a key that has an object, and some while another call is still at work. The object decides.
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key}, perAttempt(callTime))
	exists := !hasCode(err, "NotFound", "NoSuchKey")
	if exists && err != nil {
		return fmt.Errorf("look at what has the key: %w", err)
	}
	switch {
	case exists && head.Metadata[tokenMetadata] == token:
		return nil
	case gone:
		return fmt.Errorf("neither the upload nor an object of the commit %s: %w: %w", token, fs.ErrNotExist, completed)
	case completed == nil && exists:
		// It was not this call that completed an upload, since it would not have replaced the object.
		return fmt.Errorf("another object has the key, and there is no upload: %w", fs.ErrNotExist)
	case taken && exists:
		return fmt.Errorf("another object, of the commit %q, has the key: %w", head.Metadata[tokenMetadata], completed)
	case taken:
		return completed
	default:
		return errors.New("S3 has taken the upload, but there is no object yet; try again")
	}
}

// Uploads calls each for every multipart upload under the prefix that is neither completed nor aborted. Uploads that come
// or go meanwhile may be missed.
func (s *Store) Uploads(ctx context.Context, prefix string, each func(key, uploadID string, started time.Time) error) error {
	in := &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &prefix}
	for {
		out, err := s.client.ListMultipartUploads(ctx, in, perAttempt(callTime))
		if in.UploadIdMarker != nil && hasCode(err, "InvalidArgument") {
			// versitygw refuses its own markers within a key, so go on with the next key: if this one has more uploads, they
			// are found when those already seen are gone.
			in.UploadIdMarker = nil
			continue
		}
		if err != nil {
			return s.wrap("list the uploads under", prefix, err)
		}
		for _, u := range out.Uploads {
			if err := each(aws.ToString(u.Key), aws.ToString(u.UploadId), aws.ToTime(u.Initiated)); err != nil {
				return err
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		key, id := aws.ToString(out.NextKeyMarker), aws.ToString(out.NextUploadIdMarker)
		if key == aws.ToString(in.KeyMarker) && id == aws.ToString(in.UploadIdMarker) {
			return s.wrap("list the uploads under", prefix, errors.New("S3 says that there are more, but not where"))
		}
		in.KeyMarker, in.UploadIdMarker = &key, &id
	}
}

// Abort gives an upload up, with all its parts; a missing one is no error.
func (s *Store) Abort(ctx context.Context, key, uploadID string) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &s.bucket, Key: &key, UploadId: &uploadID,
	}, perAttempt(callTime))
	if err != nil && !hasCode(err, "NoSuchUpload") {
		return s.wrap("abort the upload of", key, err)
	}
	return nil
}
