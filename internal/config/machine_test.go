package config

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	const meminfo = "MemTotal:       16777216 kB\nMemFree: 1 kB\n" // 16 GiB
	for name, tt := range map[string]struct {
		files map[string]string
		bytes int64
	}{
		"unknown":        {nil, unknownMemory},
		"machine":        {map[string]string{"/proc/meminfo": meminfo}, 16 << 30},
		"garbage":        {map[string]string{"/proc/meminfo": "MemTotal: x\n", "/proc/self/cgroup": "\n0:\n::\n"}, unknownMemory},
		"v2, no limit":   {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "max\n"}, 16 << 30},
		"v2, container":  {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30},
		"v2, the parent": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a.slice/b\n", "/sys/fs/cgroup/a.slice/memory.max": "2147483648\n", "/sys/fs/cgroup/a.slice/b/memory.max": "max\n"}, 2 << 30},
		"v1, no limit":   {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "4:memory:/x\n0::/\n", "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, 16 << 30},
		"v1, container":  {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "4:memory:/docker/1\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n"}, 512 << 20},
		"address space": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/status": "Name:\tsluice\nVmSize:\t 1048576 kB\n",
			"/proc/self/limits": "Max cpu time unlimited unlimited seconds\nMax address space         2147483648           unlimited            bytes\n"}, (1<<30 - forThreads) / 2},
		"address space, no limit": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/limits": "Max address space         unlimited            unlimited            bytes\n"}, 16 << 30},
		"address space, used up": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/status": "VmSize:\t 1048576 kB\n",
			"/proc/self/limits": "Max address space         1073741824           unlimited            bytes\n"}, leastMemory / 7 * 10},
		"path tricks": {map[string]string{"/proc/self/cgroup": "0::/../../etc\n", "/sys/fs/cgroup/etc/memory.max": "1073741824"}, 1 << 30},
	} {
		got := MemoryLimit(func(name string) ([]byte, error) {
			if content, ok := tt.files[name]; ok {
				return []byte(content), nil
			}
			return nil, fs.ErrNotExist
		})
		if want := max(tt.bytes/10*7>>20<<20, leastMemory); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
}

// What the Go runtime was told by its own variable is the default, where it is less; a setting wins.
func TestTheRuntimesMemoryLimit(t *testing.T) {
	usual := load(t, nil, nil).MemoryLimit
	for name, tt := range map[string]struct {
		environ []string
		want    int64
	}{
		"less":                      {[]string{"GOMEMLIMIT=100MiB"}, 100 << 20},
		"more":                      {[]string{"GOMEMLIMIT=16000GiB"}, usual},
		"off":                       {[]string{"GOMEMLIMIT=off"}, usual},
		"less than is possible":     {[]string{"GOMEMLIMIT=1MiB"}, leastMemory},
		"beside a setting, smaller": {[]string{"GOMEMLIMIT=100MiB", "SLUICE_MEMORY_LIMIT=200MiB"}, 200 << 20},
	} {
		if got := load(t, nil, tt.environ).MemoryLimit; got != tt.want {
			t.Errorf("%s: %d; want %d", name, got, tt.want)
		}
	}
}

func TestNewWorkerID(t *testing.T) {
	valid := func(id string) {
		t.Helper()
		if f := faults(t, []string{"--worker-id", id}, nil); f != nil {
			t.Error(f)
		}
	}
	for _, host := range []string{"pod-1", "", "Ünïcode host", strings.Repeat("x", 300)} {
		id := newWorkerID(func() (string, error) { return host, nil })
		valid(id)
		if id == newWorkerID(func() (string, error) { return host, nil }) {
			t.Errorf("%s twice", id)
		}
	}
	valid(newWorkerID(func() (string, error) { return "", errors.New("no name") }))
}
