package check

import (
	"bytes"
	"fmt"
	"time"
)

// Report is what Exact counted.
type Report struct {
	Acknowledged   int // entries of the ledger
	Rows, Rejects  int // visible
	Unacknowledged int // rows and rejects of records that the ledger does not have
	Objects        int
	Commits        int
	Flagged        int // rows with anomaly = true
}

// audit is one run of Exact.
type audit struct {
	output Output
	ledger *Ledger
	shards names // beyond those of the ledger
	seen   []bool
	others map[identity]bool
	report Report
	wrong  differences

	// The commit that is being read, and where the one before it ended.
	commit   object
	last     position
	empty    bool
	previous position
}

// Exact checks, for everything that lies in the bucket:
//
//   - each entry of the ledger is in exactly one row or reject, and whatever else the stream holds in at most one;
//   - a payload that is a record is a row with its values, every other one is a reject with its bytes;
//   - each object is below the prefix that its rows' arrival gives, and holds rows of one shard in their order;
//   - what arrived did so after it was put and before that was acknowledged, where the ledger says when;
//   - the commits of a shard follow one another: each number belongs to one epoch, and each begins after the one before it ended;
//   - there is no foreign object;
//   - the records of a partition key were acknowledged in the order of their sequence numbers.
//
// The service must not be running.
func (o Output) Exact(l *Ledger, read Rows) (Report, error) {
	objects, err := o.all()
	if err != nil {
		return Report{}, err
	}
	a := &audit{output: o, ledger: l, seen: make([]bool, l.Len()), others: map[identity]bool{}, empty: true}
	a.report.Acknowledged, a.report.Objects = l.Len(), len(objects)
	for _, object := range objects {
		a.begin(object)
		if object.rows {
			err = a.rows(object, read)
		} else {
			err = a.rejects(object)
		}
		if err != nil {
			return a.report, err
		}
	}
	for i, seen := range a.seen {
		if !seen {
			id := l.entries[i].identity
			a.wrong.add("missing: entry %d, shard %s sub %d: %s", i, l.shards.texts[id.shard], id.sub, clip(fmt.Sprintf("%q", l.Payload(i))))
		}
	}
	if err := a.wrong.err("the ledger against the objects"); err != nil {
		return a.report, err
	}
	return a.report, l.Order()
}

// begin tells the commits of a shard apart. Objects come by shard, epoch and commit.
func (a *audit) begin(next object) {
	now := a.commit
	if now.path != "" && next.shard == now.shard && next.epoch == now.epoch && next.commit == now.commit {
		return
	}
	if next.shard != now.shard {
		a.previous = position{}
	} else if !a.empty {
		a.previous = a.last
	}
	if now.path != "" && next.shard == now.shard && next.commit <= now.commit {
		a.wrong.add("%s: commit %d comes after commit %d of epoch %d", next.key, next.commit, now.commit, now.epoch)
	}
	a.commit, a.empty = next, true
	a.report.Commits++
}

// within extends the range of the current commit.
func (a *audit) within(key string, p position) {
	if p.compare(a.previous) <= 0 {
		a.wrong.add("%s: holds a record that is not after the commit before", key)
	}
	if p.seq == a.previous.seq {
		a.wrong.add("%s: a Kinesis record is divided among two commits", key)
	}
	if a.empty || p.compare(a.last) > 0 {
		a.last = p
	}
	a.empty = false
}

func (a *audit) rows(o object, read Rows) error {
	var at [4]int // ingest_shard, ingest_seq, ingest_sub, ingest_time
	flag := -1
	count := 0
	var before position
	for row, err := range read(o.path) {
		if err != nil {
			return err
		}
		if count == 0 {
			if at, flag, err = systemColumns(row.Columns); err != nil {
				return fmt.Errorf("%s: %w", o.key, err)
			}
		}
		shard, ok1 := row.Values[at[0]].(string)
		seq, ok2 := row.Values[at[1]].(string)
		sub, ok3 := row.Values[at[2]].(int64)
		arrival, ok4 := row.Values[at[3]].(time.Time)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			a.wrong.add("%s: row %d has no identity: %v", o.key, count, row.Values)
			continue
		}
		id, ok := a.identify(o, shard, seq, int32(sub))
		if !ok {
			continue
		}
		if count > 0 && id.compare(before) <= 0 {
			a.wrong.add("%s: row %d (%s sub %d) is not after the row before", o.key, count, seq, sub)
		}
		before = id.position
		if want := render(a.output.Prefix, arrival, ""); want != o.prefix {
			a.wrong.add("%s: row %d arrived %s and belongs to %s", o.key, count, arrival.Format(time.RFC3339Nano), want)
		}
		if entry, ok := a.mark(o, id); ok {
			a.arrival(o, entry, arrival)
			payload := a.ledger.Payload(entry)
			differ := func(format string, args ...any) {
				a.wrong.add("%s: row %d (%s sub %d): %s", o.key, count, seq, sub, fmt.Sprintf(format, args...))
			}
			if !isRecord(payload) || a.ledger.entries[entry].rejected {
				differ("a row of what is no record: %s", clip(fmt.Sprintf("%q", payload)))
			} else {
				compareValues(row, payload, differ)
			}
		}
		if row.Values[flag] == true {
			a.report.Flagged++
		}
		count++
	}
	if count == 0 {
		a.wrong.add("%s: there is no row in it", o.key)
	}
	a.report.Rows += count
	return nil
}

// systemColumns finds the columns of a row's identity, and that of its flag.
func systemColumns(columns []Column) (at [4]int, flag int, err error) {
	places := map[Column]int{}
	for i, c := range columns {
		places[c] = i
	}
	need := []Column{{"ingest_shard", Text}, {"ingest_seq", Text}, {"ingest_sub", Integer}, {"ingest_time", Timestamp}, {"anomaly", Boolean}}
	for i, c := range need {
		place, ok := places[c]
		if !ok {
			return at, 0, fmt.Errorf("there is no column %s of type %s", c.Name, c.Type)
		}
		if i < len(at) {
			at[i] = place
		} else {
			flag = place
		}
	}
	return at, flag, nil
}

func (a *audit) rejects(o object) error {
	count := 0
	for r, err := range rejects(o.path) {
		if err != nil {
			return err
		}
		id, ok := a.identify(o, r.Shard, r.Seq, r.Sub)
		if !ok {
			continue
		}
		unfit := a.output.Unfit != nil && a.output.Unfit(r.Raw)
		kind := "processing-failed"
		if unfit {
			kind = "format-conversion-failed"
		}
		if want := render(a.output.ErrorPrefix, r.arrival(), kind); want != o.prefix {
			a.wrong.add("%s: line %d arrived %s and belongs to %s", o.key, count, r.arrival().UTC().Format(time.RFC3339Nano), want)
		}
		if entry, ok := a.mark(o, id); ok {
			a.arrival(o, entry, r.arrival())
			payload := a.ledger.Payload(entry)
			if isRecord(payload) && !unfit {
				a.wrong.add("%s: line %d (%s: %s) rejects a record: %s", o.key, count, r.Code, r.Message, clip(string(payload)))
			}
			if !bytes.Equal(r.Raw, payload) && !bytes.Equal(trim(r.Raw), trim(payload)) {
				a.wrong.add("%s: line %d holds other bytes than came: %q, %q", o.key, count, clip(string(r.Raw)), clip(string(payload)))
			}
		}
		count++
	}
	if count == 0 {
		a.wrong.add("%s: there is no reject in it", o.key)
	}
	a.report.Rejects += count
	return nil
}

// identify reads the identity of a row or reject; it must be of the object's shard and commit.
func (a *audit) identify(o object, shard, seq string, sub int32) (identity, bool) {
	number, err := ShardNumber(shard)
	if err == nil && number != o.shard {
		err = fmt.Errorf("holds a record of %s", shard)
	}
	if err != nil {
		a.wrong.add("%s: %v", o.key, err)
		return identity{}, false
	}
	s, err := parseSequence(seq)
	if err != nil {
		a.wrong.add("%s: %v", o.key, err)
		return identity{}, false
	}
	id := identity{position{s, sub}, a.ledger.shards.find(shard)}
	if id.shard == none { // beyond those of the ledger
		id.shard = -2 - a.shards.number(shard)
	}
	a.within(o.key, id.position)
	return id, true
}

// arrival holds the time at which a record arrived, which gives its partition, against what the producer knows of it.
func (a *audit) arrival(o object, entry int, at time.Time) {
	if e := &a.ledger.entries[entry]; !e.arrived(at) {
		a.wrong.add("%s: a record that was put between %s and %s has arrived at %s", o.key,
			time.UnixMilli(e.put).UTC().Format(time.RFC3339Nano), time.UnixMilli(e.acked).UTC().Format(time.RFC3339Nano), at.UTC().Format(time.RFC3339Nano))
	}
}

// mark notes that a record is visible, and finds its entry, if it was acknowledged.
func (a *audit) mark(o object, id identity) (entry int, ok bool) {
	i, ok := a.ledger.index[id]
	twice := ok && a.seen[i] || a.others[id]
	switch {
	case twice:
		a.wrong.add("%s: twice: shard %d, sub %d", o.key, o.shard, id.sub)
	case ok:
		a.seen[i] = true
	default:
		a.others[id] = true
		a.report.Unacknowledged++
	}
	return int(i), ok
}
