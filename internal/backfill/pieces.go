package backfill

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/sluice-etl/sluice/transform"
)

const (
	pieceSize = 256 << 10 // bytes of a piece, at least, unless it is the last
	maxPiece  = 10 << 20  // a line may be so long: as long as a record of Kinesis
)

// Pieces cuts a file into payloads that begin and end with a line. It is for one goroutine.
type Pieces struct {
	in     io.Reader
	format string

	rest   []byte // was read, and is of no piece yet
	offset int64  // of rest in the text, in bytes
	ended  bool   // all was read
}

// NewPieces reads a file that may be compressed, which its first bytes tell.
func NewPieces(file io.Reader, format string) (*Pieces, error) {
	buffered := bufio.NewReaderSize(file, 64<<10)
	p := &Pieces{in: buffered, format: format}
	if magic, err := buffered.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		if p.in, err = gzip.NewReader(buffered); err != nil {
			return nil, fmt.Errorf("it begins as gzip, and is none: %w", err)
		}
	}
	return p, nil
}

// Next gives the next piece, and where it begins in the text. At the end the error is io.EOF. The piece stays as it is.
// A line longer than maxPiece is cut, and its parts are taken for lines.
func (p *Pieces) Next() (piece []byte, offset int64, err error) {
	for {
		cut := 0
		for size := pieceSize; cut == 0; size = min(2*size, maxPiece) {
			if err := p.fill(size); err != nil {
				return nil, 0, err
			}
			switch {
			case len(p.rest) == 0:
				return nil, 0, io.EOF
			case p.ended:
				cut = len(p.rest)
			default:
				if cut = transform.Cut(p.format, p.rest); cut == 0 && size == maxPiece {
					cut = bytes.LastIndexByte(p.rest, '\n') + 1
					if cut == 0 {
						cut = len(p.rest)
					}
				}
			}
		}
		piece, offset = p.rest[:cut:cut], p.offset
		p.rest = append(make([]byte, 0, max(pieceSize, len(p.rest)-cut)), p.rest[cut:]...)
		p.offset += int64(cut)
		// Blank lines at the end are no lines, but a payload without any is a reject.
		if p.format == transform.FormatRaw || len(bytes.Trim(piece, "\r\n")) > 0 {
			return piece, offset, nil
		}
	}
}

// fill reads until there are so many bytes, or all.
func (p *Pieces) fill(size int) error {
	if cap(p.rest) < size {
		p.rest = append(make([]byte, 0, size), p.rest...)
	}
	for !p.ended && len(p.rest) < size {
		n, err := p.in.Read(p.rest[len(p.rest):size])
		p.rest = p.rest[:len(p.rest)+n]
		if errors.Is(err, io.EOF) {
			p.ended = true
		} else if err != nil {
			return err
		}
	}
	return nil
}
