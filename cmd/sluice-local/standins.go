package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/feed"
	"github.com/sluice-etl/sluice/internal/kdg"
	"github.com/sluice-etl/sluice/sink/catalog/gluetest"
)

// standIns are the AWS services of this process, over one folder:
//
//	kcl/                        the state of Kinesis and DynamoDB
//	s3/sluice-local/            the bucket: objects are plain files
//	s3-metadata/                what S3 keeps beside objects
//	keys                        the access key of Direct PUT, where the module has that
//	ledger.jsonl                every record that the stream has acknowledged
//
// The catalog is in memory: a table that is configured is made of the bucket in each run.
type standIns struct {
	kcl    *kcltest.Server
	s3     *s3gw.Gateway
	glue   *gluetest.Server
	aws    consumer.Clients
	ledger *os.File
	bucket string // its folder
}

func startStandIns(ctx context.Context, dir string, cfg *config.Config) (*standIns, error) {
	s := &standIns{bucket: filepath.Join(dir, "s3", bucket)}
	if err := s.start(ctx, dir, cfg); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *standIns) start(ctx context.Context, dir string, cfg *config.Config) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if s.ledger, err = os.OpenFile(filepath.Join(dir, "ledger.jsonl"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644); err != nil {
		return err
	}
	if s.kcl, err = kcltest.Start(kcltest.Options{Dir: filepath.Join(dir, "kcl")}); err != nil {
		return err
	}
	if s.s3, err = s3gw.Start(s3gw.Options{Dir: filepath.Join(dir, "s3"), Sidecar: filepath.Join(dir, "s3-metadata"), Bucket: bucket}); err != nil {
		return err
	}
	if s.glue, err = gluetest.Start(); err != nil {
		return err
	}
	if cfg.GlueDatabase != "" {
		if err := s.glue.CreateDatabase(ctx, cfg.GlueDatabase); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{
		"AWS_REGION": s.s3.Region, "AWS_ACCESS_KEY_ID": s.s3.AccessKey, "AWS_SECRET_ACCESS_KEY": s.s3.SecretKey, "AWS_SESSION_TOKEN": "",
		"AWS_ENDPOINT_URL_KINESIS": s.kcl.URL, "AWS_ENDPOINT_URL_DYNAMODB": s.kcl.URL, "AWS_ENDPOINT_URL_S3": s.s3.URL, "AWS_ENDPOINT_URL_GLUE": s.glue.URL,
		// What this machine has for the real AWS is not looked at.
		"AWS_PROFILE": "", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": filepath.Join(dir, "no-config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "no-credentials"),
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	sdk, err := config.AWS(ctx, cfg, nil)
	if err != nil {
		return err
	}
	s.aws = consumer.NewClients(sdk)
	return consumer.CreateStream(ctx, s.aws.Kinesis, cfg.Stream, shards)
}

// close ends the stand-ins, but for S3, which ends with the process: it would wait for the clients' idle connections, and
// loses nothing.
func (s *standIns) close() error {
	var errs []error
	if s.kcl != nil {
		errs = append(errs, s.kcl.Close())
	}
	if s.glue != nil {
		errs = append(errs, s.glue.Close())
	}
	if s.ledger != nil {
		errs = append(errs, s.ledger.Close())
	}
	return errors.Join(errs...)
}

// feed puts the records of the lab's module into the stream, through Direct PUT where that is its way, until the time is over
// or the context ends.
func (s *standIns) feed(ctx context.Context, o options, direct *endpoint) error {
	m := modules[o.module]
	var sources []kdg.Source
	for _, t := range m.templates {
		template, err := kdg.Parse(m.stream, t.text)
		if err != nil {
			return err
		}
		sources = append(sources, kdg.Source{Template: template, Rate: kdg.Rate{Mean: t.rate * o.rate}})
	}
	var broken error
	acknowledged := func(taken []consumer.Taken) { broken = errors.Join(broken, s.write(taken)) }
	var producer feed.Producer = &consumer.Producer{Client: s.aws.Kinesis, Stream: m.stream, Acknowledged: acknowledged}
	if direct != nil {
		if producer = direct.producer(ctx, acknowledged); ctx.Err() != nil {
			return nil
		}
	}
	now := time.Now()
	f := feed.Feed{
		Records: kdg.NewStream(sources, o.seed, now), Producer: producer, Key: feed.RandomKey(o.seed), Duration: o.duration, Newlines: direct != nil,
	}
	if err := f.Run(ctx, now); err != nil {
		return fmt.Errorf("put records into the stream: %w", err)
	}
	return broken
}

// ledgerLine is what an audit holds the files against.
type ledgerLine struct {
	Shard  string `json:"shard"`
	Seq    string `json:"seq"`
	SHA256 string `json:"sha256"`
	Data   string `json:"data"`
}

// write adds a line to the ledger for each record that the stream has taken.
func (s *standIns) write(taken []consumer.Taken) error {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, t := range taken {
		sum := sha256.Sum256(t.Data)
		if err := encoder.Encode(ledgerLine{t.Shard, t.SequenceNumber, hex.EncodeToString(sum[:]), string(t.Data)}); err != nil {
			return err
		}
	}
	_, err := s.ledger.Write(lines.Bytes())
	return err
}
