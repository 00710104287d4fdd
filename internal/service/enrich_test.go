package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/config"
)

// What is wrong with the enrichment is told at the start, by the key at fault, as far as the columns are known then.
func TestEnrichment(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key, short := write("key", strings.Repeat("0123456789abcdef", 2)+"\n"), write("short", "secret\n")
	declared := write("columns.json", `{"fields":[{"name":"id","type":"int64"},{"name":"ip"}]}`)
	for name, tt := range map[string]struct {
		env  []string
		want string // of every fault, a part
	}{
		"none":                         {},
		"columns that are found":       {env: []string{"ENRICH=where(whatever > 1), drop(any)"}},
		"syntax":                       {env: []string{"ENRICH=where(a +)"}, want: "SLUICE_ENRICH: where at character 1: unexpected token EOF"},
		"all steps at once":            {env: []string{"ENRICH=geoip(ip), hash(ip)"}, want: "set SLUICE_GEOIP_DATABASE\nset SLUICE_HASH_KEY_FILE"},
		"no database":                  {env: []string{"GEOIP_DATABASE=" + key + "," + short, "ENRICH=geoip(ip)"}, want: "SLUICE_GEOIP_DATABASE: " + key + " is no MaxMind DB\nSLUICE_GEOIP_DATABASE: " + short},
		"no key file":                  {env: []string{"HASH_KEY_FILE=" + key + "s", "ENRICH=hash(ip)"}, want: "SLUICE_HASH_KEY_FILE: open"},
		"a short key":                  {env: []string{"HASH_KEY_FILE=" + short, "ENRICH=hash(ip)"}, want: "SLUICE_HASH_KEY_FILE: the key in the file has 6 bytes"},
		"an access log":                {env: []string{"FORMAT=apache", "HASH_KEY_FILE=" + key, "ENRICH=network(client_ip), hash(client_ip), user_agent(user_agent), where(status < 500)"}},
		"a column that it lacks":       {env: []string{"FORMAT=apache", "ENRICH=network(ip)"}, want: "SLUICE_ENRICH: network at character 1: there is no column ip; there are client_ip, client_id"},
		"raw lines":                    {env: []string{"FORMAT=raw", `ENRICH=where(line contains "x"), compute(n, len(lines))`}, want: "SLUICE_ENRICH: compute at character 27: unknown name lines, at character 42"},
		"declared columns":             {env: []string{"SCHEMA=" + declared, "ENRICH=where(id > 1), network(ip), drop(rescued)"}},
		"declared of another type":     {env: []string{"SCHEMA=" + declared, `ENRICH=where(id > "1")`}, want: "SLUICE_ENRICH: where at character 1: invalid operation"},
		"lines as they came":           {env: []string{"OUTPUT=raw", "ENRICH=network(ip), where(id > 1)"}},
		"hidden in lines as they came": {env: []string{"OUTPUT=raw", "ENRICH=drop(ip)"}, want: "SLUICE_ENRICH: hash and drop do not reach the lines as they came"},
		"a name that every row gets":   {env: []string{"ENRICH=compute(ingest_time, 1)"}, want: "a column cannot be called ingest_time"},
	} {
		t.Run(name, func(t *testing.T) {
			environ := []string{"SLUICE_STREAM=s", "SLUICE_BUCKET=bucket"}
			for _, setting := range tt.env {
				environ = append(environ, "SLUICE_"+setting)
			}
			cfg, err := config.Load(nil, environ, os.ReadFile)
			if err != nil {
				t.Fatal(err)
			}
			faults := Check(cfg)
			var want []string
			if tt.want != "" {
				want = strings.Split(tt.want, "\n")
			}
			if len(faults) != len(want) {
				t.Fatalf("faults %v; want %q", faults, want)
			}
			for i, f := range faults {
				if !strings.Contains(f.String(), want[i]) {
					t.Errorf("%s\nwant %s", f, want[i])
				}
			}
		})
	}
}
