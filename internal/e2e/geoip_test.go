package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/sluice-etl/sluice/internal/e2e/check"
)

// writeGeoIP makes a database with MaxMind's own writer, one network a value.
func writeGeoIP(t *testing.T, databaseType string, recordSize int, networks map[string]mmdbtype.Map) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: databaseType, RecordSize: recordSize, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for text, value := range networks {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, value); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), databaseType+".mmdb"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := tree.WriteTo(file); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

// TestGeoIP looks addresses up in databases of each size of records that the format has. A thousand networks of places stand
// beside some of operators that lie across them.
func TestGeoIP(t *testing.T) {
	t.Parallel()
	const networks = 1000
	places, operators := map[string]mmdbtype.Map{}, map[string]mmdbtype.Map{}
	names := func(name string) mmdbtype.Map {
		return mmdbtype.Map{"de": mmdbtype.String("nicht " + name), "en": mmdbtype.String(name)}
	}
	place := func(n int) mmdbtype.Map {
		return mmdbtype.Map{
			"city":     mmdbtype.Map{"geoname_id": mmdbtype.Uint32(n), "names": names(fmt.Sprint("Köln-", n))},
			"country":  mmdbtype.Map{"iso_code": mmdbtype.String([]string{"DE", "FR", "JP"}[n%3]), "names": names("a country")},
			"location": mmdbtype.Map{"accuracy_radius": mmdbtype.Uint16(100), "latitude": mmdbtype.Float64(float64(n) / 16), "longitude": mmdbtype.Float64(-float64(n) / 8)},
		}
	}
	var lines strings.Builder
	var want []string
	ask := func(address string, n int) {
		fmt.Fprintf(&lines, "{\"n\":%d,\"ip\":%q}\n", len(want), address)
		if n < 0 {
			want = append(want, fmt.Sprintf("%d: - - - - - -", len(want)))
			return
		}
		want = append(want, fmt.Sprintf("%d: %s Köln-%d %.4f %.4f %d %s", len(want), []string{"DE", "FR", "JP"}[n%3], n, float64(n)/16, -float64(n)/8, 64500+n%2, []string{"even", "odd"}[n%2]))
	}
	for n := range networks {
		v4 := netip.AddrFrom4([4]byte{byte(20 + n%2), byte(n / 2 / 256), byte(n / 2), 0})
		v6 := netip.AddrFrom16([16]byte{0x2a, byte(n % 2), 0, 0, 0, 0, byte(n / 256), byte(n)})
		places[netip.PrefixFrom(v4, 24).String()], places[netip.PrefixFrom(v6, 64).String()] = place(n), place(n)
		last := v4.As4()
		last[3] = 255
		ask(v4.String(), n)
		ask(netip.AddrFrom4(last).String()+":443", n)
		ask("::ffff:"+v4.String(), n)
		ask("["+v6.Next().String()+"]:80", n)
	}
	for n, name := range []string{"even", "odd"} {
		operator := mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64500 + n), "autonomous_system_organization": mmdbtype.String(name)}
		operators[fmt.Sprint(20+n, ".0.0.0/8")], operators[fmt.Sprintf("2a%02x::/16", n)] = operator, operator
	}
	for _, stranger := range []string{"203.0.113.7", "2001:db8::1", "221.233.116.256", ""} {
		ask(stranger, -1)
	}
	in := filepath.Join(t.TempDir(), "in.json")
	if err := os.WriteFile(in, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, size := range []int{24, 28, 32} {
		out := filepath.Join(t.TempDir(), "out")
		databases := writeGeoIP(t, "GeoLite2-City", size, places) + "," + writeGeoIP(t, "GeoLite2-ASN", size, operators)
		bringFile(t, in, "--out", out, "--format", "json", "--enrich", "geoip(ip)", "--geoip-database", databases)
		got := query(t, db, fmt.Sprintf(`SELECT n || ': ' || concat_ws(' ', coalesce(ip_country, '-'), coalesce(ip_city, '-'), coalesce(format('{:.4f}', ip_latitude), '-'),
			coalesce(format('{:.4f}', ip_longitude), '-'), coalesce(ip_asn::text, '-'), coalesce(ip_as_org, '-')) FROM read_parquet('%s/data/*/*.parquet') ORDER BY n`, out))
		if !slices.Equal(got, want) {
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Errorf("records of %d bits: %s; want %s", size, got[i], want[i])
					break
				}
			}
			t.Errorf("records of %d bits: %d rows are not the %d that should be", size, len(got), len(want))
		}
	}
}
