package kcltest

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"go.etcd.io/bbolt"
)

const (
	maxPutRecords    = 500
	maxPutBytes      = 10 << 20 // of all records of a request; 5 MiB until 2025
	maxRecordBytes   = 10 << 20 // what a stream can be made to take
	defaultMaxRecord = 1 << 20
	maxKeyCharacters = 256
)

// entry is a record of a request. Its slices are the request's bytes.
type entry struct {
	data     []byte // base64, as received: it is stored and answered so
	key      []byte // between its quotes, as received
	explicit string // ExplicitHashKey, empty where there is none
	hash     hashKey
	size     int // bytes of data and key, as the limits count them

	shard   *shard   // whose range holds its hash key
	number  sequence // its sequence number there
	refused bool     // the shard did not take it
}

// putRequest is a PutRecords or a PutRecord.
type putRequest struct {
	streamRef
	entries []entry
	size    int
}

// parsePut reads a request. single reads the one record of a PutRecord, whose members stand beside the stream's name.
func parsePut(body []byte, single bool) (*putRequest, *apiError) {
	request := &putRequest{}
	s := &scanner{rest: body}
	one := entry{}
	s.object(func(name string) {
		switch {
		case name == "StreamName":
			request.StreamName = string(unquote(s.text()))
		case name == "StreamARN":
			request.StreamARN = string(unquote(s.text()))
		case single:
			s.entry(&one, name)
		case name == "Records":
			s.array(func() {
				e := entry{}
				s.object(func(name string) { s.entry(&e, name) })
				request.entries = append(request.entries, e)
			})
		default:
			s.skip()
		}
	})
	if !s.end() {
		return nil, &apiError{Status: 400, Code: "SerializationException", Message: "The request is not the JSON that PutRecords takes."}
	}
	if single {
		request.entries = []entry{one}
	}
	if n := len(request.entries); n < 1 || n > maxPutRecords {
		return nil, invalid("records", fmt.Sprintf("[%d entries]", n), "Member must have length between 1 and 500, inclusive")
	}
	for i := range request.entries {
		at := ""
		if !single {
			at = "records." + strconv.Itoa(i+1) + ".member."
		}
		if err := request.entries[i].check(at); err != nil {
			return nil, err
		}
		request.size += request.entries[i].size
	}
	if !single && request.size > maxPutBytes {
		return nil, &apiError{Status: 400, Code: "InvalidArgumentException", Message: "Records size exceeds 10 MiB limit"}
	}
	return request, nil
}

// entry takes the value of a record's member.
func (s *scanner) entry(e *entry, name string) {
	switch name {
	case "Data":
		e.data = s.text()
	case "PartitionKey":
		e.key = s.text()
	case "ExplicitHashKey":
		e.explicit = string(unquote(s.text()))
	default:
		s.skip()
	}
}

// check validates a record, sizes it, and finds its hash key. at is its place in the request, for messages.
func (e *entry) check(at string) *apiError {
	if e.data == nil {
		return invalid(at+"data", "null", "Member must not be null")
	}
	if e.key == nil {
		return invalid(at+"partitionKey", "null", "Member must not be null")
	}
	size, ok := base64Size(e.data)
	if !ok {
		// Escapes are legal JSON, if nobody writes them; what is no base64 after that never was.
		data, err := base64.StdEncoding.DecodeString(string(unquote(e.data)))
		if err != nil {
			return &apiError{Status: 400, Code: "SerializationException", Message: "'" + at + "data' can not be converted to a Blob: " + err.Error()}
		}
		e.data, size = base64.StdEncoding.AppendEncode(nil, data), len(data)
	}
	if !wellFormed(e.key) {
		return &apiError{Status: 400, Code: "SerializationException", Message: "'" + at + "partitionKey' is no JSON string in UTF-8."}
	}
	key := unquote(e.key)
	if n := utf8.RuneCount(key); n < 1 || n > maxKeyCharacters {
		return invalid(at+"partitionKey", "["+strconv.Itoa(n)+" characters]", "Member must have length between 1 and 256, inclusive")
	}
	if size > maxRecordBytes {
		return tooLarge(at, size, maxRecordBytes)
	}
	e.size = size + len(key)
	if e.explicit != "" {
		if e.hash, ok = parseHashKey(e.explicit); !ok {
			return &apiError{Status: 400, Code: "InvalidArgumentException", Message: "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. " +
				"Specified value was " + e.explicit}
		}
		return nil
	}
	sum := md5.Sum(key)
	e.hash = hashKey{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
	return nil
}

func tooLarge(at string, size, most int) *apiError {
	return invalid(at+"data", "["+strconv.Itoa(size)+" bytes]", "Member must have length less than or equal to "+strconv.Itoa(most))
}

// put stores the records of a request that their shards take, in one transaction, and marks the others as refused; so are those for whose
// index refuse, which may be nil, is true.
func (k *kinesis) put(request *putRequest, refuse func(int) bool) (*stream, *apiError) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.find(request.streamRef)
	if err != nil {
		return nil, err
	}
	for i := range request.entries {
		if e := &request.entries[i]; e.size > s.MaxRecord {
			return nil, tooLarge(fmt.Sprintf("records.%d.member.", i+1), e.size, s.MaxRecord)
		}
	}
	now := k.now()
	for _, sh := range s.open {
		sh.writer.reset(sh.next)
	}
	for i := range request.entries {
		e := &request.entries[i]
		sh := s.owner(e.hash)
		e.shard = sh
		if refuse != nil && refuse(i) || k.options.WriteLimits && !sh.writes.take(now, e.size) {
			e.refused = true
			continue
		}
		e.number = sequenceAt(sh.Created, sh.Index, sh.writer.next, now.Unix())
		k.text = e.append(k.text[:0], now)
		sh.writer.add(now, e.size, k.text)
	}
	failed := k.db.Update(func(tx *bbolt.Tx) error {
		if err := k.expire(tx, s, now); err != nil {
			return err
		}
		for _, sh := range s.open {
			if len(sh.writer.blocks) == 0 {
				continue
			}
			if err := sh.writer.store(records(tx, s.Name, sh.id)); err != nil {
				return err
			}
		}
		return nil
	})
	if failed != nil {
		return nil, internal("store records", failed)
	}
	for _, sh := range s.open {
		sh.next = sh.writer.next
	}
	return s, nil
}

// expire drops what is beyond the retention, at most once a minute.
func (k *kinesis) expire(tx *bbolt.Tx, s *stream, now time.Time) error {
	if now.Sub(s.expired) < time.Minute {
		return nil
	}
	s.expired = now
	dropped := false
	for _, sh := range s.Shards {
		end, err := dropBlocks(records(tx, s.Name, sh.id), func(b block) bool { return now.Sub(b.arrival()) > retention })
		if err != nil {
			return err
		}
		if end > sh.Trimmed {
			sh.Trimmed, dropped = end, true
		}
	}
	if !dropped {
		return nil
	}
	return save(tx, s)
}

// append appends the record as GetRecords answers it.
func (e *entry) append(dst []byte, arrival time.Time) []byte {
	dst = append(dst, `{"SequenceNumber":"`...)
	dst = e.number.append(dst)
	dst = append(dst, `","ApproximateArrivalTimestamp":`...)
	dst = appendSeconds(dst, arrival)
	dst = append(dst, `,"Data":"`...)
	dst = append(dst, e.data...)
	dst = append(dst, `","PartitionKey":"`...)
	dst = append(dst, e.key...)
	return append(dst, `"}`...)
}

// appendSeconds appends a time as the service writes it: seconds since 1970, with milliseconds.
func appendSeconds(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	dst = strconv.AppendInt(dst, ms/1000, 10)
	ms %= 1000
	return append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

// putRecords answers PutRecords.
func (k *kinesis) putRecords(body, dst []byte, refuse func(int) bool) ([]byte, *apiError) {
	request, err := parsePut(body, false)
	if err != nil {
		return nil, err
	}
	s, err := k.put(request, refuse)
	if err != nil {
		return nil, err
	}
	failed := 0
	dst = append(dst, `{"EncryptionType":"NONE","Records":[`...)
	for i := range request.entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		e := &request.entries[i]
		if e.refused {
			failed++
			dst = append(dst, `{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"`...)
			dst = append(dst, exceeded(s.Name, e.shard.id).Message...)
			dst = append(dst, `"}`...)
			continue
		}
		dst = e.appendPlace(dst)
	}
	dst = append(dst, `],"FailedRecordCount":`...)
	dst = strconv.AppendInt(dst, int64(failed), 10)
	return append(dst, '}'), nil
}

// putRecord answers PutRecord.
func (k *kinesis) putRecord(body, dst []byte, refuse func(int) bool) ([]byte, *apiError) {
	request, err := parsePut(body, true)
	if err != nil {
		return nil, err
	}
	s, err := k.put(request, refuse)
	if err != nil {
		return nil, err
	}
	e := &request.entries[0]
	if e.refused {
		return nil, exceeded(s.Name, e.shard.id)
	}
	return e.appendPlace(dst), nil
}

// appendPlace appends where a record was stored.
func (e *entry) appendPlace(dst []byte) []byte {
	dst = append(dst, `{"SequenceNumber":"`...)
	dst = e.number.append(dst)
	dst = append(dst, `","ShardId":"`...)
	dst = append(dst, e.shard.id...)
	return append(dst, `"}`...)
}
