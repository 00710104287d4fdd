package enrich

import (
	"fmt"
	"os"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/sluice-etl/sluice/internal/columns"
)

// Database is a MaxMind DB file, held in memory: who replaces the file in place does no harm, and is seen at the next start.
// It is safe for concurrent use.
type Database struct {
	file   string
	reader *maxminddb.Reader
	kind   databaseKind
}

// databaseKind is what a database knows of an address.
type databaseKind uint8

const (
	knowsCountry databaseKind = 1 << iota
	knowsCity
	knowsNetwork
)

// OpenDatabase reads a database of the type City, Enterprise, Country, ASN or ISP, of MaxMind or of others who name theirs
// alike.
func OpenDatabase(file string) (Database, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return Database{}, err
	}
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return Database{}, fmt.Errorf("%s is no MaxMind DB file: %w", file, err)
	}
	d := Database{file: file, reader: reader}
	is := func(name string) bool { return strings.Contains(reader.Metadata.DatabaseType, name) }
	switch {
	case is("City"), is("Enterprise"):
		d.kind = knowsCountry | knowsCity
	case is("Country"):
		d.kind = knowsCountry
	case is("ASN"), is("ISP"):
		d.kind = knowsNetwork
	default:
		return Database{}, fmt.Errorf("%s is of the type %q; want City, Enterprise, Country, ASN or ISP", file, reader.Metadata.DatabaseType)
	}
	return d, nil
}

// record is what a database holds for a network, as far as it becomes columns.
type record struct {
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	City struct {
		Names struct {
			English string `maxminddb:"en"`
		} `maxminddb:"names"`
	} `maxminddb:"city"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
	} `maxminddb:"location"`
	Number       uint32 `maxminddb:"autonomous_system_number"`
	Organization string `maxminddb:"autonomous_system_organization"`
}

// mostRecords are remembered of a database. Many networks share one, as a country's or an operator's do.
const mostRecords = 16 << 10

// geoIP is the step geoip(column).
type geoIP struct {
	column    string
	databases []Database
}

// geoActions looks an address up in each database.
type geoActions struct {
	from    int
	lookups []geoLookup
}

type geoLookup struct {
	database Database
	to       int // the first of the columns
	known    map[uintptr]*record
}

func (g *geoIP) adds() (names []string) {
	for i := range g.databases {
		for _, f := range g.databases[i].fields() {
			names = append(names, g.column+f.Name)
		}
	}
	return names
}

func (g *geoIP) bind(b *binding) (action, error) {
	from, err := b.text(g.column)
	if err != nil {
		return nil, err
	}
	a := &geoActions{from: from}
	for _, d := range g.databases {
		a.lookups = append(a.lookups, geoLookup{database: d, to: len(b.fields), known: map[uintptr]*record{}})
		for _, f := range d.fields() {
			if _, err := b.add(g.column+f.Name, f.Type); err != nil {
				return nil, fmt.Errorf("%w (of the database %s)", err, d.file)
			}
		}
	}
	return a, nil
}

// fields are the columns that a database fills, without the name of the address's column before theirs.
func (d *Database) fields() (fields []columns.Field) {
	if d.kind&knowsCountry != 0 {
		fields = append(fields, columns.Field{Name: "_country", Type: columns.String})
	}
	if d.kind&knowsCity != 0 {
		fields = append(fields, columns.Field{Name: "_city", Type: columns.String},
			columns.Field{Name: "_latitude", Type: columns.Double}, columns.Field{Name: "_longitude", Type: columns.Double})
	}
	if d.kind&knowsNetwork != 0 {
		fields = append(fields, columns.Field{Name: "_asn", Type: columns.Int64}, columns.Field{Name: "_as_org", Type: columns.String})
	}
	return fields
}

func (a *geoActions) do(t *columns.Table, row int) bool {
	address, ok := addressAt(&t.Columns[a.from], row)
	for i := range a.lookups {
		l := &a.lookups[i]
		r := &record{}
		if ok {
			r = l.find(l.database.reader.Lookup(address))
		}
		l.fill(t.Columns[l.to:], r)
	}
	return true
}

// find gives what is known of an address; of one that the database lacks, or holds a damaged record of, that is nothing.
func (l *geoLookup) find(result maxminddb.Result) *record {
	if !result.Found() {
		return &record{}
	}
	if r, ok := l.known[result.Offset()]; ok {
		return r
	}
	if len(l.known) >= mostRecords {
		clear(l.known)
	}
	r := &record{}
	if err := result.Decode(r); err != nil {
		*r = record{}
	}
	l.known[result.Offset()] = r
	return r
}

func (l *geoLookup) fill(to []columns.Column, r *record) {
	if l.database.kind&knowsCountry != 0 {
		appendOrNull(&to[0], r.Country.Code)
		to = to[1:]
	}
	if l.database.kind&knowsCity != 0 {
		appendOrNull(&to[0], r.City.Names.English)
		for i, degrees := range [...]*float64{r.Location.Latitude, r.Location.Longitude} {
			if degrees == nil {
				to[1+i].AppendNull()
			} else {
				to[1+i].AppendDouble(*degrees)
			}
		}
		to = to[3:]
	}
	if l.database.kind&knowsNetwork != 0 {
		if r.Number == 0 {
			to[0].AppendNull()
		} else {
			to[0].AppendInt(int64(r.Number))
		}
		appendOrNull(&to[1], r.Organization)
	}
}
