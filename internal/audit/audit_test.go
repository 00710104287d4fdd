package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/sink"
)

func minutes(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

// ordinary makes commits of two shards, with a change of the owner, and gives those of the first.
func (l *lab) ordinary() (commits []*protocol.Commit) {
	l.t.Helper()
	for i := range 12 {
		if i == 7 {
			l.takeOver(first)
		}
		commits = append(commits, l.commit(first, minutes(i), 10+i))
		if i%4 == 0 {
			l.commit(second, minutes(i), 100, 5, 0)
		}
	}
	l.commit(second, minutes(12)) // the end of a shard may leave no file
	return commits
}

func TestNothingDiffers(t *testing.T) {
	l := newLab(t)
	l.ordinary()
	summary := l.differs(l.config())
	size := int64(0)
	count := int64(0)
	l.must(l.store.List(t.Context(), "", func(key string, n int64, _ time.Time) error {
		if !strings.HasPrefix(key, orders.StatePrefix) {
			size += n
			count++
		}
		return nil
	}, nil))
	want := Figures{Files: 12 + 3*3, Rows: 12*10 + 66 + 3*105, Bytes: size}
	if summary.Claimed != want || summary.Found != want || summary.Commits != 12+4 || summary.Objects != count || summary.Objects != want.Files {
		t.Errorf("%+v; want %+v in 16 commits, and %d objects", summary, want, count)
	}
}

// The rows of JSON files are their lines, which are counted; those of raw files are not.
func TestLines(t *testing.T) {
	l := newLab(t)
	l.writes(sink.OutputJSON)
	commits := []*protocol.Commit{l.commit(first, minutes(1), 10, 0), l.commit(first, minutes(2), 20), l.commit(first, minutes(3), 30)}
	if sum := l.differs(l.config()); sum.Claimed.Rows != 60 || sum.Found != sum.Claimed {
		t.Errorf("%+v", sum)
	}
	l.change(commits[1].Files[0].Key, func(body []byte) []byte { body[len(body)-9]++; return body }) // its checksum is another
	l.changeRecord(commits[2], func(c *protocol.Commit) { c.Files[0].Rows++ })
	l.differs(l.config(), "lines "+commits[1].Files[0].Key, "rows "+commits[2].Files[0].Key)

	l = newLab(t)
	l.writes(sink.OutputRaw)
	raw := l.commit(first, minutes(1), 10)
	if sum := l.differs(l.config()); sum.Claimed.Rows != 0 || sum.Found != sum.Claimed || sum.Claimed.Files != 1 {
		t.Errorf("%+v", sum)
	}
	l.change(raw.Files[0].Key, func(body []byte) []byte { return body[1:] })
	l.differs(l.config(), "size "+raw.Files[0].Key)
}

// Each kind of difference, made by hand in a bucket in order, is found, and nothing else is.
func TestDifferences(t *testing.T) {
	type commits = []*protocol.Commit
	file := func(c *protocol.Commit) string { return c.Files[0].Key }
	for name, test := range map[string]struct {
		spoil func(l *lab, c commits)
		want  func(c commits) []string
	}{
		"a file is missing": {
			func(l *lab, c commits) { l.remove(file(c[3])) },
			func(c commits) []string { return []string{"missing " + file(c[3])} },
		},
		"a file is cut short": {
			func(l *lab, c commits) { l.change(file(c[3]), func(b []byte) []byte { return b[:len(b)-20] }) },
			func(c commits) []string { return []string{"size " + file(c[3])} },
		},
		"a file is another commit's": {
			func(l *lab, c commits) {
				body, err := l.store.Get(l.t.Context(), file(c[3]))
				l.must(err)
				l.must(l.store.Delete(l.t.Context(), file(c[3])))
				id, etags, err := l.store.Upload(l.t.Context(), file(c[3]), "other/0", "", body)
				l.must(err)
				l.must(l.store.Publish(l.t.Context(), file(c[3]), id, etags, "other/0"))
				l.age(file(c[3]), minutes(3))
			},
			func(c commits) []string { return []string{"token " + file(c[3])} },
		},
		"a file was put by hand": {
			func(l *lab, c commits) {
				body, err := l.store.Get(l.t.Context(), file(c[3]))
				l.must(err)
				l.put(file(c[3]), string(body), minutes(3))
			},
			func(c commits) []string { return []string{"token " + file(c[3])} },
		},
		"a file has other rows": {
			func(l *lab, c commits) {
				l.changeRecord(c[3], func(c *protocol.Commit) { c.Files[0].Rows++ })
			},
			func(c commits) []string { return []string{"rows " + file(c[3])} },
		},
		"a footer is overwritten": {
			func(l *lab, c commits) {
				l.change(file(c[3]), func(b []byte) []byte {
					clear(b[len(b)-60 : len(b)-8])
					return b
				})
			},
			func(c commits) []string { return []string{"footer " + file(c[3])} },
		},
		"a file is no Parquet": {
			func(l *lab, c commits) {
				l.change(file(c[3]), func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) })
			},
			func(c commits) []string { return []string{"footer " + file(c[3])} },
		},
		"a file of rejects is cut short": {
			func(l *lab, c commits) {
				l.change("errors/processing-failed/orders-000000000001-e7-c1-2.json.gz", func(b []byte) []byte { return b[1:] })
			},
			func(commits) []string {
				return []string{"size errors/processing-failed/orders-000000000001-e7-c1-2.json.gz"}
			},
		},
		"a file is claimed twice by a commit": {
			func(l *lab, c commits) {
				l.changeRecord(c[3], func(c *protocol.Commit) { c.Files = append(c.Files, c.Files[0]) })
			},
			func(c commits) []string { return []string{"claimed-twice " + file(c[3])} },
		},
		"a file is claimed by two commits": {
			func(l *lab, c commits) {
				l.changeRecord(c[9], func(r *protocol.Commit) { r.Files = append(r.Files, c[3].Files[0]) })
			},
			func(c commits) []string { return []string{"claimed-twice " + file(c[3])} },
		},
		"a commit is gone with its file": {
			func(l *lab, c commits) { l.remove(orders.Record(c[3]), file(c[3])) },
			func(c commits) []string { return []string{"gap " + orders.Record(c[4])} },
		},
		"commits are gone at a change of the owner": {
			func(l *lab, c commits) {
				l.remove(orders.Record(c[6]), file(c[6]), orders.Record(c[7]), file(c[7]))
			},
			func(c commits) []string { return []string{"gap " + orders.Record(c[8])} },
		},
		"a record is gone": {
			func(l *lab, c commits) { l.remove(orders.Record(c[11])) },
			func(c commits) []string { return []string{"unclaimed " + file(c[11])} },
		},
		"a commit begins too late": {
			func(l *lab, c commits) {
				l.changeRecord(c[3], func(r *protocol.Commit) { r.After = r.Checkpoint })
			},
			func(c commits) []string { return []string{"gap " + orders.Record(c[3])} },
		},
		"a commit begins too early": {
			func(l *lab, c commits) {
				l.changeRecord(c[3], func(r *protocol.Commit) { r.After = "9" })
			},
			func(c commits) []string { return []string{"overlap " + orders.Record(c[3])} },
		},
		"a commit begins anew": {
			func(l *lab, c commits) {
				l.changeRecord(c[7], func(r *protocol.Commit) { r.After = "" })
			},
			func(c commits) []string { return []string{"overlap " + orders.Record(c[7])} },
		},
		"a shard is read anew, with a new table": {
			func(l *lab, c commits) {
				l.holds["orders/"+first] = protocol.NewHold(&protocol.Lease{Shard: first, Owner: "other", Epoch: 20}, orders)
				l.commit(first, minutes(20), 10)
				l.commit(first, minutes(21), 10)
			},
			func(c commits) []string {
				return []string{"overlap " + strings.Replace(orders.Record(c[0]), "-e7-", "-e20-", 1)}
			},
		},
		"a record is damaged": {
			func(l *lab, c commits) { l.change(orders.Record(c[3]), func(b []byte) []byte { return b[:len(b)/2] }) },
			func(c commits) []string { return []string{"record " + orders.Record(c[3])} },
		},
		"a record is empty": {
			func(l *lab, c commits) { l.change(orders.Record(c[3]), func([]byte) []byte { return nil }) },
			func(c commits) []string { return []string{"record " + orders.Record(c[3])} },
		},
		"a record is another commit's": {
			func(l *lab, c commits) { l.change(orders.Record(c[3]), func([]byte) []byte { return c[4].Record() }) },
			func(c commits) []string { return []string{"record " + orders.Record(c[3])} },
		},
		"a record has no time": {
			func(l *lab, c commits) {
				l.changeRecord(c[3], func(c *protocol.Commit) { c.Time = "2026-01-31" })
			},
			func(c commits) []string { return []string{"record " + orders.Record(c[3])} },
		},
		"a copy lies in another folder": {
			func(l *lab, c commits) {
				body, err := l.store.Get(l.t.Context(), file(c[3]))
				l.must(err)
				l.put("data/dt=2026-02-01/"+orders.Object(first, 7, 4, 0, "parquet"), string(body), minutes(30))
			},
			func(c commits) []string {
				return []string{"unclaimed data/dt=2026-02-01/" + orders.Object(first, 7, 4, 0, "parquet")}
			},
		},
		"a file of no commit": {
			func(l *lab, c commits) {
				l.put("data/dt=2026-01-31/"+orders.Object(first, 8, 13, 0, "parquet"), "PAR1", minutes(30))
			},
			func(c commits) []string {
				return []string{"unclaimed data/dt=2026-01-31/" + orders.Object(first, 8, 13, 0, "parquet")}
			},
		},
		"foreign objects": {
			func(l *lab, c commits) {
				l.put("data/readme.txt", "", minutes(30))
				l.put("data/dt=2026-01-31/deep/er/part-0000.parquet", "PAR1", minutes(30))
				l.put("errors/line\nbreak", "", minutes(30))
				l.put("elsewhere/x", "", minutes(30)) // which is nobody's business
			},
			func(c commits) []string {
				return []string{"foreign data/readme.txt", "foreign data/dt=2026-01-31/deep/er/part-0000.parquet", "foreign errors/line\nbreak"}
			},
		},
		"a commit that nobody publishes": {
			func(l *lab, c commits) { l.commitUntil(orders, first, minutes(30), protocol.Publishing, 10, 0) },
			func(c commits) []string {
				return []string{"not-yet-visible data/dt=2026-01-31/" + orders.Object(first, 8, 13, 0, "parquet"),
					"not-yet-visible errors/processing-failed/" + orders.Object(first, 8, 13, 1, "json.gz")}
			},
		},
		"a pending commit that does not follow": {
			func(l *lab, c commits) {
				l.commitUntil(orders, first, minutes(30), protocol.Clearing, 10)
				l.remove(orders.Record(l.pending[first]))
				l.pending[first].After = "9"
			},
			func(c commits) []string {
				return []string{"overlap " + strings.Replace(orders.Record(c[11]), "-c12-", "-c13-", 1)}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			c := l.ordinary()
			test.spoil(l, c)
			l.differs(l.config(), test.want(c)...)
		})
	}
}

// A commit is in order at every step after it was decided; before, there is nothing of it.
func TestCommitsUnderWay(t *testing.T) {
	for _, step := range []protocol.Step{protocol.Committing, protocol.Recording, protocol.Clearing} {
		l := newLab(t)
		l.ordinary()
		l.commitUntil(orders, first, minutes(20), step, 10, 0)
		summary := l.differs(l.config())
		want := int64(17)
		if step == protocol.Committing {
			want = 16
		}
		if summary.Commits != want || summary.Found != summary.Claimed {
			t.Errorf("before %s: %+v; want %d commits, and all found", step, summary, want)
		}
	}
}

// What is pending is given some time to become visible.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.ordinary()
		l.commitUntil(orders, first, minutes(20), protocol.Publishing, 10, 0)
		begun := time.Now()
		c := l.config()
		c.Patience = 10 * time.Second
		c.Leases = slow{l, begun.Add(5 * time.Second)}
		if s := l.differs(c); s.Found != s.Claimed || s.Commits != 17 {
			t.Errorf("%+v; want the pending commit among those found", s)
		}
		if took := time.Since(begun); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it took %v; want to go on when the files are visible, after 5 s", took)
		}
		c.Leases = slow{l, begun.Add(time.Hour)}
		l.commitUntil(orders, first, minutes(21), protocol.Publishing, 10)
		l.commitUntil(orders, second, minutes(21), protocol.Publishing, 10)
		begun = time.Now()
		l.differs(c, "not-yet-visible "+l.pending[first].Files[0].Key, "not-yet-visible "+l.pending[second].Files[0].Key)
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("it took %v; want to wait for 10 s, and no longer", took)
		}
	})
}

// slow goes on with the pending commit of the first shard at a time.
type slow struct {
	*lab
	at time.Time
}

func (s slow) PendingOf(ctx context.Context, shard string) (*protocol.Commit, error) {
	if s.pending[shard] != nil && shard == first && !time.Now().Before(s.at) {
		s.finish(orders, shard)
	}
	return s.lab.PendingOf(ctx, shard)
}

// A commit of which somebody aborted the uploads is given up by another one, and its records are read again. No record is
// lost, and there is no difference, whenever the audit comes.
func TestCommitsGivenUp(t *testing.T) {
	for name, stop := range map[string]protocol.Step{"being recorded": protocol.Recording, "recorded": protocol.Over} {
		l := newLab(t)
		c := l.ordinary()
		l.abort(l.commitUntil(orders, first, minutes(20), protocol.Publishing, 10, 0))
		l.drive(orders, first, stop, nil)
		want, commits := int64(1), int64(17)
		if stop == protocol.Over {
			l.commit(first, minutes(21), 10, 0)
			l.commit(first, minutes(22), 10)
			commits += 2
		}
		if s := l.differs(l.config()); s.GivenUp != want || s.Commits != commits || s.Found != s.Claimed {
			t.Errorf("%s: %+v; want %d commits, of which %d gives another up", name, s, commits, want)
		}
		if stop != protocol.Over {
			continue
		}
		// It has to go back to where that one began.
		giving := strings.Replace(orders.Record(c[11]), "-c12-", "-c14-", 1)
		l.change(giving, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"checkpoint":"1015"`), []byte(`"checkpoint":"1016"`), 1)
		})
		l.differs(l.config(), "gap "+giving, "overlap "+strings.Replace(orders.Record(c[11]), "-c12-", "-c15-", 1))
	}

	// Pending when the audit begins, and given up when it ends.
	l := newLab(t)
	l.ordinary()
	l.abort(l.commitUntil(orders, first, minutes(20), protocol.Publishing, 10, 0))
	c := l.config()
	c.Leases = slow{lab: l}
	if s := l.differs(c); s.Commits != 16 {
		t.Errorf("%+v; want 16 commits", s)
	}
}

// A commit that is made while the audit is under way claims nothing in it, and its files are no strangers.
func TestCommitsDuringTheAudit(t *testing.T) {
	for _, step := range []protocol.Step{protocol.Recording, protocol.Clearing, protocol.Over} {
		l := newLab(t)
		l.ordinary()
		c := l.config()
		c.Progress = func(p Progress) {
			if p.Part == "commits" && p.Share == 1 {
				l.commitUntil(orders, first, minutes(20), step, 10, 0)
			}
		}
		summary := l.differs(c)
		if summary.Commits != 16 || summary.Objects != summary.Found.Files+2 {
			t.Errorf("before %s: %+v; want 16 commits, and the objects of one more", step, summary)
		}
	}
}

// The range has its beginning and not its end. A commit is of it by its own time, and then so is its object, whenever that
// came; other objects are by the time of their last change.
func TestRange(t *testing.T) {
	from, to := noon.Add(13*time.Minute), noon.Add(17*time.Minute)
	l := newLab(t)
	for n := 10; n < 20; n++ {
		l.commit(first, minutes(n), n)
	}
	at := func(n int) string {
		return "data/dt=2026-01-31/" + orders.Object(first, 7, int64(n-9), 0, "parquet")
	}
	c := l.config()
	c.From, c.To = from, to
	if s := l.differs(c); s.Commits != 4 || s.Claimed.Rows != 13+14+15+16 || s.Objects != 4 {
		t.Errorf("%+v; want the commits of minutes 13 to 16", s)
	}
	l.put("data/before", "", from.Add(-1))
	l.put("data/first", "", from)
	l.put("data/last", "", to.Add(-1))
	l.put("data/after", "", to)
	l.age(at(12), from) // a commit before the range whose object came within
	l.age(at(13), to)   // and the reverse
	l.age(at(16), noon.Add(90*24*time.Hour))
	l.remove(at(11), at(18)) // of others: nobody asks
	if s := l.differs(c, "foreign data/first", "foreign data/last"); s.Found != s.Claimed {
		t.Errorf("%+v", s)
	}
	l.remove(at(13))
	l.differs(c, "foreign data/first", "foreign data/last", "missing "+at(13))

	// A commit of the range has to follow one that is not, where that is of the same day; and only a commit of the range
	// is told of.
	l = newLab(t)
	var commits []*protocol.Commit
	for n := 10; n < 20; n++ {
		commits = append(commits, l.commit(first, minutes(n)))
	}
	l.remove(orders.Record(commits[2]), orders.Record(commits[5]), orders.Record(commits[8]))
	c.Store = l.store
	l.differs(c, "gap "+orders.Record(commits[3]), "gap "+orders.Record(commits[6]))
}

// An object near the ends of the range is looked up on the days around: that of the commit, by its own clock, may be
// another one.
func TestCommitsOfOtherDays(t *testing.T) {
	midnight := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	l := newLab(t)
	l.commit(first, midnight.Add(-time.Second), 1)
	l.commit(first, midnight.Add(-5*24*time.Hour), 2) // and then an outage
	l.commit(second, midnight.Add(25*time.Hour), 3)   // by a clock that is fast
	var objects []string
	l.must(l.store.List(t.Context(), "data/", func(key string, _ int64, _ time.Time) error {
		l.age(key, midnight.Add(time.Second))
		objects = append(objects, key)
		return nil
	}, nil))
	c := l.config()
	c.From, c.To = midnight, midnight.Add(24*time.Hour)
	if s := l.differs(c); s.Objects != 3 || s.Commits != 0 {
		t.Errorf("%+v; want three objects, and no commit", s)
	}
	l.must(os.RemoveAll(l.path(orders.StatePrefix)))
	var want []string
	for _, key := range objects {
		want = append(want, "unclaimed "+key)
	}
	l.differs(c, want...)

	// A damaged record of another day is told of, once, and its objects have a commit.
	l = newLab(t)
	c.Store = l.store
	early := l.commit(first, midnight.Add(-3*time.Hour), 1, 1)
	l.change(orders.Record(early), func([]byte) []byte { return []byte("{") })
	for _, f := range early.Files {
		l.age(f.Key, midnight)
	}
	l.differs(c, "record "+orders.Record(early))
}

// The chain of a shard goes on over midnight, and a day has many commits.
func TestManyCommitsOnSeveralDays(t *testing.T) {
	l := newLab(t)
	var commits []*protocol.Commit
	start := noon.Add(10 * time.Hour)
	for i := range 2*commitsAtOnce + 10 {
		commits = append(commits, l.commit(first, start.Add(time.Duration(i)*time.Minute)))
	}
	c := l.config()
	c.From, c.To = start, start.Add(72*time.Hour)
	var shares []float64
	c.Progress = func(p Progress) {
		if p.Part == "commits" {
			shares = append(shares, p.Share)
		}
	}
	if s := l.differs(c); s.Commits != int64(len(commits)) {
		t.Errorf("%d commits; want %d", s.Commits, len(commits))
	}
	if n := len(shares); n < 4 || !slices.IsSorted(shares) || shares[0] <= 0 || shares[n-1] != 1 {
		t.Errorf("the shares done are %v", shares)
	}
	l.remove(orders.Record(commits[120])) // the first after midnight
	l.differs(c, "gap "+orders.Record(commits[121]))
}

// A commit that was made long ago and is still not visible is told of whatever the range is; one after it is not.
func TestPendingOutsideTheRange(t *testing.T) {
	l := newLab(t)
	l.commitUntil(orders, first, noon.AddDate(0, 0, -20), protocol.Publishing, 1)
	l.commitUntil(orders, second, noon.Add(time.Hour), protocol.Publishing, 1)
	l.differs(l.config(), "not-yet-visible "+l.pending[first].Files[0].Key)
}

// Other streams and applications have records under the same prefix, which are not read, and perhaps files under the same
// prefixes, which their own audits look at.
func TestOtherStreams(t *testing.T) {
	l := newLab(t)
	l.ordinary()
	before := l.differs(l.config())
	for _, names := range []protocol.Names{
		{App: "app", Stream: "orders-eu", StatePrefix: "_sluice/"},
		{App: "app", Stream: "payments", StatePrefix: "_sluice/"},
		{App: "other", Stream: "payments", StatePrefix: "_sluice/"},
	} {
		l.holds = map[string]*protocol.Hold{}
		if names.App == "other" {
			l.hold(names, second)
			l.commitUntil(names, second, minutes(5), protocol.Over, 10)
			continue
		}
		l.commitUntil(names, first, minutes(5), protocol.Over, 10)
	}
	l.put("_sluice/app/commits/2026-01-31/notes.txt", "", minutes(5))
	l.put("_sluice/app/commits/2026-01-31/orders-000000000000-e7-c3-0.json.bak", "", minutes(5))
	l.put("_sluice/app/orders-000000000000-e7-c3-0.state", "", minutes(5))
	after := l.differs(l.config())
	if after.Commits != before.Commits || after.Claimed != before.Claimed || after.Others != 3 || after.Objects != before.Objects+3 {
		t.Errorf("%+v; want the same as %+v, and three files of other streams", after, before)
	}
	l.put("data/dt=2026-01-31/payments-000000000000-e7-c9-0.parquet", "", minutes(5))
	l.differs(l.config(), "foreign data/dt=2026-01-31/payments-000000000000-e7-c9-0.parquet")
}

// A prefix may begin with a time, and then the whole bucket is where data lies, but for what the service itself keeps.
func TestPrefixes(t *testing.T) {
	for _, test := range []struct{ prefixes, want []string }{
		{[]string{"data/dt=", "errors/"}, []string{"data/", "errors/"}},
		{[]string{"data/", "data/errors/x="}, []string{"data/"}},
		{[]string{"data/errors/x=", "data/"}, []string{"data/"}},
		{[]string{"", "errors/"}, []string{""}},
		{[]string{"year=", "errors-"}, []string{"errors-", "year="}},
		{[]string{"a/b/c", "a/b"}, []string{"a/"}},
		{[]string{"same/", "same/"}, []string{"same/"}},
	} {
		if got := roots(test.prefixes); !slices.Equal(got, test.want) {
			t.Errorf("roots of %q: %q; want %q", test.prefixes, got, test.want)
		}
	}
	l := newLab(t)
	l.ordinary()
	l.put("x", "", minutes(1))
	c := l.config()
	c.Prefixes = []string{""}
	if s := l.differs(c, "foreign x"); s.Objects != s.Found.Files+1 {
		t.Errorf("%+v; want all objects but those of the state", s)
	}
}

// Many folders are listed side by side, each object once.
func TestManyFolders(t *testing.T) {
	l := newLab(t)
	var want []string
	for i := range manyFolders + 10 {
		for _, key := range []string{fmt.Sprintf("data/dt=%d/x", i), fmt.Sprintf("data/dt=%d/deep/x", i)} {
			l.put(key, "", minutes(1))
			want = append(want, "foreign "+key)
		}
	}
	c := l.config()
	var last Progress
	c.Progress = func(p Progress) { last = p }
	l.differs(c, want...)
	if last.Part != "objects" || last.Done != int64(len(want)) || last.Share != 1 {
		t.Errorf("at the end: %+v", last)
	}
}

// strict is a store that counts, and fails where it is told to.
type strict struct {
	meets bool // calls of Head wait until two calls are under way

	Store
	fail    string // the call that fails
	mu      sync.Mutex
	busy    int
	busiest int
	read    int // bytes, by ReadAt
}

var errBroken = errors.New("broken")

func (s *strict) begin(call string) (end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if call == s.fail {
		return nil, errBroken
	}
	s.busy++
	s.busiest = max(s.busiest, s.busy)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy--
	}, nil
}

func (s *strict) List(ctx context.Context, prefix string, object func(string, int64, time.Time) error, folder func(string) error) error {
	call := "List"
	if strings.HasPrefix(prefix, orders.StatePrefix) {
		call = "List records"
	}
	end, err := s.begin(call)
	if err != nil {
		return err
	}
	end() // how many others may wait for this one is not counted
	return s.Store.List(ctx, prefix, object, folder)
}

func (s *strict) Head(ctx context.Context, key string) (int64, string, error) {
	end, err := s.begin("Head")
	if err != nil {
		return 0, "", err
	}
	defer end()
	for begun := time.Now(); s.meets && !s.met() && time.Since(begun) < 10*time.Second; {
		time.Sleep(time.Millisecond) // a call to a local folder may end before the next begins
	}
	return s.Store.Head(ctx, key)
}

// met tells whether two calls were under way at a time.
func (s *strict) met() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busiest > 1
}

func (s *strict) Get(ctx context.Context, key string) ([]byte, error) {
	end, err := s.begin("Get")
	if err != nil {
		return nil, err
	}
	defer end()
	return s.Store.Get(ctx, key)
}

func (s *strict) ReadAt(ctx context.Context, key string, p []byte, offset int64) error {
	end, err := s.begin("ReadAt")
	if err != nil {
		return err
	}
	defer end()
	s.mu.Lock()
	s.read += len(p)
	s.mu.Unlock()
	return s.Store.ReadAt(ctx, key, p, offset)
}

// Not more calls than allowed are made at a time, and of large files not more than the footers are read.
func TestIsModest(t *testing.T) {
	l := newLab(t)
	for i := range 40 {
		l.commit(first, minutes(i), 20_000)
	}
	for i := range 40 {
		l.put(fmt.Sprintf("data/orders-000000000009-e1-c%d-0.parquet", i), "", minutes(i))
	}
	store := &strict{Store: l.store, meets: true}
	c := l.config()
	c.Store = store
	summary, _ := l.audit(c)
	if store.busiest > atOnce || store.busiest < 2 {
		t.Errorf("%d calls at a time; want at most %d", store.busiest, atOnce)
	}
	if each := store.read / 40; each > 2000 || int64(store.read) > summary.Found.Bytes/50 {
		t.Errorf("%d bytes of each file were read; they have %d on the average", each, summary.Found.Bytes/40)
	}
}

// What cannot be looked at is an error, and no difference; but a footer that cannot be read may be so for a reason of its
// own.
func TestErrors(t *testing.T) {
	for _, call := range []string{"List records", "List", "Get", "Head"} {
		l := newLab(t)
		l.ordinary()
		c := l.config()
		c.Store = &strict{Store: l.store, fail: call}
		c.Report = func(d Difference) { t.Errorf("%s fails: %s", call, d) }
		c.Progress = func(Progress) {}
		if summary, err := Run(t.Context(), c); !errors.Is(err, errBroken) || summary != nil {
			t.Errorf("%s fails: %+v, %v; want the error", call, summary, err)
		}
	}
	l := newLab(t)
	l.commit(first, noon, 1)
	c := l.config()
	c.Store = &strict{Store: l.store, fail: "ReadAt"}
	l.differs(c, "footer data/dt=2026-01-31/orders-000000000000-e7-c1-0.parquet")

	ctx, cancel := context.WithCancel(t.Context())
	c.Store = l.store
	c.Report = func(d Difference) { t.Error(d) }
	c.Progress = func(Progress) { cancel() }
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// An error of a look-up ends the lists, too.
func TestLookUpFails(t *testing.T) {
	l := newLab(t)
	for i := range 100 {
		l.put(fmt.Sprintf("data/orders-000000000000-e1-c%d-0.parquet", i), "", noon)
	}
	c := l.config()
	c.Leases = failing{}
	c.Report = func(d Difference) { t.Error(d) }
	c.Progress = func(Progress) {}
	if _, err := Run(t.Context(), c); !errors.Is(err, errBroken) {
		t.Errorf("%v; want the error", err)
	}
}

type failing struct{}

func (failing) Pending(context.Context) ([]*protocol.Commit, error)         { return nil, nil }
func (failing) PendingOf(context.Context, string) (*protocol.Commit, error) { return nil, errBroken }
