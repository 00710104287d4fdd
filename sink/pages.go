package sink

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/parquet-go/parquet-go/format"
)

// chunk reads the pages of a column in a row group, and looks at each.
func (f *ParquetFile) chunk(group, column int) (part, error) {
	g := &f.file.Metadata().RowGroups[group]
	m := &g.Columns[column].MetaData
	switch m.Codec {
	case format.Zstd, format.Snappy, format.Gzip, format.Uncompressed:
	default:
		return part{}, fmt.Errorf("it is compressed by %v, which sluice does not write", m.Codec)
	}
	p := part{offset: m.DataPageOffset}
	if m.DictionaryPageOffset != 0 {
		p.offset = m.DictionaryPageOffset
	}
	if p.offset < 0 || m.TotalCompressedSize < 0 || m.TotalCompressedSize > f.size || p.offset > f.size-m.TotalCompressedSize {
		return part{}, fmt.Errorf("it is damaged: %d bytes from %d on are not in a file of %d", m.TotalCompressedSize, p.offset, f.size)
	}
	p.bytes = make([]byte, m.TotalCompressedSize)
	if err := readAt(f.from, p.bytes, p.offset); err != nil {
		return part{}, err
	}
	return p, checkPages(p.bytes, m.Codec, g.NumRows)
}

// The fields of a page's header that are looked at (https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift): see
// compact for their numbers.
const (
	pageType         = 1 // 0: data, 2: a dictionary
	pageUncompressed = 2
	pageCompressed   = 3
	pageSum          = 4
	pageValues       = 5_01 // of data
	pageEntries      = 7_01 // of a dictionary
)

// No compression does better than this: zstd has 128 KiB in 4 bytes.
const mostCompressed = 64 << 10

// checkPages refuses what is not as this package writes it: pages of data of version 1, with so many values together, and dictionaries; each with
// a checksum.
func checkPages(pages []byte, codec format.CompressionCodec, rows int64) error {
	values := int64(0)
	for n := 0; len(pages) > 0; n++ {
		c, header := compact{rest: pages}, map[int64]int64{}
		if !c.structure(header) {
			return fmt.Errorf("the header of page %d is damaged", n)
		}
		size, uncompressed := header[pageCompressed], header[pageUncompressed]
		count := header[pageEntries]
		if header[pageType] == 0 {
			count = header[pageValues]
			values += count
		} else if header[pageType] != 2 {
			return fmt.Errorf("page %d is of the type %d, which sluice does not write", n, header[pageType])
		}
		if size < 0 || size > int64(len(c.rest)) || uncompressed < 0 || uncompressed > mostCompressed*(size+1) || count < 0 || count > rows {
			return fmt.Errorf("the header of page %d is damaged: %d values in %d bytes, compressed to %d", n, count, uncompressed, size)
		}
		if sum := crc32.ChecksumIEEE(c.rest[:size]); sum != uint32(header[pageSum]) {
			return fmt.Errorf("page %d is damaged: its checksum is %08x, and that of its bytes %08x", n, uint32(header[pageSum]), sum)
		}
		// Snappy's begin with a size of their own, for which the library makes room.
		if claimed, _ := binary.Uvarint(c.rest[:size]); codec == format.Snappy && claimed != uint64(uncompressed) {
			return fmt.Errorf("page %d is damaged, or not compressed by Snappy: it is said to have %d bytes, and its header says %d", n, claimed, uncompressed)
		}
		pages = c.rest[size:]
	}
	if values != rows {
		return fmt.Errorf("its pages have %d values, for %d rows", values, rows)
	}
	return nil
}

// compact reads what Thrift's compact protocol has written, and keeps no more of it than numbers: see
// https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md. The library would make room for as many elements as a
// list claims to have, before it looks for the first.
type compact struct {
	rest   []byte
	failed bool
}

// The types of values; others have no rest to read.
const (
	thriftTrue, thriftFalse, thriftByte, thriftDouble, thriftBinary, thriftList, thriftSet, thriftMap, thriftStruct = 1, 2, 3, 7, 8, 9, 10, 11, 12

	mostNested = 16 // structs in structs: Parquet's have six
)

// structure reads a struct, and fills ints, unless it is nil, with its integers: by the number of the field, and those of a struct in it by the
// field's number times 100 and their own. It is false if what there is cannot be a struct.
func (c *compact) structure(ints map[int64]int64) bool {
	c.fields(0, mostNested, ints)
	return !c.failed
}

func (c *compact) fields(within int64, depth int, ints map[int64]int64) {
	if depth == 0 {
		c.fail()
	}
	for id := int64(0); ; {
		head := c.octet()
		if head == 0 || c.failed {
			return
		}
		if id += int64(head >> 4); head>>4 == 0 {
			id = c.varint()
		}
		if kind := head & 15; kind != thriftTrue && kind != thriftFalse { // which are the value
			c.value(kind, 100*within+id, depth, ints)
		}
	}
}

func (c *compact) value(kind byte, field int64, depth int, ints map[int64]int64) {
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		c.octet()
	case 4, 5, 6: // of 16, 32 and 64 bits
		if v := c.varint(); ints != nil {
			ints[field] = v
		}
	case thriftDouble:
		c.skip(8)
	case thriftBinary:
		c.skip(c.uvarint())
	case thriftList, thriftSet:
		head := c.octet()
		n := uint64(head >> 4)
		if n == 15 {
			n = c.uvarint()
		}
		c.values(n, depth, head&15)
	case thriftMap:
		if n := c.uvarint(); n > 0 {
			kinds := c.octet()
			c.values(n, depth, kinds>>4, kinds&15)
		}
	case thriftStruct:
		c.fields(field, depth-1, ints)
	default:
		c.fail()
	}
}

// values reads n times values of some types. Each has a byte at least.
func (c *compact) values(n uint64, depth int, kinds ...byte) {
	if n > uint64(len(c.rest)) || depth == 0 {
		c.fail()
	}
	for ; n > 0 && !c.failed; n-- {
		for _, kind := range kinds {
			c.value(kind, 0, depth-1, nil)
		}
	}
}

func (c *compact) uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *compact) varint() int64 {
	v := c.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (c *compact) octet() byte {
	if len(c.rest) == 0 {
		c.fail()
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b
}

func (c *compact) skip(n uint64) {
	if n > uint64(len(c.rest)) {
		c.fail()
		return
	}
	c.rest = c.rest[n:]
}

func (c *compact) fail() { c.rest, c.failed = nil, true }
