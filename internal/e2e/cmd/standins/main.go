// Command standins is Kinesis, DynamoDB and S3 over one folder, as a process of its own: kcltest and s3gw. It can be
// killed and started again on the same folder and addresses; nothing that was acknowledged is lost by that.
//
// It prints one line when it answers: its endpoints of Kinesis and DynamoDB, and of S3, and the folder of the bucket. It
// runs until it is killed or its standard input ends. At the address --control, POST /faults makes calls to come go wrong,
// as its body, JSON, says (see kcltest.Fault, of which world.Fault is what can travel); DELETE /faults ends that.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "absolute `folder` of everything")
	flag.StringVar(&o.bucket, "bucket", "", "`name` of a bucket to make")
	flag.StringVar(&o.kcl, "kcl", "", "loopback `address` of Kinesis and DynamoDB (default: a free port)")
	flag.StringVar(&o.s3, "s3", "", "loopback `address` of S3 (default: a free port)")
	flag.StringVar(&o.control, "control", "", "loopback `address` that faults are told to (default: none)")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "standins:", err)
		os.Exit(1)
	}
}

type options struct{ dir, bucket, kcl, s3, control string }

func run(o options) error {
	server, err := kcltest.Start(kcltest.Options{Dir: filepath.Join(o.dir, "kcl"), Addr: o.kcl, ReadCallLimit: true, ReadByteLimit: true})
	if err != nil {
		return err
	}
	defer server.Close()
	gateway, err := s3gw.Start(s3gw.Options{Dir: filepath.Join(o.dir, "data"), Sidecar: filepath.Join(o.dir, "metadata"), Bucket: o.bucket, Addr: o.s3})
	if err != nil {
		return err
	}
	if o.control != "" {
		listener, err := net.Listen("tcp", o.control)
		if err != nil {
			return err
		}
		defer listener.Close()
		go http.Serve(listener, control(server))
	}
	fmt.Println(server.URL, gateway.URL, filepath.Join(o.dir, "data", o.bucket))
	_, err = io.Copy(io.Discard, os.Stdin)
	return err // the gateway ends with the process: it would wait for the clients' idle connections, and loses nothing
}

// control serves the address that faults are told to.
func control(server *kcltest.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var f world.Fault
		if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		server.Inject(kcltest.Fault{Operation: f.Operation, Nth: f.Nth, Count: f.Count, Delay: f.Delay, Status: f.Status, Code: f.Code, DropAnswer: f.DropAnswer})
	})
	mux.HandleFunc("DELETE /faults", func(http.ResponseWriter, *http.Request) { server.ClearFaults() })
	return mux
}
