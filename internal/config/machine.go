package config

import (
	"crypto/rand"
	"math"
	"path"
	"strconv"
	"strings"
)

// newWorkerID is a name that no other process has: the host's, for people, and a random part, because a container
// that is started again keeps its host name.
func newWorkerID(hostname func() (string, error)) string {
	host, err := hostname()
	if err != nil || host == "" {
		host = "sluice"
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, host)
	return clean[:min(len(clean), 100)] + "-" + strings.ToLower(rand.Text()[:10])
}

// unknownMemory stands for the memory of a machine that does not tell.
const unknownMemory = 4 << 30

// MemoryLimit is 70% of the memory that this process may use, in bytes: the smallest limit of its control groups
// (version 2 or 1), or the machine's memory. The rest is left to the runtime's own needs and to the page cache.
// readFile is os.ReadFile.
func MemoryLimit(readFile func(string) ([]byte, error)) int64 {
	least := machineMemory(readFile)
	groups, _ := readFile("/proc/self/cgroup") // absent on other systems: then there are no limits to find
	for line := range strings.Lines(string(groups)) {
		// 0::/path is version 2; 4:memory:/path is version 1's.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		root, file := "", ""
		switch {
		case fields[0] == "0" && fields[1] == "":
			root, file = "/sys/fs/cgroup", "memory.max"
		case fields[1] == "memory":
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// A limit binds everything below it. Within a container the path may be the host's and not exist here; the
		// root is then the container's own group.
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			if limit := readNumber(readFile, path.Join(root, group, file)); limit > 0 {
				least = min(least, limit)
			}
			if group == "/" {
				break
			}
		}
	}
	return least / 10 * 7 >> 20 << 20 // whole MiB, to read well
}

// readNumber is the number in the file, and 0 where there is none ("max" is none).
func readNumber(readFile func(string) ([]byte, error), name string) int64 {
	content, err := readFile(name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func machineMemory(readFile func(string) ([]byte, error)) int64 {
	info, _ := readFile("/proc/meminfo")
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line) // MemTotal:  16318480 kB
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil && n > 0 && n <= math.MaxInt64>>10 {
				return n << 10
			}
		}
	}
	return unknownMemory
}
