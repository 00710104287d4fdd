package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-etl/sluice/transform"
)

func apacheSchema(t *testing.T, logFormat string) *transform.Schema {
	t.Helper()
	s, err := transform.ApacheSchema(logFormat, false, Reserved()...)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// identities tells where rows and rejects come from, as seq/sub.
func identities(rows []row, rejects []reject) (ofRows, ofRejects string) {
	var a, b []string
	for _, r := range rows {
		a = append(a, fmt.Sprintf("%s/%v", strings.TrimLeft(r["ingest_seq"].(string), "0"), r["ingest_sub"]))
	}
	for _, r := range rejects {
		b = append(b, fmt.Sprintf("%s/%v", strings.TrimLeft(r.SequenceNumber, "0"), r.SubSequenceNumber))
	}
	return strings.Join(a, " "), strings.Join(b, " ")
}

func TestAccessLog(t *testing.T) {
	l := newLab(t, func(c *Config, _ *fakeShard) { c.Schema = apacheSchema(t, "kdg") })
	line := `10.0.0.1 - Ada [25/Nov/2026:19:07:33 +0000] "GET /list" 404 7`
	l.give(l.record(line), l.record(line+"\n"+line+"\nnonsense\n"+line, line), l.record(""), l.record(strings.Replace(line, "404", "abc", 1)))
	l.stop()
	rows, rejects := read(t, l.shard.batches)
	ofRows, ofRejects := identities(rows, rejects)
	if ofRows != "/0 1/0 1/1 1/3 1/4 3/0" || ofRejects != "1/2 2/0" || rejects[0].ErrorCode != transform.CodeNoMatch {
		t.Errorf("rows %s, rejects %s: %v", ofRows, ofRejects, rejects)
	}
	if r := rows[0]; r["client_ip"] != "10.0.0.1" || r["status"] != int64(404) || r["client_request"] != "GET" || r["version"] != nil {
		t.Errorf("row %v", r)
	}
	if r := rows[5]; r["status"] != nil || r["rescued"] != `{"status":"abc"}` {
		t.Errorf("row %v", r)
	}
}

// The worker that has seen the header tells the others of it.
func TestHeaderIsAgreedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents := &documents{text: map[string]string{}}
		csv := func(c *Config, s *fakeShard) {
			s.documents = documents
			c.NewDetector = func(reserved ...string) Detector {
				return transform.NewHeaderDetector(transform.FormatCSV, reserved...)
			}
		}
		first := newLab(t, csv)
		first.give(first.record("id,name\n"))
		time.Sleep(time.Minute)
		first.give(first.record("1,a\n2,b,more\n"), first.record("id,name\n3,\"c\nd\""))
		first.stop()
		rows, rejects := read(t, first.shard.batches)
		ofRows, ofRejects := identities(rows, rejects)
		if ofRows != "1/0 1/1 2/0" || ofRejects != "/0" || rejects[0].ErrorCode != transform.CodeHeader {
			t.Errorf("rows %s, rejects %s: %v", ofRows, ofRejects, rejects)
		}
		if rows[1]["rescued"] != `{"3":"more"}` || rows[2]["id"] != int64(3) || rows[2]["name"] != "c\nd" {
			t.Errorf("rows %v", rows)
		}
		second := newLab(t, csv)
		second.give(second.record("4,e"))
		second.stop()
		if rows, _ := read(t, second.shard.batches); len(rows) != 1 || rows[0]["id"] != int64(4) || rows[0]["name"] != "e" {
			t.Errorf("the second worker wrote %v", rows)
		}
	})
}

func TestLogFormatIsFound(t *testing.T) {
	l := newLab(t, func(c *Config, _ *fakeShard) {
		c.NewDetector = func(reserved ...string) Detector { return transform.NewLogDetector(false, reserved...) }
	})
	l.give(l.record("nonsense\n" + `::1 - - [25/Nov/2026:19:07:33 +0000] "GET / HTTP/1.1" 200 7`))
	l.stop()
	rows, rejects := read(t, l.shard.batches)
	if len(rows) != 1 || len(rejects) != 1 || rows[0]["version"] != "HTTP/1.1" {
		t.Errorf("rows %v, rejects %v", rows, rejects)
	}
	if text := l.shard.documents.text[schemaDocument]; !strings.HasPrefix(text, `{"version":1,"format":"apache","log_format":"common","fields":[`) {
		t.Errorf("agreed on %s", text)
	}
}

// Records of a format on which the workers have not agreed would all be rejected.
func TestAnotherFormatIsRefused(t *testing.T) {
	raw := transform.RawSchema()
	columns := *apacheSchema(t, "common")
	columns.Fields = columns.Fields[1:]
	for name, tt := range map[string]struct {
		schema  *transform.Schema
		refused bool
	}{
		"the same":           {apacheSchema(t, "common"), false},
		"other columns":      {&columns, false},
		"another log format": {apacheSchema(t, "combined"), true},
		"another format":     {&raw, true},
		"JSON":               {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			documents := &documents{text: map[string]string{}}
			first := newLab(t, func(c *Config, s *fakeShard) { s.documents, c.Schema = documents, apacheSchema(t, "common") })
			first.stop()
			second := newLab(t, func(c *Config, s *fakeShard) { s.documents, c.Schema = documents, tt.schema })
			close(second.shard.stopping)
			if err := <-second.done; (err != nil) != tt.refused {
				t.Errorf("ended with %v", err)
			}
		})
	}
}
