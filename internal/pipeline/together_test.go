package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/sink"
)

// Rows that are left out take their times with them, and one of which the time is not believed is counted only where it stays.
func TestTimesOfRowsThatAreLeftOut(t *testing.T) {
	l := newLab(t, timed(t, "at", "auto", true), func(c *Config, _ *fakeShard) { c.Enrich = steps(t, `where(keep ?? true)`) })
	line := func(id, at string, keep bool) string {
		return fmt.Sprintf(`{"id":%q,"at":"2026-%s:00.000Z","keep":%t}`, id, at, keep)
	}
	l.give(
		l.record(line("x", "03-01T12:50", false)+line("c", "03-01T12:30", true)+line("y", "01-01T12:00", false)+line("a", "03-01T12:10", true)),
		l.record(line("old", "01-01T12:00", true)+line("z", "03-01T12:20", false)+line("b", "03-01T12:15", true)),
	)
	l.stop()
	rows, _ := read(t, l.shard.batches)
	var ids []string
	for _, r := range rows {
		ids = append(ids, r["id"].(string))
	}
	if got := strings.Join(ids, " "); got != "old a b c" {
		t.Errorf("the file has the rows %q; want old a b c", got)
	}
	if l.counts.filtered != 3 || l.counts.skewed != 1 || l.counts.rescued != 1 {
		t.Errorf("%d rows are left out, %d skewed, %d rescued; want 3, 1, 1", l.counts.filtered, l.counts.skewed, l.counts.rescued)
	}
}

// A time that is not believed is kept in rescued, but not where its column is dropped.
func TestATimeThatIsDroppedIsNotKept(t *testing.T) {
	l := newLab(t, timed(t, "paid_at", "auto", true), func(c *Config, _ *fakeShard) {
		c.Schema = declared(t, `{"name":"id"},{"name":"paid_at","type":"timestamp","source":"Paid-At"}`)
		c.Enrich = steps(t, `drop(paid_at)`)
	})
	l.give(l.record(`{"id":"a","Paid-At":"2020-01-01T12:00:00.000Z"}{"id":"b","Paid-At":"2020-01-01T12:00:00.000Z","note":1}`))
	l.stop()
	rows, _ := read(t, l.shard.batches)
	if rows[0]["rescued"] != nil || rows[1]["rescued"] != `{"note":1}` || l.counts.skewed != 2 {
		t.Errorf("rescued are %v and %v, and %d rows are skewed", rows[0]["rescued"], rows[1]["rescued"], l.counts.skewed)
	}
}

// What is hidden does not come to light in keys.
func TestAHiddenColumnIsInNoKey(t *testing.T) {
	for list, want := range map[string]string{
		"hash(city)": "the column city is hidden by SLUICE_ENRICH",
		"drop(city)": "the column city is hidden by SLUICE_ENRICH",
		"":           "",
	} {
		prefix, err := sink.ParsePrefix("data/city=!{partitionKeyFromQuery:city}/")
		if err != nil {
			t.Fatal(err)
		}
		l := newLab(t, func(c *Config, _ *fakeShard) {
			c.Prefix, c.Enrich = prefix, steps(t, list)
			c.Schema = declared(t, `{"name":"id"},{"name":"city"}`)
		})
		close(l.shard.stopping)
		if err := <-l.done; want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want %q", list, err, want)
		}
	}
}
