package kcltest_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/sluice-etl/sluice/consumer/kcltest"
)

// killDir names, to a child of TestStateOutlivesKill, the folder of its server.
const killDir = "KCLTEST_KILL_DIR"

// TestStateOutlivesKill kills a server of another process in the midst of writing. Whatever it acknowledged is there afterwards.
func TestStateOutlivesKill(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		fmt.Println(start(t, kcltest.Options{Dir: dir}).URL)
		io.Copy(io.Discard, os.Stdin) // until killed, or the parent is
		return
	}
	const producers, enough = 3, 60
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestStateOutlivesKill$")
	child.Env = append(os.Environ(), killDir+"="+dir)
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait() // its error is that it was killed
	defer child.Process.Kill()
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}

	ours := start(t, kcltest.Options{}) // for its HTTP client
	f := &feed{T: t, Client: clientOf(strings.TrimSpace(url), ours.Client()), ctx: t.Context(), stream: "stream"}
	f.create(2)
	acknowledged := make(chan string, producers)
	var work sync.WaitGroup
	for p := range producers {
		work.Go(func() {
			for r := 0; ; r++ {
				in := []string{}
				for i := range 50 {
					in = append(in, fmt.Sprintf("%d/%d/%d;%s", p, r, i, strings.Repeat("x", 300)))
				}
				out, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries(in...)})
				if err != nil {
					return // killed
				}
				for i, r := range out.Records {
					acknowledged <- *r.ShardId + *r.SequenceNumber + in[i]
				}
			}
		})
	}
	go func() { work.Wait(); close(acknowledged) }()
	want := map[string]bool{}
	for one := range acknowledged {
		if want[one] = true; len(want) == enough*50 {
			child.Process.Kill()
		}
	}

	f.Client = client(start(t, kcltest.Options{Dir: dir}))
	for _, shard := range f.shards() {
		got, _ := f.read(shard, "TRIM_HORIZON")
		for _, r := range got {
			delete(want, *shard.ShardId+*r.SequenceNumber+string(r.Data))
		}
	}
	for one := range want {
		t.Fatalf("%d acknowledged records are gone, such as %.120s", len(want), one)
	}
	f.put("and on it goes")
}
