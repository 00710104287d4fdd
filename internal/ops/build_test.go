package ops

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestBuild(t *testing.T) {
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.modified", Value: modified}, {Key: "vcs.revision", Value: "0a1b"}}
	}
	for name, tt := range map[string]struct {
		info debug.BuildInfo
		want Build
	}{
		"nothing known": {debug.BuildInfo{}, Build{"devel", "unknown", "unknown"}},
		"working tree":  {debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "(devel)"}, Settings: vcs("true")}, Build{"devel", "0a1b-dirty", "go1.26.0"}},
		"clean":         {debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.3"}, Settings: vcs("false")}, Build{"v1.2.3", "0a1b", "go1.26.0"}},
		"dirty nowhere": {debug.BuildInfo{Settings: vcs("true")[:1]}, Build{"devel", "unknown", "unknown"}},
	} {
		if got := readBuild(&tt.info); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
	if got := ReadBuild(); got.Go != runtime.Version() || got.Version == "" || got.Commit == "" {
		t.Errorf("this test is of the build %+v", got)
	}
}
