package trace

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/sluice-etl/sluice/consumer/protocol"
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
func (c Config) searchParquet(ctx context.Context, f protocol.File, t *Trace) (err error) {
	defer func() { // the library panics on some damaged files
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the file is damaged: %v", fault)
		}
	}()
	file, err := parquet.OpenFile(object{ctx, c.Store, f.Key}, int64(f.Size), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	places := map[int64]*Place{}
	values := func(column string, value func(row int64, v parquet.Value)) error {
		leaf, ok := file.Schema().Lookup(column)
		if !ok {
			return fmt.Errorf("the file has no column %s", column)
		}
		row := int64(0)
		for _, group := range file.RowGroups() {
			pages := group.ColumnChunks()[leaf.ColumnIndex].Pages()
			for {
				page, err := pages.ReadPage()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return errors.Join(err, pages.Close())
				}
				all := make([]parquet.Value, page.NumValues())
				if n, err := page.Values().ReadValues(all); n < len(all) {
					return errors.Join(err, pages.Close())
				}
				for _, v := range all {
					value(row, v)
					row++
				}
			}
			if err := pages.Close(); err != nil {
				return err
			}
		}
		return nil
	}
	sequence := []byte(c.Sequence)
	err = values("ingest_seq", func(row int64, v parquet.Value) {
		if bytes.Equal(v.ByteArray(), sequence) {
			places[row] = &Place{Object: f.Key, Row: row}
		}
	})
	if err != nil || len(places) == 0 {
		return err
	}
	err = errors.Join(
		values("ingest_sub", func(row int64, v parquet.Value) {
			if p := places[row]; p != nil {
				p.Sub = v.Int64()
			}
		}),
		values("anomaly_reason", func(row int64, v parquet.Value) {
			if p := places[row]; p != nil && !v.IsNull() {
				p.Reason = string(v.ByteArray())
			}
		}))
	for _, p := range places {
		t.Places = append(t.Places, *p)
	}
	return err
}

// object reads an object of a store.
type object struct {
	ctx   context.Context
	store Store
	key   string
}

func (o object) ReadAt(p []byte, offset int64) (int, error) {
	if err := o.store.ReadAt(o.ctx, o.key, p, offset); err != nil {
		return 0, err
	}
	return len(p), nil
}
