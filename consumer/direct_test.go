package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/consumer/kcltest"
)

// An id is given to exactly what is in the stream, and names its place there. Only what the stream refused is put again.
func TestDirect(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault  kcltest.Fault
		taken  int // of 10
		stored int
		calls  int
		want   string // in the error
	}{
		"nothing":                {fault: kcltest.Fault{Nth: 1000}, taken: 10, stored: 10, calls: 1},
		"some are refused":       {fault: kcltest.Fault{FailRecords: func(i int) bool { return i%2 == 0 }, Count: 2}, taken: 10, stored: 10, calls: 3},
		"all are refused":        {fault: kcltest.Fault{Code: "ProvisionedThroughputExceededException", Count: 2}, taken: 10, stored: 10, calls: 3},
		"some, again and again":  {fault: kcltest.Fault{FailRecords: func(i int) bool { return i == 0 }, Count: -1}, taken: 9, stored: 9, calls: 4, want: "1 of 10"},
		"the answer is lost":     {fault: kcltest.Fault{DropAnswer: true, Count: -1}, taken: 0, stored: 10, calls: 1, want: "put 10 records"},
		"the stream says no":     {fault: kcltest.Fault{Code: "AccessDeniedException", Count: -1}, taken: 0, stored: 0, calls: 1, want: "AccessDenied"},
		"the stream fails":       {fault: kcltest.Fault{Status: 500, Code: "InternalFailure", Count: -1}, taken: 0, stored: 0, calls: 1, want: "InternalFailure"},
		"lost at the second try": {fault: kcltest.Fault{DropAnswer: true, Nth: 2, Count: -1}, taken: 9, stored: 10, calls: 2, want: "put 1 records"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 2)
			if strings.HasPrefix(name, "lost at") {
				l.server.Inject(kcltest.Fault{Operation: "PutRecords", FailRecords: func(i int) bool { return i == 3 }})
			}
			tt.fault.Operation = "PutRecords"
			l.server.Inject(tt.fault)
			var data [][]byte
			for i := range 10 {
				data = append(data, fmt.Appendf(nil, "record %d", i))
			}
			ids, err := (&Direct{l.k, labStream}).Put(t.Context(), data)
			if calls := l.server.Calls("PutRecords"); len(ids) != len(data) || calls != tt.calls {
				t.Errorf("%d ids after %d calls, want %d calls", len(ids), calls, tt.calls)
			}
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v; want %q", err, tt.want)
			}
			stored := l.stored()
			if len(stored) != tt.stored {
				t.Errorf("%d records are in the stream, want %d", len(stored), tt.stored)
			}
			taken := 0
			for i, id := range ids {
				if id == "" {
					continue
				}
				taken++
				if stored[id] != string(data[i]) {
					t.Errorf("at %s is %q, not %q", id, stored[id], data[i])
				}
			}
			if taken != tt.taken {
				t.Errorf("%d records have ids, want %d: %q", taken, tt.taken, slices.Compact(ids))
			}
		})
	}
}

// stored is what the stream holds, by shard and sequence number.
func (l *lab) stored() map[string]string {
	l.t.Helper()
	stored := map[string]string{}
	shards, err := l.k.ListShards(l.t.Context(), &kinesis.ListShardsInput{StreamName: aws.String(labStream)})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, s := range shards.Shards {
		at, err := l.k.GetShardIterator(l.t.Context(), &kinesis.GetShardIteratorInput{StreamName: aws.String(labStream), ShardId: s.ShardId,
			ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			l.t.Fatal(err)
		}
		out, err := l.k.GetRecords(l.t.Context(), &kinesis.GetRecordsInput{ShardIterator: at.ShardIterator})
		if err != nil {
			l.t.Fatal(err)
		}
		for _, r := range out.Records {
			stored[*s.ShardId+":"+*r.SequenceNumber] = string(r.Data)
		}
	}
	return stored
}
