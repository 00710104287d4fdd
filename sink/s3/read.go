package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// List calls object for every object whose key begins with the prefix, with its size in bytes and the time of its last
// change. If folder is given, it is called for every longer prefix up to the next slash, and what lies below these is left
// out. The calls come one after the other, in no promised order; the first error of theirs ends the list, and is returned.
func (s *Store) List(ctx context.Context, prefix string, object func(key string, size int64, modified time.Time) error,
	folder func(prefix string) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix}
	if folder != nil {
		in.Delimiter = aws.String("/")
	}
	for pages := s3.NewListObjectsV2Paginator(s.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx, perAttempt(callTime))
		if err != nil {
			return s.wrap("list", prefix, err)
		}
		for _, o := range page.Contents {
			if err := object(aws.ToString(o.Key), aws.ToInt64(o.Size), aws.ToTime(o.LastModified)); err != nil {
				return err
			}
		}
		for _, p := range page.CommonPrefixes {
			if err := folder(aws.ToString(p.Prefix)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Head tells an object's size in bytes and the token that it carries; empty: none. The error is fs.ErrNotExist where there
// is no object.
func (s *Store) Head(ctx context.Context, key string) (size int64, token string, err error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key}, perAttempt(callTime))
	if hasCode(err, "NotFound", "NoSuchKey") {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return 0, "", s.wrap("look at", key, err)
	}
	return aws.ToInt64(out.ContentLength), out.Metadata[tokenMetadata], nil
}

// ReadAt fills p with the bytes of an object from an offset on, and reads no others. An object that ends before is an
// error; the error is fs.ErrNotExist where there is none.
func (s *Store) ReadAt(ctx context.Context, key string, p []byte, offset int64) error {
	if err := s.readAt(ctx, key, p, offset); err != nil {
		return s.wrap(fmt.Sprintf("read %d bytes at %d of", len(p), offset), key, err)
	}
	return nil
}

func (s *Store) readAt(ctx context.Context, key string, p []byte, offset int64) error {
	// The body is read after the call has returned, so that this is bounded as a whole.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.bucket, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+int64(len(p))-1)),
	})
	if hasCode(err, "NoSuchKey") {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return err
	}
	_, err = io.ReadFull(out.Body, p)
	return errors.Join(err, out.Body.Close())
}
