package check

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"
)

// Reject is a line of a file of rejects.
type Reject struct {
	Arrival int64  `json:"arrivalTimestamp"` // milliseconds since 1970
	Code    string `json:"errorCode"`
	Message string `json:"errorMessage"`
	Raw     []byte `json:"rawData"`
	Shard   string `json:"shardId"`
	Seq     string `json:"sequenceNumber"`
	Sub     int32  `json:"subSequenceNumber"`
}

func (r Reject) arrival() time.Time { return time.UnixMilli(r.Arrival) }

// rejects reads a file of gzip JSON lines. After an error it ends.
func rejects(path string) iter.Seq2[Reject, error] {
	return func(yield func(Reject, error) bool) {
		if err := readRejects(path, yield); err != nil {
			yield(Reject{}, fmt.Errorf("rejects: %s: %w", path, err))
		}
	}
}

func readRejects(path string, yield func(Reject, error) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return err
	}
	for decoder := json.NewDecoder(text); ; {
		var r Reject
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.Code == "" || r.Message == "" || r.Arrival == 0 {
			return fmt.Errorf("a reject without code, message or arrival: %s %s", r.Shard, r.Seq)
		}
		if !yield(r, nil) {
			return nil
		}
	}
}
