package uplot

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// The checksums are of the files in version 1.6.32 of the npm package uplot. Who takes a newer version
// replaces the files, these lines and the version in the package's comment together.
func TestFilesAreAsPublished(t *testing.T) {
	for name, f := range map[string]struct {
		body []byte
		sum  string
	}{
		"uPlot.iife.min.js": {Script, "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"},
		"uPlot.min.css":     {Style, "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"},
		"LICENSE":           {[]byte(License), "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd"},
	} {
		if sum := sha256.Sum256(f.body); hex.EncodeToString(sum[:]) != f.sum {
			t.Errorf("%s has the SHA-256 %x, want %s", name, sum, f.sum)
		}
	}
}
