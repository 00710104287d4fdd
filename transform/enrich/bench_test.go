package enrich

import (
	"fmt"
	"testing"

	"github.com/sluice-etl/sluice/internal/columns"
)

// traffic is a table of rows like those of a log: addresses that differ, a few agents, and some nulls.
func traffic(e *Enricher) *columns.Table {
	agents := []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "curl/8.5.0",
	}
	table := e.Table()
	for i := range trafficRows {
		r := line{"ip": fmt.Sprintf("192.0.2.%d", i%256), "agent": agents[i%4], "email": fmt.Sprintf("user%d@example.com", i), "status": []int{200, 404, 1500}[i%3], "price": float64(i) / 7, "other": i}
		if i%16 == 0 {
			r["status"], r["rescued"] = nil, `{"status":"none","more":[1,2,3]}`
		}
		for c, f := range testFields {
			fill(&table.Columns[c], r[f.Name])
		}
	}
	return table
}

const trafficRows = 1000

// again takes the steps for all rows once more: the decoder's columns stay, and what was added is dropped.
func again(e *Enricher, table *columns.Table) {
	for i := len(testFields); i < len(table.Columns); i++ {
		table.Columns[i].Truncate(0)
	}
	for row := range trafficRows {
		kept := true
		for _, a := range e.actions {
			if kept = a.do(table, row); !kept {
				break
			}
		}
		for i := len(testFields); i < len(table.Columns); i++ {
			if c := &table.Columns[i]; c.Len() <= row {
				c.AppendNull()
			}
		}
	}
}

var measured = []struct {
	list   string
	allocs float64 // for each row, at most
}{
	{"geoip(ip)", 0},
	{"network(ip)", 0},
	{"user_agent(agent)", 0},
	{"hash(email)", 0},
	{"drop(status)", 0},
	{"compute(x, status * 2)", 2},
	{"compute(x, price * other)", 3},
	{`compute(x, upper(email))`, 4},
	{"where(status >= 400)", 1},
	{`where(status >= 400 or email == "x")`, 2},
	{`where(email matches "^user[0-9]*7@")`, 4}, // two, but for the race detector, which empties the pools of regexp
}

func BenchmarkSteps(b *testing.B) {
	resources := Resources{Key: testKey(b), Databases: testDatabases(b)}
	for _, m := range measured {
		b.Run(m.list, func(b *testing.B) {
			e := bind(b, m.list, resources)
			table := traffic(e)
			b.ReportAllocs()
			for b.Loop() {
				again(e, table)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/trafficRows, "ns/row")
		})
	}
}

// Steps allocate nothing for a row, but for those of expressions, whose library takes and gives values as interfaces.
func TestAllocations(t *testing.T) {
	resources := Resources{Key: testKey(t), Databases: testDatabases(t)}
	for _, m := range measured {
		e := bind(t, m.list, resources)
		table := traffic(e)
		again(e, table)
		if n := testing.AllocsPerRun(5, func() { again(e, table) }) / trafficRows; n > m.allocs {
			t.Errorf("%s allocates %v times for a row; want %v at most", m.list, n, m.allocs)
		}
	}
}
