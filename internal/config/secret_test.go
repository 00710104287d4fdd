package config

import (
	"errors"
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
