package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func TestRejects(t *testing.T) {
	r := NewRejects()
	raw := []byte("\xff\x00not <JSON>\n")
	r.Append(Reject{Arrival: time.UnixMilli(1234), Code: "invalid_json", Message: "at byte 2", Raw: raw, Shard: "shardId-000000000001", Sequence: "495", Sub: 3})
	r.Append(Reject{Code: "empty"})
	body, err := r.Bytes()
	if err != nil || r.Len() != 2 {
		t.Fatalf("%d rejects, %v", r.Len(), err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	want := `{"arrivalTimestamp":1234,"errorCode":"invalid_json","errorMessage":"at byte 2","rawData":"/wBub3QgPEpTT04+Cg==","shardId":"shardId-000000000001","sequenceNumber":"495","subSequenceNumber":3}`
	if string(first) != want {
		t.Errorf("wrote %s; want %s", first, want)
	}
	var line struct {
		Raw []byte `json:"rawData"`
	}
	if err := json.Unmarshal(first, &line); err != nil || !bytes.Equal(line.Raw, raw) {
		t.Errorf("the raw data come back as %q, %v", line.Raw, err)
	}
	if n := bytes.Count(text, []byte("\n")); n != 2 {
		t.Errorf("%d lines; want 2", n)
	}
	var back []Reject
	if err := ReadRejects(body, func(line int, j Reject) error {
		if line != len(back) {
			t.Errorf("line %d after %d", line, len(back))
		}
		back = append(back, j)
		return nil
	}); err != nil || len(back) != 2 || back[0].Code != "invalid_json" || back[0].Arrival.UnixMilli() != 1234 || !bytes.Equal(back[0].Raw, raw) ||
		back[0].Shard != "shardId-000000000001" || back[0].Sequence != "495" || back[0].Sub != 3 || back[1].Code != "empty" {
		t.Errorf("they come back as %+v, %v", back, err)
	}
	for _, bad := range [][]byte{nil, []byte("text"), body[:len(body)-10]} {
		if err := ReadRejects(bad, func(int, Reject) error { return nil }); !errors.Is(err, ErrNoRejects) {
			t.Errorf("%q gives %v", bad, err)
		}
	}
	first = bytes.Clone(body)
	r.Reset()
	r.Append(Reject{Code: "empty"})
	if _, err := r.Bytes(); err != nil || r.Len() != 1 {
		t.Errorf("after Reset: %d rejects, %v", r.Len(), err)
	}
	r.Reset()
	r.Append(Reject{Arrival: time.UnixMilli(1234), Code: "invalid_json", Message: "at byte 2", Raw: raw, Shard: "shardId-000000000001", Sequence: "495", Sub: 3})
	r.Append(Reject{Code: "empty"})
	if again, err := r.Bytes(); err != nil || !bytes.Equal(again, first) {
		t.Errorf("the same rejects give other bytes after Reset: %v", err)
	}
}
