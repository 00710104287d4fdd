// Package s3gw is an S3 for one machine: versitygw in this process, over a folder of plain files.
//
// It is there for sluice-local and for tests, so that the service meets a real S3 protocol (signatures, checksums,
// multipart uploads) without an account. An object with the key a/b of the bucket c is the file Dir/c/a/b. Uploads that
// are not complete, and objects, outlive the process, a SIGKILL included; nothing is flushed to the disk for the sake of
// a power cut.
//
// It does not guard anything: the credentials are fixed and public, and it listens on the loopback interface only.
//
// Two properties of versitygw reach further than this package. Only one gateway can run in a process at a time. And its
// file backend works relative to the process's working directory, which is Dir from Start to Close: a program makes the
// paths it was given absolute before it calls Start.
package s3gw

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

// What a client signs its requests with, and any session token besides, or none. They protect nothing; but they are like nothing
// else, so that whoever prints them is found out.
const (
	AccessKey = "SLUICELOCAL0ACCESS0KEY"
	SecretKey = "sluiceLocal0secretAccessKey0Vw7Kq2Xd"
	Region    = "us-east-1"
)

// tokens lets the one account be used with a session token, which the gateway has for accounts of its own making alone.
type tokens struct{ auth.IAMService }

// DeriveSigningKey implements auth.SigningKeyProvider.
func (t tokens) DeriveSigningKey(access, _, date, region, service string) ([]byte, auth.Account, error) {
	key, account, err := auth.ResolveDerivedKey(t.IAMService, auth.Account{}, access, "", date, region, service)
	account.Secret = ""
	return key, account, err
}

// Options say where a gateway keeps its objects and where it listens.
type Options struct {
	Dir     string // where the buckets are folders; made if it is missing
	Sidecar string // where metadata are kept; made if it is missing, and not below Dir
	Addr    string // a loopback address with a port; empty or port 0: a free port
	Bucket  string // made if it is missing; empty: none
}

// Gateway is a running S3.
type Gateway struct {
	URL       string // the endpoint; buckets are part of the path
	AccessKey string
	SecretKey string
	Region    string

	cwd    string // the working directory to go back to
	cancel context.CancelFunc
	done   chan error // one value: what the gateway ended with
}

// Start starts a gateway and returns when it answers. While it runs, the working directory of the process is
// Options.Dir.
func Start(o Options) (*Gateway, error) {
	g, err := start(o)
	if err != nil {
		return nil, fmt.Errorf("start the local S3: %w", err)
	}
	return g, nil
}

func start(o Options) (*Gateway, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	dir, sidecar, err := folders(o)
	if err != nil {
		return nil, err
	}
	host, port, err := loopback(o.Addr)
	if err != nil {
		return nil, err
	}
	if err := recoverUploads(dir, sidecar); err != nil {
		return nil, err
	}
	// A free port may be taken by another process between the choice and its use.
	for attempt := 0; ; attempt++ {
		addr := net.JoinHostPort(host, port)
		if port == "0" {
			if addr, err = freeAddr(host); err != nil {
				return nil, err
			}
		}
		g, err := serve(dir, sidecar, addr)
		if errors.Is(err, syscall.EADDRINUSE) && port == "0" && attempt < 10 {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, os.Chdir(cwd))
		}
		g.cwd = cwd
		if err := g.makeBucket(o.Bucket); err != nil {
			return nil, errors.Join(err, g.Close())
		}
		return g, nil
	}
}

// folders makes the two folders and returns their absolute paths.
func folders(o Options) (dir, sidecar string, err error) {
	if o.Dir == "" || o.Sidecar == "" {
		return "", "", errors.New("the folders Dir and Sidecar must both be given")
	}
	if dir, err = filepath.Abs(o.Dir); err != nil {
		return "", "", err
	}
	if sidecar, err = filepath.Abs(o.Sidecar); err != nil {
		return "", "", err
	}
	if sidecar == dir || strings.HasPrefix(sidecar, dir+string(filepath.Separator)) {
		return "", "", fmt.Errorf("the sidecar folder %s lies in %s, where every folder is a bucket; put it beside", sidecar, dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	return dir, sidecar, os.MkdirAll(sidecar, 0o755)
}

// loopback takes an address apart and refuses one that other machines could reach.
func loopback(addr string) (host, port string, err error) {
	if addr == "" {
		return "127.0.0.1", "0", nil
	}
	host, port, err = net.SplitHostPort(addr)
	if err != nil {
		return "", "", err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", "", fmt.Errorf("%s is not a loopback address such as 127.0.0.1:9000; the credentials are public, so it must be one", addr)
	}
	return host, port, nil
}

func freeAddr(host string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// serve runs the gateway on exactly this address, and returns when it listens.
func serve(dir, sidecar, addr string) (*Gateway, error) {
	metadata, err := meta.NewSideCar(sidecar)
	if err != nil {
		return nil, err
	}
	backend, err := posix.New(dir, metadata, posix.PosixOpts{
		CopyObjectThreshold: 5 << 30,
		// SideCarDir is not set: its only effects are a check that folders did, and a line on standard output.
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	listening, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
			RootUserAccess:    "root", // who may have no token, and is nobody here
			RootUserSecret:    SecretKey,
			Region:            Region,
			Ports:             []string{addr},
			MaxConnections:    4096,
			MaxRequests:       1024,
			MultipartMaxParts: 10_000,
			Quiet:             true,
			// What it would take by itself; but it would say so on standard output, which belongs to the program.
			IAMService: tokens{auth.NewIAMServiceSingle(auth.Account{Access: AccessKey, Secret: SecretKey, Role: auth.RoleAdmin})},
			KeepAlive:  true,
			S3Options:  []s3api.Option{s3api.WithOnListen(func() { close(listening) })},
		})
	}()
	select {
	case <-listening:
		return &Gateway{
			URL: "http://" + addr, AccessKey: AccessKey, SecretKey: SecretKey, Region: Region,
			cancel: cancel, done: done,
		}, nil
	case err := <-done:
		cancel()
		if err == nil {
			err = errors.New("it ended before it listened")
		}
		return nil, err
	}
}

func (g *Gateway) makeBucket(bucket string) error {
	if bucket == "" {
		return nil
	}
	_, err := g.Client().CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: &bucket})
	var mine *types.BucketAlreadyOwnedByYou
	var exists *types.BucketAlreadyExists
	if err != nil && !errors.As(err, &mine) && !errors.As(err, &exists) {
		return fmt.Errorf("make the bucket %s: %w", bucket, err)
	}
	return nil
}

// Client makes a client of the gateway.
func (g *Gateway) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(g.URL),
		Region:       g.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(g.AccessKey, g.SecretKey, ""),
		UsePathStyle: true,
	})
}

// Close stops the gateway, waits until it has, and goes back to the former working directory. It is called once.
func (g *Gateway) Close() error {
	g.cancel()
	err := <-g.done
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, os.Chdir(g.cwd))
}
