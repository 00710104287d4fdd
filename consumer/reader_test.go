package consumer

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/consumer/protocol"
)

// gaps hears of trimmed records.
type gaps struct {
	t     *testing.T
	heard [][2]string
}

func (g *gaps) retrying(_, what string, err error) { g.t.Logf("%s: %v", what, err) }
func (g *gaps) clear(string, string)               {}
func (g *gaps) Trimmed(_ string, after, before string) {
	g.heard = append(g.heard, [2]string{after, before})
}

// sequences are those of all records of the lab's only shard.
func (l *lab) sequences() []string {
	var all []string
	for place := range l.put {
		all = append(all, place[len(onlyShard)+1:])
	}
	slices.Sort(all)
	return all
}

// readAll reads n records and then to the end.
func readAll(t *testing.T, r *reader, n int) (sequences []string) {
	t.Helper()
	for range 200 {
		out, err := r.next(t.Context(), aws.Int32(30))
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range out.Records {
			sequences = append(sequences, *record.SequenceNumber)
		}
		if len(sequences) >= n && *out.MillisBehindLatest == 0 {
			return sequences
		}
	}
	t.Fatalf("%d records after 200 reads; want %d", len(sequences), n)
	return nil
}

// Records that grew too old while nobody read are gone: that is told with the range, and reading goes on. Where the shard
// was read to its end not long ago, nothing can be missing but the last record that was read.
func TestTrimmedRecordsAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		readUntil time.Duration // before now; 0: not known
		trimmed   int           // of the 100 records that come after the position
		told      bool
	}{
		"records are gone":                      {30 * time.Hour, 50, true},
		"it is not known when it was read last": {0, 50, true},
		"nothing is gone":                       {30 * time.Hour, -1, false},
		"only the record at the position is gone, and the shard was read until an hour ago": {time.Hour, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 1)
			l.feed(200)
			all := l.sequences()
			row := &protocol.Lease{Shard: onlyShard, Checkpoint: all[99]}
			if test.readUntil > 0 {
				row.ReadUntil = stamp(time.Now().Add(-test.readUntil))
			}
			want := all[100:]
			if test.trimmed >= 0 {
				want = all[100+test.trimmed:]
				if err := l.server.Trim(labStream, onlyShard, want[0]); err != nil {
					t.Fatal(err)
				}
			}
			heard := &gaps{t: t}
			r := newReader(l.k, streamID{name: aws.String(labStream)}, row, time.Now, heard)
			if got := readAll(t, r, len(want)); !slices.Equal(got, want) {
				t.Errorf("read %d records, the first %s; want %d from %s on", len(got), got[0], len(want), want[0])
			}
			if told := len(heard.heard) > 0; told != test.told || told && heard.heard[0] != [2]string{all[99], want[0]} {
				t.Errorf("told of %v; want %v: after %s, before %s", heard.heard, test.told, all[99], want[0])
			}
		})
	}
}

// An iterator whose position was trimmed may give nothing for ever, always a day behind. Then reading goes on at the oldest
// record.
func TestATrimmedPositionThatGivesNothing(t *testing.T) {
	l := newLab(t, 1)
	l.feed(200)
	all := l.sequences()
	if err := l.server.Trim(labStream, onlyShard, all[150]); err != nil {
		t.Fatal(err)
	}
	l.server.Inject(kcltest.Fault{Operation: "GetRecords", Count: maxEmpty, AlterRecords: func(a *kcltest.RecordsAnswer) {
		a.Records, a.MillisBehindLatest = nil, aws.Int64(minRetention.Milliseconds())
	}})
	heard := &gaps{t: t}
	r := newReader(l.k, streamID{name: aws.String(labStream)}, &protocol.Lease{Shard: onlyShard, Checkpoint: all[99]}, time.Now, heard)
	if got := readAll(t, r, 50); !slices.Equal(got, all[150:]) {
		t.Errorf("read %d records; want the 50 that are there", len(got))
	}
	if len(heard.heard) != 1 {
		t.Errorf("told of %v; want one gap", heard.heard)
	}
}

// The horizon may pass a reader that is almost a retention behind, between two of its reads.
func TestTheHorizonPassesASlowReader(t *testing.T) {
	l := newLab(t, 1)
	l.feed(200)
	all := l.sequences()
	late := func(a *kcltest.RecordsAnswer) {
		a.MillisBehindLatest = aws.Int64((nearHorizon + 30*time.Minute).Milliseconds())
	}
	l.server.Inject(kcltest.Fault{Operation: "GetRecords", AlterRecords: late})
	heard := &gaps{t: t}
	now := time.Now()
	r := newReader(l.k, streamID{name: aws.String(labStream)}, &protocol.Lease{Shard: onlyShard, Start: startOldest}, func() time.Time { return now }, heard)
	out, err := r.next(t.Context(), aws.Int32(30))
	if err != nil || len(out.Records) != 30 {
		t.Fatalf("the first read gave %d records, %v", len(out.Records), err)
	}
	if err := l.server.Trim(labStream, onlyShard, all[60]); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if got := readAll(t, r, 140); !slices.Equal(got, all[60:]) {
		t.Errorf("read %d records; want the 140 that are there", len(got))
	}
	if want := [2]string{all[29], all[60]}; len(heard.heard) != 1 || heard.heard[0] != want {
		t.Errorf("told of %v; want %v", heard.heard, want)
	}
}

// An iterator that always expires is asked for again with pauses.
func TestIteratorsThatAlwaysExpire(t *testing.T) {
	l := newLab(t, 1)
	l.feed(10)
	l.server.Inject(kcltest.Fault{Operation: "GetRecords", Code: "ExpiredIteratorException", Count: -1})
	r := newReader(l.k, streamID{name: aws.String(labStream)}, &protocol.Lease{Shard: onlyShard, Start: startOldest}, time.Now, &gaps{t: t})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := r.next(ctx, aws.Int32(30)); err == nil {
		t.Fatal("it has read something")
	}
	if n := l.server.Calls("GetRecords"); n > 30 {
		t.Errorf("%d reads in 2 s", n)
	}
}
