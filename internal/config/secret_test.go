package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A setting that is marked as a secret is shown nowhere: not in what is printed, and not when it is wrong.
func TestSecrets(t *testing.T) {
	const value = "hush-hush"
	refuse := false
	table := append(keys(), key[Config]{name: "TOKEN", secret: true, set: func(*Config, string) error {
		if refuse {
			return errors.New("want another")
		}
		return nil
	}})
	detectorTable := append(detectorKeys(), key[Detector]{name: "TOKEN", secret: true, set: func(*Detector, string) error {
		if refuse {
			return errors.New("want another")
		}
		return nil
	}})
	withSecrets := func(l *loader) { l.keys, l.detectorKeys = table, detectorTable }
	environ := []string{"SLUICE_TOKEN=" + value, "SLUICE_ANOMALY_DETECTORS=a", "SLUICE_ANOMALY_A_KIND=rate", "SLUICE_ANOMALY_A_TOKEN=" + value}

	c := load(t, nil, environ, withSecrets)
	for _, printed := range [][]byte{c.yaml(table, detectorTable), c.env(table, detectorTable)} {
		if strings.Contains(string(printed), value) || strings.Count(string(printed), hidden) != 2 {
			t.Errorf("%s", printed)
		}
	}
	refuse = true
	f := faults(t, nil, append(environ, "SLUICE_TOKENS="+value), withSecrets)
	if len(f) != 3 || strings.Contains(f.Error(), value) {
		t.Errorf("%v", f)
	}
}

// A secret that a file holds is the value of the setting; wherever it is printed, the file's name stands for it.
func TestSecretsOfFiles(t *testing.T) {
	const value = "hush-hush"
	dir := t.TempDir()
	for name, text := range map[string]string{"good": value + "\n", "empty": "\n", "control": value + "\x00"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	table := withFiles(append(keys(), key[Config]{name: "TOKEN", secret: true, set: func(_ *Config, text string) error { got = text; return nil }}))
	read := func(args []string, environ ...string) (*Config, error) {
		got = ""
		return Load(args, environ, os.ReadFile, Require(), func(l *loader) { l.keys = table })
	}
	file := filepath.Join(dir, "good")
	for name, c := range map[string]struct{ args, environ []string }{
		"environment": {environ: []string{"SLUICE_TOKEN_FILE=" + file}},
		"flag":        {args: []string{"--token-file", file}},
	} {
		cfg, err := read(c.args, c.environ...)
		if err != nil || got != value {
			t.Errorf("%s: %q, %v", name, got, err)
			continue
		}
		for _, printed := range [][]byte{cfg.yaml(table, nil), cfg.env(table, nil)} {
			if text := string(printed); strings.Contains(text, value) || strings.Contains(text, hidden) || !strings.Contains(text, file) {
				t.Errorf("%s: printed is\n%s", name, text)
			}
		}
		if _, err := read(nil, strings.Split(strings.TrimSpace(string(cfg.env(table, nil))), "\n")...); err != nil || got != value {
			t.Errorf("%s: what is printed gives %q, %v", name, got, err)
		}
	}
	for environ, want := range map[string]string{
		"SLUICE_TOKEN=x SLUICE_TOKEN_FILE=" + file:           "SLUICE_TOKEN_FILE: SLUICE_TOKEN is set, too; set one of them",
		"SLUICE_TOKEN_FILE=" + filepath.Join(dir, "none"):    "SLUICE_TOKEN_FILE: cannot read the file",
		"SLUICE_TOKEN_FILE=" + filepath.Join(dir, "empty"):   "is empty; write the secret into it",
		"SLUICE_TOKEN_FILE=" + filepath.Join(dir, "control"): "want text without control characters",
		"SLUICE_APP_FILE=" + file:                            "SLUICE_APP_FILE: there is no such setting",
	} {
		_, err := read(nil, strings.Fields(environ)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v; want %s", environ, err, want)
		}
	}
}
