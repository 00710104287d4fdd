package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/sink"
)

// files looks at the files that are claimed, and reports in their order what differs.
func (a *audit) files(ctx context.Context, claims []claim) error {
	found := make([]Figures, len(claims))
	differences := make([][]Difference, len(claims))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, c := range claims {
		group.Go(func() (err error) {
			found[i], differences[i], err = a.look(ctx, c)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range claims {
		a.sum.Found.add(found[i])
		for _, d := range differences[i] {
			a.report(d)
		}
	}
	return nil
}

// look holds a file's object against its claim: size and token, and the rows, if they can be counted and the size is right.
func (a *audit) look(ctx context.Context, c claim) (found Figures, differences []Difference, err error) {
	f := c.commit.Files[c.file]
	differ := func(kind Kind, claimed, is any, format string, args ...any) {
		differences = append(differences, Difference{Kind: kind, Key: f.Key, Record: c.record, Claimed: claimed, Found: is,
			Text: fmt.Sprintf(format, args...)})
	}
	missing := func() {
		kind := Missing
		if c.waits {
			kind = NotVisible
		}
		differ(kind, nil, nil, "there is no such object; %s claims %d bytes and %d rows", c.whose(), f.Size, f.Rows)
	}
	size, token, err := a.Store.Head(ctx, f.Key)
	if errors.Is(err, fs.ErrNotExist) {
		missing()
		return found, differences, nil
	}
	if err != nil {
		return found, nil, err
	}
	found = Figures{Files: 1, Bytes: size}
	if size != int64(f.Size) {
		differ(Size, int64(f.Size), size, "claimed are %d bytes, it has %d", f.Size, size)
	}
	if want := c.commit.Token(c.file); token != want {
		differ(Token, want, token, "claimed is the token %q, it carries %q", want, token)
	}
	if size != int64(f.Size) || !counted(f) {
		return found, differences, nil
	}

	rows, unreadable, err := countRows(f.Key, sink.ObjectAt(ctx, a.Store, f.Key), size)
	switch {
	case ctx.Err() != nil:
		return found, nil, context.Cause(ctx)
	case errors.Is(err, fs.ErrNotExist): // since a moment ago
		found = Figures{}
		missing()
	case err != nil: // the fault of this object as far as one can tell: it may be in an archive, or have another key
		differ(unreadable, nil, nil, "its %d rows cannot be counted: %v", f.Rows, err)
	case rows != int64(f.Rows):
		differ(Rows, int64(f.Rows), rows, "claimed are %d rows, it has %d", f.Rows, rows)
	}
	found.Rows = rows
	return found, differences, nil
}

// countRows counts the rows of an object, and tells of what kind a failure to do so is.
func countRows(key string, o io.ReaderAt, size int64) (rows int64, unreadable Kind, err error) {
	if isParquet(key) {
		rows, err = sink.ParquetRows(o, size)
		return rows, Footer, err
	}
	rows, err = sink.JSONRows(key, bufio.NewReaderSize(io.NewSectionReader(o, 0, size), readBytes))
	return rows, Lines, err
}

// readBytes is how much of a file of JSON lines is read at once.
const readBytes = 4 << 20
