package sink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// IsJSON tells whether a key is that of a file of JSON lines: of rows or of rejects.
func IsJSON(key string) bool {
	for _, compression := range []string{".gz", ".zst"} {
		key = strings.TrimSuffix(key, compression)
	}
	return strings.HasSuffix(key, "."+JSONExtension)
}

// Decompress reads what a file of lines holds; its key tells the compression. An error tells what is wrong with the file, or is
// the reader's.
func Decompress(key string, r io.Reader) (io.ReadCloser, error) {
	switch {
	case strings.HasSuffix(key, ".gz"):
		text, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("the file is no gzip: %w", err)
		}
		return text, nil
	case strings.HasSuffix(key, ".zst"):
		text, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return text.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

// JSONRows tells how many lines a file of JSON lines has, which it reads whole; the key tells the compression. An error
// tells what is wrong with the file, or is the reader's.
func JSONRows(key string, compressed io.Reader) (rows int64, err error) {
	r, err := Decompress(key, compressed)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	block, last := make([]byte, lineBlock), byte('\n')
	for {
		n, err := r.Read(block)
		if n > 0 {
			rows, last = rows+int64(bytes.Count(block[:n], []byte{'\n'})), block[n-1]
		}
		switch {
		case err == io.EOF && last != '\n':
			return 0, errors.New("the last line has no end")
		case err == io.EOF:
			return rows, nil
		case err != nil:
			return 0, fmt.Errorf("the file cannot be read to its end: %w", err)
		}
	}
}
