package world

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/parquet/file"
)

// Visible counts the rows and rejects in a bucket that is a folder. Objects never change, so each is read once.
type Visible map[string]int64

// Count gives the number of rows and rejects that are visible now. Hidden folders are the store's own.
func (c Visible) Count(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a snapshot that was deleted meanwhile
		}
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if _, known := c[path]; !known {
			if c[path], err = held(path); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return nil
	})
	for _, n := range c {
		total += n
	}
	return total, err
}

// held is the number of rows or rejects in an object.
func held(path string) (int64, error) {
	switch filepath.Ext(path) {
	case ".parquet":
		reader, err := file.OpenParquetFile(path, false)
		if err != nil {
			return 0, err
		}
		defer reader.Close()
		return reader.NumRows(), nil
	case ".gz":
		in, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		defer in.Close()
		text, err := gzip.NewReader(bufio.NewReader(in))
		if err != nil {
			return 0, err
		}
		n := int64(0)
		for lines := bufio.NewReader(text); ; n++ {
			if _, err := lines.ReadBytes('\n'); err == io.EOF {
				return n, nil
			} else if err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}
