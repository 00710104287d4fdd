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
		"path tricks":    {map[string]string{"/proc/self/cgroup": "0::/../../etc\n", "/sys/fs/cgroup/etc/memory.max": "1073741824"}, 1 << 30},
	} {
		got := MemoryLimit(func(name string) ([]byte, error) {
			if content, ok := tt.files[name]; ok {
				return []byte(content), nil
			}
			return nil, fs.ErrNotExist
		})
		if want := tt.bytes / 10 * 7 >> 20 << 20; got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
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
