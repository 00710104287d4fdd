package ops

import (
	"cmp"
	"runtime/debug"
)

// What the linker was told (-ldflags "-X"), by builds that have no repository at hand, such as the image's. It goes before
// what the go command has found.
var version, commit string

// Build says which program this is.
type Build struct {
	Version string // the linker's or the module's, "devel" where it was not built from a version
	Commit  string // with "-dirty" when files had been changed, "unknown" outside of a repository
	Go      string // the toolchain, such as go1.26.0
}

// ReadBuild is the running program's.
func ReadBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	b := readBuild(info)
	b.Version, b.Commit = cmp.Or(version, b.Version), cmp.Or(commit, b.Commit)
	return b
}

func readBuild(info *debug.BuildInfo) Build {
	b := Build{Version: info.Main.Version, Commit: "unknown", Go: info.GoVersion}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel"
	}
	if b.Go == "" {
		b.Go = "unknown"
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			b.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if b.Commit != "unknown" {
		b.Commit += dirty
	}
	return b
}
