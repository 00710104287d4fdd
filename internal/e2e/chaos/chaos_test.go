package chaos

import (
	"context"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer/kcltest/peers"
	"github.com/sluice-etl/sluice/internal/e2e/canary"
	"github.com/sluice-etl/sluice/internal/e2e/check"
)

// binaries is the folder of the commands under test.
var binaries string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	if err := Build(context.Background(), filepath.Join("..", "..", ".."), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// short are the options of a run of half a minute.
func short(t *testing.T) Options {
	return Options{
		Dir: t.TempDir(), Binaries: binaries, Seed: 7, Duration: 30 * time.Second, Workers: 2, Shards: 3, Rate: 200,
		Failover: 2 * time.Second, Flush: 500 * time.Millisecond, Longest: 4 * time.Second, Out: t.Output(),
	}
}

// TestChaos runs the service under faults for half a minute, on our own stand-ins and on those that others wrote; and then
// spoils what it left, to see that each breach is noticed.
func TestChaos(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		chaosRun(t, short(t))
	})
	t.Run("foreign", func(t *testing.T) {
		t.Parallel()
		o := short(t)
		if o.Peers = os.Getenv(peers.Env); o.Peers == "" {
			t.Skipf("%s names no installation of kinesalite and dynalite; .ci/run makes one", peers.Env)
		}
		chaosRun(t, o)
	})
}

func chaosRun(t *testing.T, o Options) {
	r, err := start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	e, err := r.underFaults(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	r.judge(e)
	if !r.verdict() {
		t.FailNow()
	}
	if r.world.Ours() {
		spoilEach(t, e)
	}
}

// spoilEach spoils one thing each, and expects the invariant of a number to tell of it.
func spoilEach(t *testing.T, good *evidence) {
	object := largest(t, good.output.Dir)
	name := filepath.Base(object)
	alter := func(change func(check.Row)) func(check.Rows) check.Rows {
		return func(read check.Rows) check.Rows { return altered(read, object, change) }
	}
	set := func(column string, v any) func(check.Row) {
		return func(row check.Row) {
			row.Values[slices.IndexFunc(row.Columns, func(c check.Column) bool { return c.Name == column })] = v
		}
	}
	for _, spoilt := range []struct {
		what   string
		spoil  func(*evidence) (restore func())
		number string // the beginning of the invariant's name
		want   string
	}{
		{"an object is removed", func(*evidence) func() { return moved(t, object, filepath.Join(t.TempDir(), name)) }, "1 ", "missing"},
		{"an object is removed, of a commit that there is", func(*evidence) func() { return moved(t, object, filepath.Join(t.TempDir(), name)) }, "5 ", "is missing"},
		{"an object is there twice", func(*evidence) func() {
			return copied(t, object, strings.Replace(object, "-0.parquet", "-7.parquet", 1))
		}, "1 ", "twice"},
		{"a foreign object", func(*evidence) func() { return copied(t, object, filepath.Join(filepath.Dir(object), "_SUCCESS")) }, "1 ", "no object"},
		{"another partition", func(*evidence) func() {
			return moved(t, object, filepath.Join(otherPartition(t, good.output.Dir), name))
		}, "1 ", "belongs to"},
		{"another value", func(e *evidence) func() { e.duck = alter(set("n", int64(-1)))(e.duck); return nil }, "1 ", "column n"},
		{"another arrival", func(e *evidence) func() {
			e.duck = alter(set("ingest_time", time.Unix(1, 0).UTC()))(e.duck)
			return nil
		}, "1 ", "has arrived at"},
		{"a flag", func(e *evidence) func() { e.arrow = alter(set("anomaly_score", 2.0))(e.arrow); return nil }, "4 ", "another verdict"},
		{"readers differ", func(e *evidence) func() { e.arrow = alter(set("key", "x"))(e.arrow); return nil }, "6 ", "column key"},
		{"something pending", func(e *evidence) func() { e.shards = slices.Clone(e.shards); e.shards[0].Pending = 1; return nil }, "5 ", "not visible"},
		{"a commit that left nothing", func(e *evidence) func() {
			e.shards = slices.Clone(e.shards)
			e.shards[0].Commit++
			return nil
		}, "5 ", "the last one is number"},
		{"an object of no commit", func(*evidence) func() {
			return copied(t, object, strings.Replace(object, "-0.parquet", "-7.parquet", 1))
		}, "5 ", "of no commit"},
		{"an object of another size", func(*evidence) func() { return grown(t, object) }, "5 ", "bytes, by its commit"},
		{"a commit without a record", func(*evidence) func() {
			record := records(t, good.output)[0]
			return moved(t, record, filepath.Join(t.TempDir(), filepath.Base(record)))
		}, "5 ", "have a record|of no commit"},
		{"commits of an unknown shard", func(e *evidence) func() {
			e.shards = slices.DeleteFunc(slices.Clone(e.shards), func(s check.Shard) bool { return s.ID != e.shards[0].ID })
			return nil
		}, "5 ", "does not know"},
		{"a secret in a log", func(e *evidence) func() {
			file := filepath.Join(e.dir, "logs", "spoilt.log")
			if err := os.WriteFile(file, []byte("token="+canary.SessionToken), 0o600); err != nil {
				t.Fatal(err)
			}
			return func() { os.Remove(file) }
		}, "10 ", "the session token"},
		{"an upload that the cleaner left", func(e *evidence) func() {
			e.uploads = append(slices.Clone(e.uploads), check.Upload{Key: strings.TrimPrefix(object, good.output.Dir+"/"), ID: "1"})
			e.shards = slices.Clone(e.shards)
			for i := range e.shards {
				e.shards[i].Epoch++
			}
			e.cleaned = true
			return nil
		}, "7 ", "left by the cleaner"},
		{"an upload of somebody's", func(e *evidence) func() {
			e.uploads = append(slices.Clone(e.uploads), check.Upload{Key: "data/x", ID: "1"})
			return nil
		}, "7 ", "no object"},
	} {
		bad := *good
		restore := spoilt.spoil(&bad)
		at := slices.IndexFunc(invariants, func(i invariant) bool { return strings.HasPrefix(i.name, spoilt.number) })
		_, err := invariants[at].hold(&bad)
		found := false
		for want := range strings.SplitSeq(spoilt.want, "|") {
			found = found || err != nil && strings.Contains(err.Error(), want)
		}
		if !found {
			t.Errorf("%s: %s: %v; want %s", spoilt.what, invariants[at].name, err, spoilt.want)
		}
		if restore != nil {
			restore()
		}
	}
}

// records lists the records of commits.
func records(t *testing.T, output check.Output) []string {
	t.Helper()
	matches, err := filepath.Glob(filepath.Join(output.Dir, output.StatePrefix, "*", "commits", "*", "*.json"))
	if err != nil || len(matches) == 0 {
		t.Fatalf("no records of commits: %v", err)
	}
	return matches
}

// grown appends a byte to a file.
func grown(t *testing.T, path string) (restore func()) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Truncate(path, info.Size()); err != nil {
			t.Fatal(err)
		}
	}
}

// otherPartition makes a folder that is a partition of another day.
func otherPartition(t *testing.T, dir string) string {
	t.Helper()
	partition := filepath.Join(dir, "data", "dt=2001-02-03", "minute=04-05")
	if err := os.MkdirAll(partition, 0o755); err != nil {
		t.Fatal(err)
	}
	return partition
}

// largest finds the object with the most bytes, which has rows enough to spoil one.
func largest(t *testing.T, dir string) (path string) {
	t.Helper()
	size := int64(0)
	matches, err := filepath.Glob(filepath.Join(dir, "data", "*", "*", "*-0.parquet"))
	if err != nil || len(matches) == 0 {
		t.Fatalf("no objects: %v", err)
	}
	for _, m := range matches {
		info, err := os.Stat(m)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > size {
			path, size = m, info.Size()
		}
	}
	return path
}

func moved(t *testing.T, from, to string) (restore func()) {
	t.Helper()
	undo := copied(t, from, to)
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(from); err != nil {
		t.Fatal(err)
	}
	return func() {
		undo()
		if err := os.WriteFile(from, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func copied(t *testing.T, from, to string) (restore func()) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(to); err != nil {
			t.Fatal(err)
		}
	}
}

// altered is a reader to which the tenth row of an object looks otherwise.
func altered(read check.Rows, object string, change func(check.Row)) check.Rows {
	return func(path string) iter.Seq2[check.Row, error] {
		return func(yield func(check.Row, error) bool) {
			n := 0
			for row, err := range read(path) {
				if n++; n == 10 && path == object && err == nil {
					change(row)
				}
				if !yield(row, err) {
					return
				}
			}
		}
	}
}
