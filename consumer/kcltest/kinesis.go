package kcltest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// What ARNs are made of. Requests may name any region and account: there is but one here.
const (
	account = "123456789012"
	region  = "us-east-1"
)

// kinesis is the stand-in for Kinesis. It is safe for concurrent use.
type kinesis struct {
	db      *bbolt.DB
	now     func() time.Time
	options Options

	mu      sync.RWMutex // readers of records share it
	streams map[string]*stream
	text    []byte // a record, while it is put
}

func newKinesis(db *bbolt.DB, options Options) (*kinesis, error) {
	k := &kinesis{db: db, now: options.Now, options: options}
	err := db.Update(func(tx *bbolt.Tx) (err error) {
		for _, name := range [][]byte{streamsBucket, recordsBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		k.streams, err = load(tx)
		return err
	})
	return k, err
}

// call runs an operation and appends its answer to dst. refuse, which may be nil, says which records of a put fail.
func (k *kinesis) call(operation string, body, dst []byte, refuse func(int) bool) ([]byte, *apiError) {
	var answer any
	var err *apiError
	switch operation {
	case "PutRecords":
		return k.putRecords(body, dst, refuse)
	case "PutRecord":
		return k.putRecord(body, dst, refuse)
	case "GetRecords":
		return k.getRecords(body, dst)
	case "GetShardIterator":
		answer, err = decoded(body, k.getShardIterator)
	case "ListShards":
		answer, err = decoded(body, k.listShards)
	case "SplitShard":
		answer, err = decoded(body, k.splitShard)
	case "MergeShards":
		answer, err = decoded(body, k.mergeShards)
	case "CreateStream":
		answer, err = decoded(body, k.createStream)
	case "DeleteStream":
		answer, err = decoded(body, k.deleteStream)
	case "DescribeStream":
		answer, err = decoded(body, k.describeStream)
	case "DescribeStreamSummary":
		answer, err = decoded(body, k.describeStreamSummary)
	case "ListStreams":
		answer, err = decoded(body, k.listStreams)
	default:
		err = &apiError{Status: 400, Code: "UnknownOperationException", Message: "kcltest serves no Kinesis operation " + operation}
	}
	if err != nil || answer == nil {
		return dst, err
	}
	text, failed := json.Marshal(answer)
	if failed != nil {
		return nil, internal("encode the answer", failed)
	}
	return append(dst, text...), nil
}

func decode(body []byte, in any) *apiError {
	if err := json.Unmarshal(body, in); err != nil {
		return &apiError{Status: 400, Code: "SerializationException", Message: err.Error()}
	}
	return nil
}

func decoded[In any](body []byte, operation func(*In) (any, *apiError)) (any, *apiError) {
	in := new(In)
	if err := decode(body, in); err != nil {
		return nil, err
	}
	return operation(in)
}

// The errors of the service, in its words where they are known.

func invalid(field, value, constraint string) *apiError {
	return &apiError{Status: 400, Code: "ValidationException",
		Message: fmt.Sprintf("1 validation error detected: Value %s at '%s' failed to satisfy constraint: %s", value, field, constraint)}
}

func badArgument(format string, args ...any) *apiError {
	return &apiError{Status: 400, Code: "InvalidArgumentException", Message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *apiError {
	return &apiError{Status: 400, Code: "ResourceNotFoundException", Message: fmt.Sprintf(format, args...)}
}

func exceeded(stream, shard string) *apiError {
	return &apiError{Status: 400, Code: "ProvisionedThroughputExceededException",
		Message: fmt.Sprintf("Rate exceeded for shard %s in stream %s under account %s.", shard, stream, account)}
}

func internal(doing string, err error) *apiError {
	return &apiError{Status: 500, Code: "InternalFailure", Message: "kcltest: " + doing + ": " + err.Error()}
}

// streamRef names a stream: by either, the ARN where both are given.
type streamRef struct{ StreamName, StreamARN string }

var streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

func (r streamRef) name() (string, *apiError) {
	name := r.StreamName
	if r.StreamARN != "" {
		_, after, ok := strings.Cut(r.StreamARN, ":stream/")
		if !ok || !strings.HasPrefix(r.StreamARN, "arn:aws") {
			return "", invalid("streamARN", "'"+r.StreamARN+"'", `Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+`)
		}
		name = after
	}
	if !streamName.MatchString(name) {
		return "", invalid("streamName", "'"+name+"'", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+ and have length between 1 and 128")
	}
	return name, nil
}

// find returns the stream that r names. Caller holds k.mu.
func (k *kinesis) find(r streamRef) (*stream, *apiError) {
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	s := k.streams[name]
	if s == nil {
		return nil, notFound("Stream %s under account %s not found.", name, account)
	}
	return s, nil
}

type createStreamInput struct {
	streamRef
	ShardCount         *int
	MaxRecordSizeInKiB *int
	StreamModeDetails  *struct{ StreamMode string }
}

// createStream makes a stream, which is active at once: the service takes about ten seconds.
func (k *kinesis) createStream(in *createStreamInput) (any, *apiError) {
	name, err := in.name()
	if err != nil {
		return nil, err
	}
	s := &stream{Name: name, MaxRecord: defaultMaxRecord}
	s.OnDemand = in.StreamModeDetails != nil && in.StreamModeDetails.StreamMode == "ON_DEMAND"
	count := 4 // what a stream on demand begins with
	if !s.OnDemand {
		if in.ShardCount == nil {
			return nil, invalid("shardCount", "null", "Member must not be null")
		}
		if count = *in.ShardCount; count < 1 || count > 10_000 {
			return nil, invalid("shardCount", fmt.Sprint(count), "Member must have value between 1 and 10000, inclusive")
		}
	}
	if in.MaxRecordSizeInKiB != nil {
		if s.MaxRecord = *in.MaxRecordSizeInKiB << 10; s.MaxRecord < defaultMaxRecord || s.MaxRecord > maxRecordBytes {
			return nil, invalid("maxRecordSizeInKiB", fmt.Sprint(*in.MaxRecordSizeInKiB), "Member must have value between 1024 and 10240, inclusive")
		}
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if k.streams[name] != nil {
		return nil, &apiError{Status: 400, Code: "ResourceInUseException", Message: fmt.Sprintf("Stream %s under account %s already exists.", name, account)}
	}
	s.Created = k.now().Truncate(time.Millisecond)
	starts := boundaries(count)
	for i, start := range starts {
		s.add(s.Created, start, starts[(i+1)%count].minusOne()) // before 0 is the largest
	}
	return nil, k.reshard(s, func(*stream) {})
}

// reshard stores a stream after change, and only then shows it changed. Caller holds k.mu.
func (k *kinesis) reshard(s *stream, change func(*stream)) *apiError {
	changed := *s
	changed.open = nil
	changed.Shards = make([]*shard, len(s.Shards))
	for i, sh := range s.Shards {
		same := *sh
		changed.Shards[i] = &same
	}
	change(&changed)
	changed.prepare()
	if err := k.db.Update(func(tx *bbolt.Tx) error { return save(tx, &changed) }); err != nil {
		return internal("store the stream", err)
	}
	k.streams[s.Name] = &changed
	return nil
}

func (k *kinesis) deleteStream(in *streamRef) (any, *apiError) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.find(*in)
	if err != nil {
		return nil, err
	}
	failed := k.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(streamsBucket).Delete([]byte(s.Name)); err != nil {
			return err
		}
		return tx.Bucket(recordsBucket).DeleteBucket([]byte(s.Name))
	})
	if failed != nil {
		return nil, internal("delete the stream", failed)
	}
	delete(k.streams, s.Name)
	return nil, nil
}

// description is what DescribeStream and DescribeStreamSummary have in common.
type description struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       map[string]string
	StreamCreationTimestamp seconds
	RetentionPeriodHours    int
	EncryptionType          string
	EnhancedMonitoring      []map[string][]string
}

func (s *stream) description() description {
	mode := "PROVISIONED"
	if s.OnDemand {
		mode = "ON_DEMAND"
	}
	return description{
		StreamName:              s.Name,
		StreamARN:               "arn:aws:kinesis:" + region + ":" + account + ":stream/" + s.Name,
		StreamStatus:            "ACTIVE",
		StreamModeDetails:       map[string]string{"StreamMode": mode},
		StreamCreationTimestamp: secondsOf(s.Created),
		RetentionPeriodHours:    int(retention.Hours()),
		EncryptionType:          "NONE",
		EnhancedMonitoring:      []map[string][]string{{"ShardLevelMetrics": {}}},
	}
}

type describeStreamInput struct {
	streamRef
	ExclusiveStartShardId string
	Limit                 *int
}

type describeStreamOutput struct {
	StreamDescription struct {
		description
		Shards        []shardOutput
		HasMoreShards bool
	}
}

func (k *kinesis) describeStream(in *describeStreamInput) (any, *apiError) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	most := 100
	if in.Limit != nil {
		if most = *in.Limit; most < 1 || most > 10_000 {
			return nil, invalid("limit", fmt.Sprint(most), "Member must have value between 1 and 10000, inclusive")
		}
	}
	out := describeStreamOutput{}
	d := &out.StreamDescription
	d.description, d.Shards = s.description(), []shardOutput{}
	for _, sh := range s.Shards {
		if sh.id <= in.ExclusiveStartShardId {
			continue
		}
		if d.HasMoreShards = len(d.Shards) == most; d.HasMoreShards {
			break
		}
		d.Shards = append(d.Shards, sh.output())
	}
	return out, nil
}

type describeStreamSummaryOutput struct {
	StreamDescriptionSummary struct {
		description
		OpenShardCount     int
		ConsumerCount      int
		MaxRecordSizeInKiB int
	}
}

func (k *kinesis) describeStreamSummary(in *streamRef) (any, *apiError) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	s, err := k.find(*in)
	if err != nil {
		return nil, err
	}
	out := describeStreamSummaryOutput{}
	out.StreamDescriptionSummary.description = s.description()
	out.StreamDescriptionSummary.OpenShardCount = len(s.open)
	out.StreamDescriptionSummary.MaxRecordSizeInKiB = s.MaxRecord >> 10
	return out, nil
}

type listStreamsInput struct {
	ExclusiveStartStreamName string
	NextToken                string // the last name of the page before
	Limit                    *int
}

type listStreamsOutput struct {
	StreamNames     []string
	StreamSummaries []description
	HasMoreStreams  bool
	NextToken       string `json:",omitempty"`
}

func (k *kinesis) listStreams(in *listStreamsInput) (any, *apiError) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	most := 100
	if in.Limit != nil {
		if most = *in.Limit; most < 1 || most > 10_000 {
			return nil, invalid("limit", fmt.Sprint(most), "Member must have value between 1 and 10000, inclusive")
		}
	}
	names := []string{}
	for name := range k.streams {
		if name > max(in.ExclusiveStartStreamName, in.NextToken) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := listStreamsOutput{StreamNames: names[:min(most, len(names))], StreamSummaries: []description{}}
	if out.HasMoreStreams = len(names) > most; out.HasMoreStreams {
		out.NextToken = names[most-1]
	}
	for _, name := range out.StreamNames {
		out.StreamSummaries = append(out.StreamSummaries, k.streams[name].description())
	}
	return out, nil
}

// trim drops the records of a shard before a sequence number, or all it has where that is empty.
func (k *kinesis) trim(streamName, shardID, before string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.find(streamRef{StreamName: streamName})
	if err != nil {
		return err
	}
	sh := s.shard(shardID)
	if sh == nil {
		return fmt.Errorf("stream %s has no shard %s", streamName, shardID)
	}
	position := sh.next
	if before != "" {
		number, ok := parseSequence(before)
		if !ok || number.index() != sh.Index || number.created() != sh.Created {
			return fmt.Errorf("%s is no sequence number of %s", before, shardID)
		}
		position = min(position, number.position())
	}
	if position <= sh.Trimmed {
		return nil
	}
	trimmed := sh.Trimmed
	sh.Trimmed = position
	failed := k.db.Update(func(tx *bbolt.Tx) error {
		if _, err := dropBlocks(records(tx, s.Name, sh.id), func(b block) bool { return b.end() <= position }); err != nil {
			return err
		}
		return save(tx, s)
	})
	if failed != nil {
		sh.Trimmed = trimmed
	}
	return failed
}
