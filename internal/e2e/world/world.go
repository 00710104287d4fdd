package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
	"github.com/sluice-etl/sluice/consumer/kcltest/peers"
	"github.com/sluice-etl/sluice/internal/e2e/canary"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/plainbody"
)

// The names in a world.
const (
	Stream = "orders"
	Bucket = "lake"
)

// Options say which world to make.
type Options struct {
	Dir      string // absolute folder of everything
	Binaries string // folder of the commands s3server and standins; see Commands
	Peers    string // folder in which kinesalite and dynalite are installed; empty: our own stand-ins
	Shards   int
}

// Commands are the commands that a world is made of, for process.Build; root is the folder of the project.
func Commands(root string) []process.Command {
	folder := filepath.Join(root, "internal", "e2e")
	return []process.Command{
		{Folder: folder, Work: "off", Target: "./cmd/s3server"},
		{Folder: folder, Work: "off", Target: "./cmd/standins"},
	}
}

// World is a stream, a service of tables and a bucket. It is safe for concurrent use, but for KillServer and RestartServer,
// which one goroutine at a time may call.
type World struct {
	KinesisURL, DynamoURL, S3URL string

	Kinesis *kinesis.Client
	Dynamo  *dynamodb.Client
	S3      *s3.Client
	Bucket  string // the bucket as a folder

	options Options
	control string           // where our own stand-ins are told of faults; empty: nowhere
	server  *process.Process // of S3, and of Kinesis and DynamoDB where they are ours; nil while it is killed
	serve   func() error     // starts server, also again
	stops   []func() error   // of the peers
}

// Start makes a world with an empty stream of so many shards. Close ends it.
func Start(ctx context.Context, o Options) (*World, error) {
	w := &World{options: o, Bucket: filepath.Join(o.Dir, "data", Bucket)}
	if err := w.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the stand-ins: %w", err), w.Close())
	}
	return w, nil
}

func (w *World) start(ctx context.Context) error {
	if err := w.startServers(ctx); err != nil {
		return err
	}
	provider := credentials.NewStaticCredentialsProvider(s3gw.AccessKey, s3gw.SecretKey, "")
	client := &http.Client{Transport: plainbody.Transport{RoundTripper: http.DefaultTransport}}
	w.Kinesis = kinesis.New(kinesis.Options{Region: s3gw.Region, Credentials: provider, BaseEndpoint: &w.KinesisURL, HTTPClient: client})
	w.Dynamo = dynamodb.New(dynamodb.Options{Region: s3gw.Region, Credentials: provider, BaseEndpoint: &w.DynamoURL, HTTPClient: client})
	w.S3 = s3.New(s3.Options{Region: s3gw.Region, Credentials: provider, BaseEndpoint: &w.S3URL, UsePathStyle: true, HTTPClient: client})
	if _, err := w.Kinesis.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String(Stream), ShardCount: aws.Int32(int32(w.options.Shards))}); err != nil {
		return err
	}
	return w.Active(ctx)
}

func (w *World) startServers(ctx context.Context) error {
	var addresses [3]string
	for i := range addresses {
		var err error
		if addresses[i], err = process.Address(); err != nil {
			return err
		}
	}
	if w.options.Peers == "" {
		w.control = "http://" + addresses[2]
		w.serve = func() error {
			return w.startServer(ctx, "standins", "--kcl", addresses[0], "--s3", addresses[1], "--control", addresses[2])
		}
		w.KinesisURL, w.DynamoURL, w.S3URL = "http://"+addresses[0], "http://"+addresses[0], "http://"+addresses[1]
		return w.serve()
	}
	for name, url := range map[string]*string{"kinesalite": &w.KinesisURL, "dynalite": &w.DynamoURL} {
		address, stop, err := peers.Start(ctx, w.options.Peers, name)
		if err != nil {
			return err
		}
		w.stops = append(w.stops, stop)
		*url = address
	}
	w.S3URL = "http://" + addresses[1]
	w.serve = func() error { return w.startServer(ctx, "s3server", "--addr", addresses[1]) }
	return w.serve()
}

// startServer starts one of the commands over the world's folder, and waits until it answers.
func (w *World) startServer(ctx context.Context, command string, args ...string) error {
	args = append(args, "--dir", w.options.Dir, "--bucket", Bucket)
	p, err := process.Start(process.Spec{Name: command, Path: filepath.Join(w.options.Binaries, command), Args: args, Home: w.options.Dir})
	if err != nil {
		return err
	}
	err = process.Await(ctx, time.Minute, command+" tells where it is", []*process.Process{p}, func() (bool, error) {
		for line := range strings.Lines(p.Stdout.String()) { // the gateway itself may write before
			if strings.HasPrefix(line, "http://") && strings.HasSuffix(line, "\n") {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		p.Kill()
		return fmt.Errorf("%w\n%s", err, p.Stderr.String())
	}
	w.server = p
	return nil
}

// Close ends all processes of the world.
func (w *World) Close() error {
	w.KillServer()
	var errs []error
	for _, stop := range w.stops {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

// Ours tells whether Kinesis and DynamoDB are our own, of which calls can be made to go wrong.
func (w *World) Ours() bool { return w.control != "" }

// KillServer ends the process that keeps its state in files, as a crash does.
func (w *World) KillServer() {
	if w.server != nil {
		w.server.Kill()
		w.server = nil
	}
}

// RestartServer starts the process that KillServer killed, on the same state and at the same addresses.
func (w *World) RestartServer() error { return w.serve() }

// Fault makes calls of our own Kinesis and DynamoDB go wrong: the part of kcltest.Fault that can be told to another process.
type Fault struct {
	Operation  string
	Nth, Count int
	Delay      time.Duration
	Status     int
	Code       string
	DropAnswer bool
}

// Inject makes calls to come go wrong, until ClearFaults.
func (w *World) Inject(ctx context.Context, f Fault) error {
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return w.tell(ctx, http.MethodPost, body)
}

// ClearFaults ends what Inject began.
func (w *World) ClearFaults(ctx context.Context) error { return w.tell(ctx, http.MethodDelete, nil) }

func (w *World) tell(ctx context.Context, method string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, w.control+"/faults", bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("tell the stand-ins of a fault: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body) // it only explains
		return fmt.Errorf("tell the stand-ins of a fault: %s: %s", answer.Status, text)
	}
	return nil
}

// Answers fails unless every one of the stand-ins answers, without anything in between.
func (w *World) Answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, kinesisErr := w.Kinesis.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(Stream)})
	_, dynamoErr := w.Dynamo.ListTables(ctx, &dynamodb.ListTablesInput{})
	_, s3Err := w.S3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(Bucket)})
	return errors.Join(kinesisErr, dynamoErr, s3Err)
}

// Environment is what the AWS SDK of a process needs to find the endpoints given. The session token is there to be searched for.
func Environment(kinesisURL, dynamoURL, s3URL string) []string {
	return []string{
		"AWS_REGION=" + s3gw.Region, "AWS_ACCESS_KEY_ID=" + s3gw.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3gw.SecretKey,
		"AWS_SESSION_TOKEN=" + canary.SessionToken,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_ENDPOINT_URL_KINESIS=" + kinesisURL, "AWS_ENDPOINT_URL_DYNAMODB=" + dynamoURL, "AWS_ENDPOINT_URL_S3=" + s3URL,
	}
}
