package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/transform"
	"github.com/sluice-etl/sluice/transform/enrich"
)

// steps parses a list of steps, with a key for hash.
func steps(t testing.TB, list string) enrich.Plan {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, bytes.Repeat([]byte("0123456789abcdef"), 2), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := enrich.ReadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	plan, faults := enrich.Parse(list, enrich.Resources{Key: key, Reserved: Reserved()})
	if len(faults) > 0 {
		t.Fatal(errors.Join(faults...))
	}
	return *plan
}

func declared(t testing.TB, fields string) *transform.Schema {
	t.Helper()
	s, err := transform.ParseSchema([]byte(`{"fields":[`+fields+`]}`), Reserved()...)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// Nothing of what is hashed or dropped reaches a file or a snapshot, whatever its type, and in whatever case its key comes; the
// detectors know columns that were added.
func TestHiddenColumnsAreNowhere(t *testing.T) {
	l := newLab(t, func(c *Config, _ *fakeShard) {
		c.Schema = declared(t, `{"name":"id","type":"int64"},{"name":"ip"},{"name":"email"},{"name":"token","type":"int64"}`)
		c.Enrich = steps(t, "network(ip), hash(email), drop(ip), drop(token)")
		minimum := int64(1)
		c.Detectors = []anomaly.Settings{{Name: "net", Kind: "rate", Key: []string{"ip_network"}, Window: 5 * time.Minute, MinCount: &minimum}}
	})
	for i := range 300 {
		l.give(l.record(fmt.Sprintf(`{"id":%d,"ip":"10.%d.%d.77","email":"secret-%d@example.com","token":77700}`, i, i/200, i%200, i)))
		for range 2 {
			l.give(l.record(fmt.Sprintf(`{"id":%d,"ip":"192.0.2.77","email":"secret@example.com","token":77700}`, i)))
		}
	}
	l.give(l.record(`{"ID":7,"IP":["192.0.2.77"],"EMAIL":"secret\ud800","Token":"secret","note":"kept"}`))
	l.stop()
	rows, _ := read(t, l.shard.batches)
	if len(rows) != 901 {
		t.Fatalf("%d rows; want 901", len(rows))
	}
	flagged, pseudonyms, networks := 0, map[any]int{}, map[any]int{}
	for _, r := range rows {
		networks[r["ip_network"]]++
		pseudonyms[r["email_3eb1bd43"]]++
		if r["anomaly"] == true && r["ip_network"] == "192.0.2.0/24" {
			flagged++
		}
	}
	if networks["192.0.2.0/24"] != 600 || networks["10.1.99.0/24"] != 1 || len(pseudonyms) != 302 || flagged == 0 {
		t.Errorf("%d networks, %d pseudonyms, %d rows flagged", len(networks), len(pseudonyms), flagged)
	}
	last := rows[len(rows)-1]
	if last["rescued"] != `{"note":"kept"}` || last["id"] != int64(7) {
		t.Errorf("last row %v", last)
	}
	for _, name := range []string{"ip", "email", "token"} {
		if _, ok := last[name]; ok {
			t.Errorf("the files have a column %s", name)
		}
	}
	for _, b := range l.shard.batches {
		bodies := [][]byte{b.State}
		for _, f := range b.Files {
			bodies = append(bodies, f.Body)
		}
		for _, body := range bodies {
			for _, hidden := range []string{"secret", "192.0.2.77", "10.1.99.77", "77700"} {
				if bytes.Contains(body, []byte(hidden)) {
					t.Errorf("%q can be read in what was committed", hidden)
				}
			}
		}
	}
	if state := l.shard.batches[len(l.shard.batches)-1].State; !bytes.Contains(state, []byte("192.0.2.0/24")) {
		t.Error("the snapshot does not have the key of the detector: this test looks at the wrong thing")
	}
}

// Rows that are left out leave the others their places, wherever in a payload they are, and are counted.
func TestFilteredRows(t *testing.T) {
	l := newLab(t, func(c *Config, _ *fakeShard) {
		c.Schema = declared(t, `{"name":"status","type":"int64"},{"name":"text"}`)
		c.Enrich = steps(t, `where(status >= 400), compute(twice, 2 * status)`)
	})
	one := func(status int) string { return fmt.Sprintf(`{"status":%d,"text":"%d"}`, status, status) }
	l.give(
		l.record(one(200)), l.record(one(404)),
		l.record(strings.Join([]string{one(200), one(500), "nonsense", one(201), one(202), one(501), one(203)}, "\n"), one(502), one(204)),
		l.record(one(205), one(503)+"\n"+one(504)+"\n"+`{"status":"none"}`), l.record(`{"text":"no status"}`),
	)
	l.stop()
	rows, rejects := read(t, l.shard.batches)
	ofRows, ofRejects := identities(rows, rejects)
	if ofRows != "1/0 2/1 2/5 2/7 3/1 3/2" || ofRejects != "2/2" {
		t.Errorf("rows %s, rejects %s", ofRows, ofRejects)
	}
	for _, r := range rows {
		if r["text"] != fmt.Sprint(r["status"]) || r["twice"] != 2*r["status"].(int64) || r["rescued"] != nil {
			t.Errorf("row %v", r)
		}
	}
	if l.counts.filtered != 9 || l.counts.rescued != 0 || l.counts.records != 5 {
		t.Errorf("counted %+v", l.counts)
	}
}

// A batch of which nothing is left moves the position on.
func TestAllRowsAreFiltered(t *testing.T) {
	l := newLab(t, func(c *Config, _ *fakeShard) { c.Enrich = steps(t, `where(int(text) > 1)`) })
	l.give(l.record(`{"text":"x"}`), l.record(`{"text":"1"}`))
	l.stop()
	if b := l.shard.batches; len(b) != 1 || len(b[0].Files) != 0 || b[0].Checkpoint != fmt.Sprintf("%056d", 1) {
		t.Errorf("committed %+v", b)
	}
	if l.counts.filtered != 2 || l.counts.faults != 1 || l.counts.buffered != 0 {
		t.Errorf("counted %+v", l.counts)
	}
}

// A request that cannot be taken apart is rescued as a whole, and with it what would be in the columns.
func TestHiddenPartsOfARequest(t *testing.T) {
	l := newLab(t, func(c *Config, _ *fakeShard) {
		c.Schema, c.Enrich = apacheSchema(t, "kdg"), steps(t, "drop(resource)")
	})
	l.give(l.record(`10.0.0.1 - Ada [25/Nov/2026:19:07:33 +0000] "GET /list?token=secret" 404 7` + "\n" +
		`10.0.0.1 - Ada [25/Nov/2026:19:07:33 +0000] "secret" abc 7`))
	l.stop()
	rows, _ := read(t, l.shard.batches)
	if len(rows) != 2 || rows[0]["rescued"] != nil || rows[1]["rescued"] != `{"status":"abc"}` {
		t.Errorf("rows %v", rows)
	}
	for _, r := range rows {
		if strings.Contains(fmt.Sprint(r), "secret") {
			t.Errorf("row %v", r)
		}
	}
}

// What does not fit the schema that was found ends the shard, with what would fit.
func TestStepsThatDoNotFit(t *testing.T) {
	for _, tt := range []struct {
		list, key string
		want      string
	}{
		{list: "network(address)", want: "the steps of SLUICE_ENRICH do not fit the schema: network at character 1: there is no column address; there are id, ip, rescued"},
		{list: "where(id == 1), where(ip > 1)", want: "where at character 17: invalid operation"},
		{list: "drop(ip)", key: "ip", want: `the key of detector d is to be the column "ip", which there is not; the nearest is "id", and there are id, ip (hidden by SLUICE_ENRICH), `},
	} {
		l := newLab(t, func(c *Config, _ *fakeShard) {
			c.Enrich = steps(t, tt.list)
			if tt.key != "" {
				c.Detectors = []anomaly.Settings{{Name: "d", Kind: "rate", Key: []string{tt.key}}}
			}
		})
		l.give(l.record(`{"id":1,"ip":"192.0.2.1"}`))
		close(l.shard.stopping)
		if err := <-l.done; err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %s", tt.list, err, tt.want)
		}
	}
}

func TestCheckColumns(t *testing.T) {
	fits, not := steps(t, "where(len(line) > 1)"), steps(t, "drop(lines)")
	if _, err := CheckColumns(transform.RawSchema(), &fits); err != nil {
		t.Error(err)
	}
	if _, err := CheckColumns(transform.RawSchema(), &not); err == nil {
		t.Error("a column that no schema has is dropped")
	}
}

// A column that is found gives way to one that a step adds, in the first records and later; and those that are found later,
// such as one with the name of a function, change nothing for the steps.
func TestColumnsThatAreFoundGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(c *Config, _ *fakeShard) { c.Enrich = steps(t, "network(ip), compute(n, len(ip))") })
		l.give(l.record(`{"ip":"192.0.2.1","IP_network":"mine"}`))
		time.Sleep(time.Hour)
		for range 2 {
			for range 100 {
				l.give(l.record(`{"ip":"192.0.2.1","n":"my own","len":1}`))
			}
			time.Sleep(time.Hour)
		}
		l.stop()
		rows, _ := read(t, l.shard.batches)
		if len(rows) != 201 || len(l.shard.batches) < 3 {
			t.Fatalf("%d rows in %d batches", len(rows), len(l.shard.batches))
		}
		first, last := rows[0], rows[len(rows)-1]
		if first["ip_network"] != "192.0.2.0/24" || first["source_ip_network"] != "mine" || first["n"] != int64(9) {
			t.Errorf("the first row: %v", first)
		}
		if last["n"] != int64(9) || last["source_n"] != "my own" || last["len"] != int64(1) || last["ip_network"] != "192.0.2.0/24" {
			t.Errorf("the last row: %v", last)
		}
	})
}
