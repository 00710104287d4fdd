package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/sink/dir"
)

// noon is when the labs' commits begin. The files that they leave are of their times, too.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

const (
	first  = "shardId-000000000000"
	second = "shardId-000000000001"
)

var orders = protocol.Names{App: "app", Stream: "orders", StatePrefix: "_sluice/"}

// lab is a bucket in which commits have been made, as the service makes them, by the commit protocol itself.
type lab struct {
	t       *testing.T
	dir     string
	store   *dir.Store
	encoder sink.Encoder
	holds   map[string]*protocol.Hold // by stream and shard
	pending map[string]*protocol.Commit
	seq     int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), holds: map[string]*protocol.Hold{}, pending: map[string]*protocol.Commit{}, seq: 1000}
	var err error
	if l.store, err = dir.New(dir.Options{Dir: l.dir, Uploads: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if l.encoder, err = sink.NewEncoder(sink.Options{Output: sink.OutputParquet, Compression: "none", CreatedBy: "test"}); err != nil {
		t.Fatal(err)
	}
	return l
}

// Pending and PendingOf make the lab the lease table.
func (l *lab) Pending(context.Context) ([]*protocol.Commit, error) {
	return slices.Collect(maps.Values(l.pending)), nil
}

func (l *lab) PendingOf(_ context.Context, shard string) (*protocol.Commit, error) {
	return l.pending[shard], nil
}

// hold gives the hold on a shard. Its epoch is 7 at first.
func (l *lab) hold(names protocol.Names, shard string) *protocol.Hold {
	key := names.Stream + "/" + shard
	switch h := l.holds[key]; {
	case h == nil:
		l.holds[key] = protocol.NewHold(&protocol.Lease{Shard: shard, Owner: "worker", Epoch: 7}, names)
	case h.Step() == protocol.Over:
		l.holds[key] = protocol.NewHold(h.Lease(), names)
	}
	return l.holds[key]
}

// takeOver makes another the holder of a shard, in the next epoch.
func (l *lab) takeOver(shard string) {
	lease := *l.hold(orders, shard).Lease()
	lease.Epoch++
	l.holds["orders/"+shard] = protocol.NewHold(&lease, orders)
}

// writes makes the files of rows of another output, gzip, from now on.
func (l *lab) writes(output string) {
	l.t.Helper()
	var err error
	if l.encoder, err = sink.NewEncoder(sink.Options{Output: output, Compression: "gzip"}); err != nil {
		l.t.Fatal(err)
	}
}

// encode makes a file of rows.
func (l *lab) encode(rows int) []byte {
	l.t.Helper()
	table := columns.NewTable([]columns.Field{{Name: "n", Type: columns.Int64, Required: true}, {Name: sink.RawColumn, Required: true}})
	table.Columns[1].Hidden = true
	for i := range rows {
		table.Columns[0].AppendInt(int64(i))
		table.Columns[1].AppendString("two\nlines")
		table.EndRow()
	}
	body, err := l.encoder.Encode(nil, table, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return body
}

// commit makes a commit of a shard of orders: a file of that many rows for each number, and a file of rejects for 0.
func (l *lab) commit(shard string, at time.Time, rows ...int) *protocol.Commit {
	l.t.Helper()
	return l.commitUntil(orders, shard, at, protocol.Over, rows...)
}

// commitUntil makes a commit of any stream, and stops before a step, as a crash does.
func (l *lab) commitUntil(names protocol.Names, shard string, at time.Time, stop protocol.Step, rows ...int) *protocol.Commit {
	l.t.Helper()
	l.seq++
	b := protocol.Batch{ID: fmt.Sprintf("%s/%d", shard, l.seq), Time: at.Format(time.RFC3339Nano), Checkpoint: fmt.Sprint(l.seq)}
	var bodies [][]byte
	for i, n := range rows {
		f := protocol.NewFile{Prefix: fmt.Sprintf("data/dt=%s/", at.AddDate(0, 0, -i).Format(time.DateOnly)), Extension: l.encoder.Kind().Extension, Rows: n}
		body := []byte("rejects")
		if n > 0 {
			body = l.encode(n)
		} else {
			f.Prefix, f.Extension = "errors/processing-failed/", "json.gz"
		}
		f.Size = len(body)
		b.Files, bodies = append(b.Files, f), append(bodies, body)
	}
	l.hold(names, shard).Commit(b)
	return l.drive(names, shard, stop, bodies)
}

// finish goes on with a commit that was stopped after it was decided.
func (l *lab) finish(names protocol.Names, shard string) { l.drive(names, shard, protocol.Over, nil) }

// abort aborts the uploads of a pending commit, as a lifecycle rule does.
func (l *lab) abort(c *protocol.Commit) {
	l.t.Helper()
	for _, f := range c.Files {
		l.must(l.store.Abort(l.t.Context(), f.Key, f.Upload))
	}
}

// drive makes the calls that a hold wants, until it rests or comes to a step, and gives the commit that they are about.
func (l *lab) drive(names protocol.Names, shard string, stop protocol.Step, bodies [][]byte) (made *protocol.Commit) {
	l.t.Helper()
	h := l.hold(names, shard)
	for !h.Resting() {
		call, answer := h.Next(), protocol.Answer{}
		if call.Step == stop {
			return made
		}
		if call.Commit != nil {
			made = call.Commit
		}
		switch call.Step {
		case protocol.Uploading:
			for i, f := range made.Files {
				id, etags, err := l.store.Upload(l.t.Context(), f.Key, made.Token(i), "", bodies[i])
				l.must(err)
				answer.Uploads = append(answer.Uploads, protocol.Upload{ID: id, ETags: etags})
			}
		case protocol.Publishing:
			for i, f := range made.Files {
				err := l.store.Publish(l.t.Context(), f.Key, f.Upload, f.ETags, made.Token(i))
				if errors.Is(err, fs.ErrNotExist) {
					answer.Err = protocol.ErrGone
					continue
				}
				l.must(err)
				l.age(f.Key, timeOf(made))
			}
		case protocol.Recording:
			l.must(l.store.Put(l.t.Context(), call.Key, call.Body))
			l.age(call.Key, timeOf(made))
		}
		h.Done(answer)
		if delete(l.pending, shard); h.Lease().Pending != nil {
			l.pending[shard] = h.Lease().Pending
		}
	}
	return made
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func timeOf(c *protocol.Commit) time.Time {
	at, _ := time.Parse(time.RFC3339, c.Time)
	return at
}

func (l *lab) path(key string) string { return filepath.Join(l.dir, filepath.FromSlash(key)) }

// age makes an object one that was changed last at a time.
func (l *lab) age(key string, at time.Time) {
	l.t.Helper()
	l.must(os.Chtimes(l.path(key), at, at))
}

// put makes an object by hand.
func (l *lab) put(key, body string, at time.Time) {
	l.t.Helper()
	l.must(l.store.Put(l.t.Context(), key, []byte(body)))
	l.age(key, at)
}

// remove removes objects by hand.
func (l *lab) remove(keys ...string) {
	l.t.Helper()
	for _, key := range keys {
		l.must(os.Remove(l.path(key)))
	}
}

// change alters the bytes of an object, and nothing else about it.
func (l *lab) change(key string, how func(body []byte) []byte) {
	l.t.Helper()
	info, err := os.Stat(l.path(key))
	l.must(err)
	body, err := os.ReadFile(l.path(key))
	l.must(err)
	l.must(os.WriteFile(l.path(key), how(body), 0o644))
	l.age(key, info.ModTime())
}

// changeRecord alters what the record of a commit claims.
func (l *lab) changeRecord(c *protocol.Commit, how func(c *protocol.Commit)) {
	l.t.Helper()
	l.change(orders.Record(c), func(body []byte) []byte {
		var changed protocol.Commit
		l.must(json.Unmarshal(body, &changed))
		how(&changed)
		return changed.Record()
	})
}

// config audits from noon on, for an hour.
func (l *lab) config() Config {
	return Config{Names: orders, Prefixes: []string{"data/dt=", "errors/"}, From: noon, To: noon.Add(time.Hour), Store: l.store, Leases: l}
}

// audit runs an audit, and gives its differences as lines of kind and key, in order.
func (l *lab) audit(c Config) (*Summary, []string) {
	l.t.Helper()
	var lines []string
	c.Report = func(d Difference) {
		l.t.Log(d)
		if line := d.String(); strings.Contains(line, "\n") || !strings.Contains(line, d.Text) {
			l.t.Errorf("%q is not one line with all that is to be said", line)
		}
		lines = append(lines, string(d.Kind)+" "+d.Key)
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	summary, err := Run(l.t.Context(), c)
	if err != nil {
		l.t.Fatal(err)
	}
	total := int64(0)
	for _, n := range summary.Differences {
		total += n
	}
	if total != int64(len(lines)) {
		l.t.Errorf("the summary has %v; %d differences were reported", summary.Differences, len(lines))
	}
	slices.Sort(lines)
	return summary, lines
}

// differs audits, and fails the test unless exactly these differences are found.
func (l *lab) differs(c Config, want ...string) *Summary {
	l.t.Helper()
	summary, lines := l.audit(c)
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		l.t.Errorf("found:\n  %s\nwant:\n  %s", strings.Join(lines, "\n  "), strings.Join(want, "\n  "))
	}
	return summary
}
