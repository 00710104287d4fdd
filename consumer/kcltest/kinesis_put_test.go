package kcltest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"
)

// FuzzPut feeds any bytes to the hand-written parser. What it accepts must be stored as JSON that means the same.
func FuzzPut(f *testing.F) {
	for _, body := range []string{
		`{"Records":[{"Data":"eA==","PartitionKey":"k"}],"StreamName":"s"}`,
		`{"StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/s","Records":[{"ExplicitHashKey":"12","PartitionKey":"\ud83d\ude00","Data":""},null]}`,
		` {"Records" : [ { "Other" : [1,{"a":null}] , "Data":"eA\u003d=" , "PartitionKey":"\\\"" } ] } `,
		`{"Records":[{"Data":"eA==","PartitionKey":"k\\"}]}`, `{"Records":[{"Data":"AAAAAA==`, `{"":`, `{"Data":null}`, `[]`, "{\"\xff\":1}", `{"Data":"eA==","PartitionKey":"k"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, single := range []bool{false, true} {
			request, err := parsePut(bytes.Clone(body), single)
			if err != nil {
				continue
			}
			for i := range request.entries {
				e := &request.entries[i]
				e.number = sequenceAt(1, 1, 1, 1)
				var stored AnsweredRecord
				if err := json.Unmarshal(e.append(nil, time.UnixMilli(1_700_000_000_123)), &stored); err != nil {
					t.Fatalf("stored as %q: %v", e.append(nil, time.Time{}), err)
				}
				var key string
				if err := json.Unmarshal(append(append([]byte{'"'}, e.key...), '"'), &key); err != nil || stored.PartitionKey != key {
					t.Errorf("key %q became %q", e.key, stored.PartitionKey)
				}
				if e.size != len(stored.Data)+len(unquote(e.key)) || base64.StdEncoding.EncodeToString(stored.Data) != string(e.data) {
					t.Errorf("data %q of size %d became %q", e.data, e.size, stored.Data)
				}
				if stored.ApproximateArrivalTimestamp != 1_700_000_000.123 {
					t.Errorf("arrived %v", stored.ApproximateArrivalTimestamp)
				}
			}
		}
	})
}
