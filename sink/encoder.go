package sink

import (
	"fmt"
	"maps"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sluice-etl/sluice/internal/columns"
)

// The kinds of files that rows are written to.
const (
	OutputParquet = "parquet"
	OutputJSON    = "json" // lines
	OutputRaw     = "raw"  // the lines that came
)

// Options say how files are written.
type Options struct {
	Output      string // one of the constants above
	Compression string // zstd (of Parquet at its fastest level), snappy (Parquet alone), gzip or none
	CreatedBy   string // the version of sluice, for the metadata of Parquet files
	SortedBy    string // the column by which the rows that are given are sorted, nulls last, for the same; empty for none
}

// Encoder makes files of rows. It keeps the memory for the next file. It is not safe for concurrent use.
type Encoder interface {
	// Encode makes one file of the selected rows of a table, in their order, or of all rows where rows is nil, and appends
	// it to dst. Columns that are hidden are left out. A file without rows is an error.
	Encode(dst []byte, t *columns.Table, rows []int32) ([]byte, error)

	// Kind tells how the files are named and announced.
	Kind() Kind
}

// Kind is how a file is named and announced.
type Kind struct {
	Extension   string // without the first point
	ContentType string
}

// NewEncoder makes an encoder.
func NewEncoder(o Options) (Encoder, error) {
	switch o.Output {
	case OutputParquet:
		return newParquet(o)
	case OutputJSON:
		return newLines(&jsonLines{}, o.Compression, Kind{JSONExtension, "application/x-ndjson"}, JSONExtension+".")
	case OutputRaw:
		return newLines(&rawLines{}, o.Compression, Kind{"txt", "text/plain"}, "")
	}
	return nil, fmt.Errorf("there is no output %q; there are %s, %s and %s", o.Output, OutputParquet, OutputJSON, OutputRaw)
}

// lineCodecs are the compressions of lines. Of Snappy's framings Athena reads only Hadoop's in text, which no library here
// writes.
//
// https://docs.aws.amazon.com/athena/latest/ug/compression-support-hive.html
var lineCodecs = map[string]func() (compressor, Kind, error){
	"none": func() (compressor, Kind, error) { return &plain{}, Kind{}, nil },
	"gzip": func() (compressor, Kind, error) {
		w, err := gzip.NewWriterLevel(nil, lineLevel)
		return w, Kind{"gz", "application/gzip"}, err
	},
	"zstd": func() (compressor, Kind, error) {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)) // the other encoders have the other cores
		return w, Kind{"zst", "application/zstd"}, err
	},
}

// newLines makes an encoder for a format of lines. Where they are compressed, the extension is that of the compression after
// a stem, and the type is the compression's.
func newLines(format lineFormat, compression string, kind Kind, stem string) (*lines, error) {
	codec, ok := lineCodecs[compression]
	if !ok {
		return nil, fmt.Errorf("lines have no compression %q; there are %v", compression, slices.Sorted(maps.Keys(lineCodecs)))
	}
	zip, compressed, err := codec()
	if err != nil {
		return nil, err
	}
	if compressed != (Kind{}) {
		kind = Kind{stem + compressed.Extension, compressed.ContentType}
	}
	return &lines{format: format, zip: zip, kind: kind}, nil
}
