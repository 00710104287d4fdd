package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
)

// How files of rejects are named and announced.
const (
	RejectsExtension = "json.gz"
	RejectsType      = "application/gzip"
)

// Reject is a piece of a record that is no row, and why.
type Reject struct {
	Arrival  time.Time
	Code     string // from a closed set
	Message  string // for a person
	Raw      []byte // as it came
	Shard    string
	Sequence string
	Sub      int // the place in the Kinesis record
}

// rejectLine is a reject as it is written, with the names that Firehose gives such fields.
type rejectLine struct {
	Arrival  int64  `json:"arrivalTimestamp"` // milliseconds since 1970
	Code     string `json:"errorCode"`
	Message  string `json:"errorMessage"`
	Raw      []byte `json:"rawData"` // base64
	Shard    string `json:"shardId"`
	Sequence string `json:"sequenceNumber"`
	Sub      int    `json:"subSequenceNumber"`
}

// Rejects gathers rejects as gzip JSON lines. It is not safe for concurrent use.
type Rejects struct {
	out  bytes.Buffer
	zip  *gzip.Writer
	json *json.Encoder
	n    int
	err  error
}

// NewRejects makes an empty list.
func NewRejects() *Rejects {
	r := &Rejects{}
	r.zip, r.err = gzip.NewWriterLevel(&r.out, gzip.BestSpeed)
	r.json = json.NewEncoder(r.zip)
	return r
}

// Append adds a reject. It keeps nothing of it.
func (r *Rejects) Append(j Reject) {
	if r.err == nil {
		r.err = r.json.Encode(rejectLine{j.Arrival.UnixMilli(), j.Code, j.Message, j.Raw, j.Shard, j.Sequence, j.Sub})
	}
	r.n++
}

// Len is the number of rejects.
func (r *Rejects) Len() int { return r.n }

// Bytes ends the list and gives its file, which is valid until Reset. Nothing can be added before that.
func (r *Rejects) Bytes() ([]byte, error) {
	if r.err == nil {
		r.err = r.zip.Close()
	}
	if r.err != nil {
		return nil, fmt.Errorf("encode rejects: %w", r.err)
	}
	return r.out.Bytes(), nil
}

// Reset makes the list empty. It keeps the memory.
func (r *Rejects) Reset() {
	r.out.Reset()
	r.zip.Reset(&r.out)
	r.n, r.err = 0, nil
}

// ErrNoRejects tells that something is no file of rejects.
var ErrNoRejects = errors.New("no file of rejects")

// ReadRejects calls each for every reject of a file that Bytes gave, with its line, counted from 0. What each is given is
// valid until it returns. The error is ErrNoRejects for anything else than such a file, else that of each, which ends it.
func ReadRejects(file []byte, each func(line int, j Reject) error) error {
	zip, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoRejects, err)
	}
	lines := json.NewDecoder(zip)
	for line := 0; ; line++ {
		var r rejectLine
		if err := lines.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrNoRejects, line+1, err)
		}
		if r.Code == "" {
			return fmt.Errorf("%w: line %d has no errorCode", ErrNoRejects, line+1)
		}
		j := Reject{time.UnixMilli(r.Arrival).UTC(), r.Code, r.Message, r.Raw, r.Shard, r.Sequence, r.Sub}
		if err := each(line, j); err != nil {
			return err
		}
	}
}
