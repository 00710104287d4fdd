package consumer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Store keeps objects. It moves bytes and holds no policy. Its methods are safe for concurrent use, and each retries
// for a while on its own; an error that they return may be tried again, unless it is documented otherwise.
type Store interface {
	// Upload stores body under key without making it visible, as an upload which outlives the process and whose
	// object will carry the token. The body is not kept.
	Upload(ctx context.Context, key, token, contentType string, body []byte) (uploadID string, etags []string, err error)

	// Publish makes an upload visible. Anyone may call it again, also after it succeeded: when the upload is gone,
	// it succeeds if the object at key carries the token. An error that is fs.ErrNotExist tells that neither the
	// upload nor such an object exists: the bytes are lost.
	Publish(ctx context.Context, key, uploadID string, etags []string, token string) error

	// Put stores a small object, visible at once.
	Put(ctx context.Context, key string, body []byte) error

	// Get reads an object whole. The error is fs.ErrNotExist where there is none.
	Get(ctx context.Context, key string) ([]byte, error)

	// Delete removes an object; a missing one is no error.
	Delete(ctx context.Context, key string) error

	// Uploads calls each for every upload under the prefix that is neither published nor aborted.
	Uploads(ctx context.Context, prefix string, each func(key, uploadID string, started time.Time) error) error

	// Abort gives an upload up; a missing one is no error.
	Abort(ctx context.Context, key, uploadID string) error
}

// objectName names the object for a file of a commit. No two commits of a stream ever share epoch and number, so
// that a name is used once, for ever.
func objectName(stream, shard string, epoch, commit int64, index int, extension string) string {
	return fmt.Sprintf("%s-%s-e%d-c%d-%d.%s", stream, strings.TrimPrefix(shard, shardPrefix), epoch, commit, index, extension)
}

// parseObjectName is the inverse of objectName for the objects of a stream. It tells whether a key is one of them.
func parseObjectName(stream, key string) (shard string, epoch int64, ok bool) {
	name := key[strings.LastIndexByte(key, '/')+1:]
	name, ok = strings.CutPrefix(name, stream+"-")
	if !ok {
		return "", 0, false
	}
	parts := strings.Split(name, "-")
	if len(parts) != 4 || !strings.HasPrefix(parts[1], "e") || !strings.HasPrefix(parts[2], "c") {
		return "", 0, false
	}
	epoch, err := strconv.ParseInt(parts[1][1:], 10, 64)
	if err != nil {
		return "", 0, false
	}
	return shardPrefix + parts[0], epoch, true
}

// shardPrefix begins every shard id that Kinesis gives; objects are named without it.
const shardPrefix = "shardId-"
