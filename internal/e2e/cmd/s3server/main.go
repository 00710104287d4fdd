// Command s3server is an S3 over a folder, as a process of its own. It prints its endpoint and the folder of the bucket
// on one line when it answers, and runs until it is killed or its standard input ends.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
)

func main() {
	dir := flag.String("dir", "", "absolute `folder` of everything")
	bucket := flag.String("bucket", "", "`name` of a bucket to make")
	addr := flag.String("addr", "", "loopback `address` to listen on (default: a free port)")
	flag.Parse()
	gateway, err := s3gw.Start(s3gw.Options{Dir: filepath.Join(*dir, "data"), Sidecar: filepath.Join(*dir, "metadata"), Bucket: *bucket, Addr: *addr})
	if err != nil {
		fmt.Fprintln(os.Stderr, "s3server:", err)
		os.Exit(1)
	}
	fmt.Println(gateway.URL, filepath.Join(*dir, "data", *bucket))
	io.Copy(io.Discard, os.Stdin)
}
