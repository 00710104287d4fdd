package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/transform"
)

var discard = slog.New(slog.DiscardHandler)

// together is what shares the documents of other labs.
func together(d *documents) func(*Config, *fakeShard) {
	return func(_ *Config, s *fakeShard) { s.documents = d }
}

func (d *documents) schema(t *testing.T) transform.Schema {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var s transform.Schema
	if err := json.Unmarshal([]byte(d.text[schemaDocument]), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// columnsOf are the record's columns of a schema, as name:type@version.
func columnsOf(s transform.Schema) string {
	var words []string
	for _, f := range s.Fields {
		words = append(words, fmt.Sprintf("%s:%s@%d", f.Name, f.Type, f.Added))
	}
	return strings.Join(words, " ")
}

func (l *lab) many(n int, payload string) {
	var records []consumer.Record
	for range n {
		records = append(records, l.record(payload))
	}
	l.give(records...)
}

// A key that comes often becomes a column at the end of the batch, of this worker and then of the other, which never saw it
// often; the detectors go on.
func TestColumnsAreAddedWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &documents{text: map[string]string{}}
		one, two := newLab(t, together(d), byKey(1000)), newLab(t, together(d), byKey(1000))
		one.many(sampleRecords, `{"ip":"a"}`)
		two.many(1, `{"ip":"a"}`)
		one.many(50, `{"ip":"a","New":1}`)
		two.many(3, `{"ip":"a","new":2}`)
		time.Sleep(time.Minute + time.Second)
		one.many(5, `{"ip":"a","new":3}`)
		two.many(5, `{"ip":"a","New":4,"ip2":1}`)
		time.Sleep(2 * time.Minute)
		two.many(5, `{"ip":"a","NEW":5}`)
		one.stop()
		two.stop()
		if got, want := columnsOf(d.schema(t)), "ip:string@0 new:int64@2"; got != want {
			t.Fatalf("the schema is %s; want %s", got, want)
		}
		held, rescued := map[int64]int{}, 0
		for _, l := range []*lab{one, two} {
			rows, _ := read(t, l.shard.batches)
			for _, r := range rows {
				if n, ok := r["new"].(int64); ok {
					held[n]++
				}
				if r["rescued"] != nil {
					rescued++
				}
			}
			if last := l.shard.batches[len(l.shard.batches)-1]; last.Schema != 2 || len(last.State) == 0 {
				t.Errorf("the last batch has the schema %d and %d bytes of state", last.Schema, len(last.State))
			}
		}
		// The second worker looks at the end of a batch, and goes over with the one after it, which may be that of its 4: ip2 is rescued either way.
		if held[3] != 5 || held[5] != 5 || held[1]+held[2] != 0 || held[4] != 0 && held[4] != 5 || rescued != 50+3+5 {
			t.Errorf("the new column holds %v, and %d rows have something rescued", held, rescued)
		}
		rows, _ := read(t, one.shard.batches)
		before, after := rows[sampleRecords+49], rows[len(rows)-1]
		if before["anomaly_samples"] == nil || after["anomaly_samples"].(int64) < before["anomaly_samples"].(int64) {
			t.Errorf("the detector knew %v samples, and then %v: it began anew", before["anomaly_samples"], after["anomaly_samples"])
		}
	})
}

// Of two workers that add at once, the second finds what the first added, and adds the rest.
func TestTwoAddAtOnce(t *testing.T) {
	d := &documents{text: map[string]string{schemaDocument: `{"version":1,"fields":[{"name":"a","type":"int64","source":"a"}]}`}}
	other := transform.Field{Field: columns.Field{Name: "b", Type: columns.Double, Required: false}, Source: "B", Added: 2}
	late := &lateShard{fakeShard: fakeShard{documents: d}, before: func() {
		s := d.schema(t)
		s.Version, s.Fields = 2, append(s.Fields, other)
		text, _ := json.Marshal(s)
		d.text[schemaDocument] = string(text)
	}}
	p := &Pipeline{cfg: Config{Log: discard}}
	was, err := p.schema(t.Context(), late, transform.NewDetector())
	if err != nil {
		t.Fatal(err)
	}
	now, err := p.newer(t.Context(), late, was, []transform.Field{
		{Field: columns.Field{Type: columns.String}, Source: "b"}, {Field: columns.Field{Type: columns.Boolean}, Source: "c"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := columnsOf(*now), "a:int64@0 b:double@2 c:boolean@3"; got != want || columnsOf(d.schema(t)) != want || now.Version != 3 {
		t.Errorf("version %d of the schema is %s, and in the table %s; want %s", now.Version, got, columnsOf(d.schema(t)), want)
	}
	if again, err := p.newer(t.Context(), late, now, nil); again != nil || err != nil {
		t.Errorf("there is something newer than the newest: %v, %v", again, err)
	}
}

// lateShard is one before whose first amendment something happens.
type lateShard struct {
	fakeShard
	before func()
}

func (s *lateShard) Amend(ctx context.Context, name, old, body string) (string, error) {
	if s.before != nil {
		s.before()
		s.before = nil
	}
	return s.fakeShard.Amend(ctx, name, old, body)
}

// Declared columns join those that are agreed on; what is declared otherwise than it was is an error at the start.
func TestDeclaredColumns(t *testing.T) {
	const agreed = `{"version":1,"fields":[{"name":"id","type":"int64","source":"ID"},{"name":"x","type":"string","source":"x"}]}`
	for name, test := range map[string]struct {
		format, agreed, declared, want, fault string
	}{
		"the same":          {declared: `{"name":"id","type":"int64"},{"name":"x"}`, want: "id:int64@0 x:string@0"},
		"an older file":     {declared: `{"name":"id","type":"int64"}`, want: "id:int64@0 x:string@0"},
		"a new column":      {declared: `{"name":"new","type":"double"},{"name":"id","type":"int64"}`, want: "id:int64@0 x:string@0 new:double@2"},
		"another type":      {declared: `{"name":"id","type":"double"}`, fault: `the column id is declared as double of the source "id", and was int64`},
		"another source":    {declared: `{"name":"id","type":"int64","source":"key"}`, fault: "a column never changes"},
		"a renamed column":  {declared: `{"name":"y","source":"x"}`, fault: `which is that of the column x already`},
		"CSV: at the end":   {format: "csv", declared: `{"name":"id","type":"int64","source":"ID"},{"name":"x"},{"name":"y"}`, want: "id:int64@0 x:string@0 y:string@2"},
		"CSV: between":      {format: "csv", declared: `{"name":"id","type":"int64","source":"ID"},{"name":"y"},{"name":"x"}`, fault: "column 2 is y, and was x"},
		"unreadable":        {agreed: `{"version":1,"fields":[{"name":"id","type":"shape"}]}`, declared: `{"name":"id"}`, fault: "no such column type"},
		"a changed format":  {format: "tsv", agreed: agreed, declared: `{"name":"id"}`, fault: `has a schema for the format "json", and the configuration says the format "tsv"`},
		"nothing agreed on": {agreed: " ", declared: `{"name":"id"}`, want: "id:string@0"},
	} {
		t.Run(name, func(t *testing.T) {
			declared, err := transform.ParseSchema([]byte(`{"fields":[`+test.declared+`]}`), Reserved()...)
			if err != nil {
				t.Fatal(err)
			}
			declared.Format = test.format
			text := strings.TrimSpace(test.agreed)
			if test.agreed == "" {
				text = strings.Replace(agreed, `"version":1`, `"version":1,"format":"`+test.format+`"`, 1)
			}
			d := &documents{text: map[string]string{schemaDocument: text}}
			p := &Pipeline{cfg: Config{Log: discard, Schema: &declared}}
			got, err := p.schema(t.Context(), &fakeShard{documents: d}, nil)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Fatalf("the error is %v; want %q", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if columnsOf(*got) != test.want || columnsOf(d.schema(t)) != test.want {
				t.Errorf("the schema is %s, in the table %s; want %s", columnsOf(*got), columnsOf(d.schema(t)), test.want)
			}
		})
	}
}

// What others made of the item is never taken for what it is not.
func TestTheItemChangesWhileRunning(t *testing.T) {
	const v1 = `{"version":1,"fields":[{"name":"a","type":"int64","source":"a"}]}`
	for name, test := range map[string]struct{ becomes, version, fault string }{
		"nothing":                    {becomes: v1, version: "1"},
		"deleted":                    {becomes: "", version: "1"},
		"a newer version":            {becomes: `{"version":2,"fields":[{"name":"a","type":"int64","source":"a"},{"name":"b","type":"string","source":"b","added":2}]}`, version: "2"},
		"of a newer release":         {becomes: `{"version":2,"fields":[{"name":"a","type":"int64","source":"a"},{"name":"b","type":"shape","source":"b","added":2}]}`, version: "1"},
		"with another type":          {becomes: `{"version":2,"fields":[{"name":"a","type":"double","source":"a"}]}`, fault: "it only grows"},
		"in another order":           {becomes: `{"version":2,"fields":[{"name":"b","type":"string","source":"b"},{"name":"a","type":"int64","source":"a"}]}`, fault: "it only grows"},
		"made anew, of an other one": {becomes: `{"version":1,"fields":[{"name":"z","type":"int64","source":"z"}]}`, fault: "it only grows"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &documents{text: map[string]string{schemaDocument: v1}}
			s := &fakeShard{documents: d}
			p := &Pipeline{cfg: Config{Log: discard}}
			was, err := p.schema(t.Context(), s, transform.NewDetector())
			if err != nil {
				t.Fatal(err)
			}
			d.text[schemaDocument] = test.becomes
			if early, err := p.newer(t.Context(), s, was, nil); early != nil || err != nil {
				t.Errorf("it was looked at the table before %v had passed: %v, %v", lookInterval, early, err)
			}
			p.agreed.looked = time.Now().Add(-lookInterval)
			now, err := p.newer(t.Context(), s, was, nil)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Fatalf("the error is %v; want %q", err, test.fault)
				}
				return
			}
			if now == nil {
				now = was
			}
			if err != nil || fmt.Sprint(now.Version) != test.version || d.text[schemaDocument] == "" {
				t.Errorf("the version is %d, the error %v, the item %q", now.Version, err, d.text[schemaDocument])
			}
		})
	}
}

// Keys that never come again get no column, however many there are.
func TestRandomKeysGetNoColumn(t *testing.T) {
	l := newLab(t, func(c *Config, _ *fakeShard) { c.FlushBytes = 64 << 10 })
	l.many(sampleRecords, `{"a":1}`)
	for i := range 5000 {
		l.give(l.record(fmt.Sprintf(`{"a":1,"id%d":1,"user%d":{}}`, i, i%200)))
	}
	l.stop()
	if got := columnsOf(l.shard.schema(t)); got != "a:int64@0" || len(l.shard.batches) < 5 {
		t.Errorf("the schema is %s after %d batches", got, len(l.shard.batches))
	}
}
