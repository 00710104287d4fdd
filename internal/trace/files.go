package trace

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink"
)

// search adds the rows and rejects of the record in a file to the trace.
func (c Config) search(ctx context.Context, f protocol.File, t *Trace) error {
	switch {
	case strings.HasSuffix(f.Key, "."+sink.ParquetExtension):
		return c.searchParquet(ctx, f, t)
	case sink.IsJSON(f.Key):
		return c.searchLines(ctx, f, t)
	}
	t.Raw = append(t.Raw, f.Key)
	return nil
}

// searchLines reads lines of JSON, which are rows or rejects.
func (c Config) searchLines(ctx context.Context, f protocol.File, t *Trace) error {
	body, err := c.Store.Get(ctx, f.Key)
	if err != nil {
		return err
	}
	text, err := sink.Decompress(f.Key, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer text.Close()
	lines := bufio.NewReader(text)
	for row := int64(0); ; row++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !bytes.Contains(line, []byte(c.Sequence)) {
			continue
		}
		var l struct {
			Sequence string `json:"ingest_seq"`
			Sub      int64  `json:"ingest_sub"`
			Reason   string `json:"anomaly_reason"`
			Rejected string `json:"sequenceNumber"` // the fields of a reject
			Place    int64  `json:"subSequenceNumber"`
			Code     string `json:"errorCode"`
			Message  string `json:"errorMessage"`
		}
		if err := json.Unmarshal(line, &l); err != nil {
			return err
		}
		switch {
		case f.Rows > 0 && l.Sequence == c.Sequence:
			t.Places = append(t.Places, Place{Sub: l.Sub, Object: f.Key, Row: row, Reason: l.Reason})
		case f.Rows == 0 && l.Rejected == c.Sequence:
			t.Places = append(t.Places, Place{Sub: l.Place, Object: f.Key, Row: row, Code: l.Code, Message: l.Message})
		}
	}
}

// searchParquet reads the footer, the sequence numbers, and where there is one of the record, what else is told of it.
func (c Config) searchParquet(ctx context.Context, f protocol.File, t *Trace) error {
	file, err := sink.OpenParquet(sink.ObjectAt(ctx, c.Store, f.Key), int64(f.Size))
	if err != nil {
		return err
	}
	read := func(names ...string) (*columns.Table, error) {
		var fields []columns.Field
		for _, name := range names {
			at := slices.IndexFunc(file.Fields(), func(f columns.Field) bool { return f.Name == name })
			if at < 0 {
				return nil, fmt.Errorf("the file has no column %s", name)
			}
			fields = append(fields, file.Fields()[at])
		}
		table := columns.NewTable(fields)
		return table, file.Append(table)
	}
	sequences, err := read("ingest_seq")
	if err != nil {
		return err
	}
	var rows []int
	for row := range sequences.Rows() {
		if string(sequences.Columns[0].TextAt(row)) == c.Sequence {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	told, err := read("ingest_sub", "anomaly_reason")
	if err != nil {
		return err
	}
	for _, row := range rows {
		t.Places = append(t.Places, Place{Sub: told.Columns[0].Ints[row], Object: f.Key, Row: int64(row), Reason: string(told.Columns[1].TextAt(row))})
	}
	return nil
}
