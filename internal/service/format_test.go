package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/config"
)

func TestSchema(t *testing.T) {
	file := filepath.Join(t.TempDir(), "columns.json")
	if err := os.WriteFile(file, []byte(`{"fields":[{"name":"id","type":"int64"},{"name":"status"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`{"fields":[{"name":"ingest_time"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env   string
		want  string // format, log format and the first column, or the fault
		found bool   // in the first records
	}{
		"JSON":                  {env: "", found: true},
		"JSON, declared":        {env: "SCHEMA=" + file, want: "  id:int64"},
		"CSV":                   {env: "FORMAT=csv", found: true},
		"TSV, declared":         {env: "FORMAT=tsv SCHEMA=" + file, want: "tsv  id:int64"},
		"raw":                   {env: "FORMAT=raw", want: "raw  line:string"},
		"access logs":           {env: "FORMAT=apache", want: "apache combined client_ip:string"},
		"their statuses":        {env: "FORMAT=apache APACHE_LOG_FORMAT=%>s", want: "apache %>s status:int64"},
		"as strings":            {env: "FORMAT=apache APACHE_LOG_FORMAT=%>s APACHE_TYPES=string", want: "apache %>s status:string"},
		"a format to be found":  {env: "FORMAT=apache APACHE_LOG_FORMAT=auto", found: true},
		"declared for a format": {env: "FORMAT=apache SCHEMA=" + file, want: "apache combined id:int64"},
		"no log format":         {env: "FORMAT=apache APACHE_LOG_FORMAT=combine", want: "SLUICE_APACHE_LOG_FORMAT"},
		"declared for any":      {env: "FORMAT=apache APACHE_LOG_FORMAT=auto SCHEMA=" + file, want: "SLUICE_SCHEMA"},
		"no file":               {env: "SCHEMA=detected", want: "SLUICE_SCHEMA"},
		"a reserved column":     {env: "SCHEMA=" + bad, want: "SLUICE_SCHEMA"},
	} {
		t.Run(name, func(t *testing.T) {
			environ := []string{"SLUICE_STREAM=s", "SLUICE_BUCKET=bucket"}
			for _, setting := range strings.Fields(tt.env) {
				environ = append(environ, "SLUICE_"+setting)
			}
			cfg, err := config.Load(nil, environ, os.ReadFile)
			if err != nil {
				t.Fatal(err)
			}
			s, faults := schema(cfg)
			switch {
			case strings.HasPrefix(tt.want, "SLUICE_"):
				if len(faults) != 1 || faults[0].Key != tt.want {
					t.Errorf("faults %v", faults)
				}
			case len(faults) > 0 || (s == nil) != tt.found:
				t.Errorf("schema %v, faults %v", s, faults)
			case s != nil:
				if got := s.Format + " " + s.LogFormat + " " + s.Fields[0].Name + ":" + s.Fields[0].Type.String(); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			default:
				if f := newDetector(cfg).Schema().Format; f != strings.TrimPrefix(cfg.Format, "json") {
					t.Errorf("the detector is for the format %q", f)
				}
			}
		})
	}
}
