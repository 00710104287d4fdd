package e2e

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
	"github.com/sluice-etl/sluice/consumer/kcltest/peers"
	"github.com/sluice-etl/sluice/internal/e2e/check"
)

const (
	region    = s3gw.Region
	accessKey = s3gw.AccessKey
	secretKey = s3gw.SecretKey
	stream    = "orders"
	bucket    = "lake"
)

// world is what a service needs around it: stand-ins that others wrote, as processes of their own.
type world struct {
	kinesisURL, dynamoURL, s3URL string

	kinesis *kinesis.Client
	s3      *s3.Client
	dir     string // the bucket as a folder
}

func newWorld(ctx context.Context, t *testing.T) *world {
	t.Helper()
	installed := os.Getenv(peers.Env)
	if installed == "" {
		t.Skipf("%s names no installation of kinesalite and dynalite; .ci/run makes one", peers.Env)
	}
	w := &world{}
	for name, url := range map[string]*string{"kinesalite": &w.kinesisURL, "dynalite": &w.dynamoURL} {
		address, stop, err := peers.Start(ctx, installed, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
		*url = address
	}
	root := t.TempDir()
	store := start(t, "s3server", "s3server", nil, "--dir", root, "--bucket", bucket)
	eventually(t, 30*time.Second, "s3server tells where it is", []*process{store}, func() bool {
		_, text, found := strings.Cut(store.stdout.String(), "http://") // the gateway itself may write before
		line, _, whole := strings.Cut(text, "\n")
		address, folder, ok := strings.Cut(line, " ")
		w.s3URL, w.dir = "http://"+address, folder
		return found && whole && ok
	})
	provider := credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")
	w.kinesis = kinesis.New(kinesis.Options{Region: region, Credentials: provider, BaseEndpoint: &w.kinesisURL})
	w.s3 = s3.New(s3.Options{Region: region, Credentials: provider, BaseEndpoint: &w.s3URL, UsePathStyle: true})
	if _, err := w.kinesis.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String(stream), ShardCount: aws.Int32(4)}); err != nil {
		t.Fatal(err)
	}
	w.active(ctx, t)
	return w
}

// active waits until the stream has ended its change.
func (w *world) active(ctx context.Context, t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "the stream is active", nil, func() bool {
		answer, err := w.kinesis.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(stream)})
		if err != nil {
			t.Fatal(err)
		}
		return answer.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive
	})
}

// service starts `sluice run`.
func (w *world) service(t *testing.T, name string) *process {
	t.Helper()
	return start(t, name, "sluice", []string{
		"AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey,
		"AWS_ENDPOINT_URL_KINESIS=" + w.kinesisURL, "AWS_ENDPOINT_URL_DYNAMODB=" + w.dynamoURL, "AWS_ENDPOINT_URL_S3=" + w.s3URL,
		"SLUICE_STREAM=" + stream, "SLUICE_BUCKET=" + bucket, "SLUICE_WORKER_ID=" + name, "SLUICE_HTTP_ADDR=" + address(t),
		"SLUICE_FLUSH_INTERVAL=2s", "SLUICE_FAILOVER_TIME=3s",
	}, "run")
}

// open lists the shards that take records, in the order of their hash keys.
func (w *world) open(ctx context.Context, t *testing.T) []types.Shard {
	t.Helper()
	answer, err := w.kinesis.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String(stream)})
	if err != nil {
		t.Fatal(err)
	}
	list := slices.DeleteFunc(answer.Shards, func(s types.Shard) bool { return s.SequenceNumberRange.EndingSequenceNumber != nil })
	slices.SortFunc(list, func(a, b types.Shard) int { return firstHash(a).Cmp(firstHash(b)) })
	return list
}

func hash(text *string) *big.Int {
	n, _ := new(big.Int).SetString(aws.ToString(text), 10)
	return cmp.Or(n, new(big.Int))
}

func firstHash(s types.Shard) *big.Int { return hash(s.HashKeyRange.StartingHashKey) }

// split divides the first open shard in the middle.
func (w *world) split(ctx context.Context, t *testing.T) {
	t.Helper()
	s := w.open(ctx, t)[0]
	middle := new(big.Int).Add(firstHash(s), hash(s.HashKeyRange.EndingHashKey))
	middle.Rsh(middle, 1)
	_, err := w.kinesis.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: aws.String(stream), ShardToSplit: s.ShardId, NewStartingHashKey: aws.String(middle.String())})
	if err != nil {
		t.Fatal(err)
	}
}

// merge joins the last two open shards.
func (w *world) merge(ctx context.Context, t *testing.T) {
	t.Helper()
	list := w.open(ctx, t)
	left, right := list[len(list)-2], list[len(list)-1]
	_, err := w.kinesis.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: aws.String(stream), ShardToMerge: left.ShardId, AdjacentShardToMerge: right.ShardId})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) output() check.Output {
	return check.Output{
		Dir: w.dir, Stream: stream, Prefix: "data/dt=!{timestamp:yyyy-MM-dd}/",
		ErrorPrefix: "errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/", StatePrefix: "_sluice/",
	}
}

// counter counts what is visible. Objects never change, so each is read once.
type counter map[string]int64

func (c counter) count(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if _, known := c[path]; !known {
			if c[path], err = held(path); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c {
		total += n
	}
	return total
}

// held is the number of rows or rejects in an object.
func held(path string) (int64, error) {
	switch filepath.Ext(path) {
	case ".parquet":
		reader, err := file.OpenParquetFile(path, false)
		if err != nil {
			return 0, err
		}
		defer reader.Close()
		return reader.NumRows(), nil
	case ".gz":
		in, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		defer in.Close()
		text, err := gzip.NewReader(bufio.NewReader(in))
		if err != nil {
			return 0, err
		}
		n := int64(0)
		for lines := bufio.NewReader(text); ; n++ {
			if _, err := lines.ReadBytes('\n'); err == io.EOF {
				return n, nil
			} else if err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// TestPeers puts 100,000 records into 4 shards that two processes read. One process is killed on the way, another takes its
// place, a shard is split and two are merged.
func TestPeers(t *testing.T) {
	const total, bads = 100_000, 100
	ctx := t.Context()
	w := newWorld(ctx, t)
	p := &producer{client: w.kinesis, stream: stream, ledger: &check.Ledger{}, random: rand.New(rand.NewPCG(seed(t), 1))}
	first, second := w.service(t, "first"), w.service(t, "second")
	running := []*process{first, second}
	visible := counter{}

	events := []struct {
		at int // records put before it
		do func()
	}{
		{total * 3 / 10, func() { w.split(ctx, t) }},
		{total * 5 / 10, func() { // killed at work: with something visible, and most not yet
			eventually(t, time.Minute, "the first rows are visible", running, func() bool { return visible.count(t, w.dir) > 0 })
			first.kill()
			running = []*process{second}
		}},
		{total * 6 / 10, func() { w.active(ctx, t); w.merge(ctx, t) }},
		{total * 8 / 10, func() { running = append(running, w.service(t, "third")) }},
	}
	for put := 0; put < total; put += batchSize {
		for len(events) > 0 && events[0].at <= put {
			events[0].do()
			events = events[1:]
		}
		records := make([]record, batchSize)
		for i := range records {
			if n := put + i; n%(total/bads) == total/bads/2 {
				records[i] = makeBad(n / (total / bads))
			} else {
				records[i] = p.make()
			}
		}
		p.put(ctx, t, records)
	}
	want := int64(p.ledger.Len())
	t.Logf("%d payloads were acknowledged; %d are visible", want, visible.count(t, w.dir))
	started := time.Now()
	eventually(t, 2*time.Minute, "all that was acknowledged is visible", running, func() bool { return visible.count(t, w.dir) >= want })
	t.Logf("all is visible after %v", time.Since(started).Round(time.Millisecond))
	for _, s := range running {
		s.terminate(t)
	}
	report := exact(t, w.output(), p.ledger)
	if report.Unacknowledged != 0 || report.Rejects != bads {
		t.Errorf("%+v; want %d rejects, and nothing that was not acknowledged", report, bads)
	}
	w.nothingPending(ctx, t)
}

// nothingPending checks that no multipart upload is left.
func (w *world) nothingPending(ctx context.Context, t *testing.T) {
	t.Helper()
	answer, err := w.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatal(err)
	}
	for _, upload := range answer.Uploads {
		t.Errorf("an upload is left: %s", *upload.Key)
	}
}
