package sink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-etl/sluice/internal/columns"
)

// maxPrefix is how long, in bytes, a prefix may be with its values, as in Firehose. S3 allows keys of 1,024, and the names of
// files take up to 250 of these.
const maxPrefix = 512

// Why a row has no partition.
var (
	ErrLongPrefix        = fmt.Errorf("the values of the row's partition make a prefix of more than %d bytes", maxPrefix)
	ErrTooManyPartitions = errors.New("its Kinesis record has rows for more partitions than a batch can have files")
)

// Partitioner numbers the partitions of a batch: one for each different prefix. It is not safe for concurrent use.
type Partitioner struct {
	prefix    *Prefix
	location  *time.Location
	errorType string
	columns   []*columns.Column // those that the prefix shows, in its order
	unit      int64             // milliseconds

	slots map[string]int32 // by what the prefix shows of a time
	text  []byte
	date  date

	numbers map[string]int32 // by slot and values
	keys    []string

	from, to int64 // of the last time, while it is sure to have the same slot
	slot     int32
	last     int32 // the slot's partition, where there are no columns; unknown else
}

const unknown = -1

// NewPartitioner makes a partitioner without partitions. Prefixes show the times of a location, and an error-output-type.
func NewPartitioner(p *Prefix, location *time.Location, errorType string) *Partitioner {
	return &Partitioner{prefix: p, location: location, errorType: errorType, unit: p.unit().Milliseconds(), slots: map[string]int32{}, numbers: map[string]int32{}}
}

// Bind says of which table the rows are. It comes before Partition where the prefix shows columns. An error tells which of
// them the table does not have.
func (p *Partitioner) Bind(t *columns.Table) error {
	p.columns = p.columns[:0]
	for _, name := range p.prefix.Columns() {
		i := slices.IndexFunc(t.Columns, func(c columns.Column) bool { return c.Name == name })
		if i < 0 {
			var names []string
			for _, c := range t.Columns {
				names = append(names, c.Name)
			}
			return fmt.Errorf("!{%s:%s} is for a column that there is not; there are %s", columnNamespace, name, strings.Join(names, ", "))
		}
		p.columns = append(p.columns, &t.Columns[i])
	}
	return nil
}

// Partition gives the number of the partition of a row at a time, in milliseconds since 1970. Numbers count from 0 in the
// order of their first use. It makes no partition beyond a limit: the error is ErrTooManyPartitions then, and ErrLongPrefix
// where the row's values are too long.
func (p *Partitioner) Partition(ms int64, row, limit int) (int32, error) {
	if ms < p.from || ms >= p.to {
		p.enter(ms)
	}
	if p.last != unknown {
		return p.last, nil
	}
	p.text = binary.LittleEndian.AppendUint32(p.text[:0], uint32(p.slot))
	for _, c := range p.columns {
		p.text = append(p.appendValue(p.text, c, row), 0) // which ends no other value, as it is escaped
		if len(p.text) > 4*maxPrefix {
			return 0, ErrLongPrefix
		}
	}
	if n, ok := p.numbers[string(p.text)]; ok {
		p.keep(n)
		return n, nil
	}
	if len(p.keys) >= limit {
		return 0, ErrTooManyPartitions
	}
	values := strings.Split(string(p.text[4:]), "\x00")
	key := p.prefix.append(nil, time.UnixMilli(ms).In(p.location), p.errorType, values, true)
	if len(key) > maxPrefix && len(p.columns) > 0 {
		return 0, ErrLongPrefix
	}
	n := int32(len(p.keys))
	p.numbers[string(p.text)] = n
	p.keys = append(p.keys, string(key))
	p.keep(n)
	return n, nil
}

// keep remembers the partition of a slot that has no other.
func (p *Partitioner) keep(n int32) {
	if len(p.columns) == 0 {
		p.last = n
	}
}

// Number is Partition without a limit, for a prefix that shows no columns: nothing can be wrong then.
func (p *Partitioner) Number(ms int64) int32 {
	n, _ := p.Partition(ms, 0, math.MaxInt)
	return n
}

// enter finds the slot of a time.
func (p *Partitioner) enter(ms int64) {
	at := time.UnixMilli(ms).In(p.location)
	p.text = p.prefix.append(p.text[:0], at, p.errorType, nil, false)
	slot, ok := p.slots[string(p.text)]
	if !ok {
		slot = int32(len(p.slots))
		p.slots[string(p.text)] = slot
	}
	p.from, p.to = p.around(at)
	p.slot, p.last = slot, unknown
}

// around is the time, from a millisecond to one that it does not hold, in which the clock of a time's location shows
// the same unit. It ends where the clock changes its offset.
func (p *Partitioner) around(at time.Time) (from, to int64) {
	_, offset := at.Zone()
	ms := at.UnixMilli()
	from = ms - mod(ms+int64(offset)*1000, p.unit)
	to = from + p.unit
	start, end := at.ZoneBounds()
	if !start.IsZero() {
		from = max(from, start.UnixMilli())
	}
	if !end.IsZero() {
		to = min(to, end.UnixMilli())
	}
	return from, to
}

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return ((a % b) + b) % b }

// appendValue appends a row's value of a column as it stands in a key: the text that JSON lines have, escaped as Hive does.
func (p *Partitioner) appendValue(dst []byte, c *columns.Column, row int) []byte {
	if !c.Valid[row] {
		return append(dst, NullFolder...)
	}
	if c.Type == columns.String {
		return appendEscaped(dst, c.TextAt(row))
	}
	var scratch [32]byte
	return appendEscaped(dst, appendScalar(scratch[:0], c, row, &p.date))
}

// NullFolder stands for a null, and for a text that is empty, since a folder cannot be called so.
const NullFolder = "__HIVE_DEFAULT_PARTITION__"

// appendEscaped appends a text as Hive writes it into the name of a partition's folder: a percent sign and two hexadecimal
// digits for control characters and those of a list. Beyond Hive, "." and ".." are escaped, which are no names of folders.
//
// https://github.com/apache/hive/blob/master/common/src/java/org/apache/hadoop/hive/common/FileUtils.java
func appendEscaped(dst, text []byte) []byte {
	if len(text) == 0 {
		return append(dst, NullFolder...)
	}
	dots := string(text) == "." || string(text) == ".."
	for _, c := range text {
		if c < ' ' || c == 0x7f || dots || strings.IndexByte("\"#%'*/:=?\\{[]^", c) >= 0 {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

const upperHex = "0123456789ABCDEF"

// Key is the prefix of a partition.
func (p *Partitioner) Key(n int32) string { return p.keys[n] }

// Len is the number of partitions.
func (p *Partitioner) Len() int { return len(p.keys) }

// Reset forgets all partitions.
func (p *Partitioner) Reset() {
	clear(p.slots)
	clear(p.numbers)
	p.keys = p.keys[:0]
	p.from, p.to = 0, 0
}
