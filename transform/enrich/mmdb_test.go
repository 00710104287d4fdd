package enrich

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// writeDatabase makes a file of the format at https://maxmind.github.io/MaxMind-DB/, version 2.0, with records of 32 bits
// and, as MaxMind's have it, IPv4 addresses under ::/96.
func writeDatabase(t testing.TB, databaseType string, networks map[string]any) string {
	t.Helper()
	const empty = -1
	nodes := [][2]int{{empty, empty}} // a record is a node, empty, or -2-n for the n-th value
	var values [][]byte
	for _, network := range slices.Sorted(maps.Keys(networks)) {
		prefix := netip.MustParsePrefix(network)
		address, bits := prefix.Addr().As16(), prefix.Bits()
		if prefix.Addr().Is4() {
			bits += 96
			clear(address[:12]) // As16 maps it to ::ffff:0:0/96
		}
		node := 0
		for i := range bits {
			bit := address[i/8] >> (7 - i%8) & 1
			next := &nodes[node][bit]
			switch {
			case i == bits-1:
				*next = -2 - len(values)
			case *next == empty:
				*next = len(nodes)
				nodes = append(nodes, [2]int{empty, empty})
			}
			node = nodes[node][bit]
		}
		values = append(values, appendData(nil, networks[network]))
	}
	var data []byte
	offsets := make([]int, len(values))
	for i, v := range values {
		offsets[i] = len(data)
		data = append(data, v...)
	}
	var file []byte
	for _, n := range nodes {
		for _, record := range n {
			switch {
			case record == empty:
				record = len(nodes)
			case record < 0:
				record = len(nodes) + 16 + offsets[-2-record]
			}
			file = binary.BigEndian.AppendUint32(file, uint32(record))
		}
	}
	file = append(file, make([]byte, 16)...)
	file = append(file, data...)
	file = append(file, "\xab\xcd\xefMaxMind.com"...)
	file = appendData(file, map[string]any{
		"node_count": uint32(len(nodes)), "record_size": uint16(32), "ip_version": uint16(6), "database_type": databaseType,
		"binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0), "build_epoch": uint64(1), "languages": []any{"en"},
		"description": map[string]any{"en": "of the tests"},
	})
	name := filepath.Join(t.TempDir(), databaseType+".mmdb")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// appendData adds a value to dst, as the format's data section has it.
func appendData(dst []byte, value any) []byte {
	control := func(kind, size int) {
		first := size
		if size >= 29 {
			first = 29 // one byte with what is above 29 follows
		}
		if kind <= 7 {
			dst = append(dst, byte(kind<<5|first))
		} else {
			dst = append(dst, byte(first), byte(kind-7))
		}
		if first == 29 {
			dst = append(dst, byte(size-29))
		}
	}
	switch v := value.(type) {
	case string:
		control(2, len(v))
		return append(dst, v...)
	case float64:
		control(3, 8)
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
	case uint16:
		control(5, 2)
		return binary.BigEndian.AppendUint16(dst, v)
	case uint32:
		control(6, 4)
		return binary.BigEndian.AppendUint32(dst, v)
	case uint64:
		control(9, 8)
		return binary.BigEndian.AppendUint64(dst, v)
	case []any:
		control(11, len(v))
		for _, item := range v {
			dst = appendData(dst, item)
		}
	case map[string]any:
		control(7, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			dst = appendData(appendData(dst, key), v[key])
		}
	default:
		panic(fmt.Sprintf("a value of the type %T", v))
	}
	return dst
}

// object is a map of the data section.
type object = map[string]any

// testDatabases are one of cities and one of operators, with addresses that are reserved for documentation.
func testDatabases(t testing.TB) []Database {
	t.Helper()
	files := []string{
		writeDatabase(t, "GeoLite2-City", object{
			"192.0.2.0/24": object{"country": object{"iso_code": "DE", "geoname_id": uint32(1)}, "city": object{"names": object{"de": "Köln", "en": "Köln"}},
				"location": object{"latitude": 50.9, "longitude": 6.9, "time_zone": "Europe/Berlin"}, "subdivisions": []any{object{"iso_code": "NW"}}},
			"2001:db8::/32":   object{"country": object{"iso_code": "JP"}},
			"198.51.100.0/24": object{"location": object{"latitude": -1.5}},
		}),
		writeDatabase(t, "GeoLite2-ASN", object{
			"192.0.2.0/24":   object{"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Example Networks"},
			"203.0.113.0/24": object{"autonomous_system_number": uint32(64501)},
		}),
	}
	var databases []Database
	for _, file := range files {
		d, err := OpenDatabase(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.reader.Verify(); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		databases = append(databases, d)
	}
	return databases
}
