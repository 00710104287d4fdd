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

// leastMemory is the least limit that the service takes.
const leastMemory = 16 << 20

// MemoryLimit is 70% of the memory that this process may use, in bytes: the smallest limit of its control groups
// (version 2 or 1), what a limit of its address space leaves, or the machine's memory. The rest is left to the runtime's
// own needs and to the page cache. readFile is os.ReadFile.
func MemoryLimit(readFile func(string) ([]byte, error)) int64 {
	least := min(machineMemory(readFile), addressSpace(readFile))
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
	return max(least/10*7>>20<<20, leastMemory) // whole MiB, to read well
}

// forThreads is the address space of threads that are yet to come: their stacks, and what the C library reserves for each.
const forThreads = 128 << 20

// addressSpace is how much memory a limit of the address space (ulimit -v) leaves. The process reserves more than a gigabyte
// at its start, of which it uses next to nothing: that is gone already. Of the rest half is counted, since the runtime gives
// memory back, but no address space: what it once needed at most, and all gaps, stay with it.
func addressSpace(readFile func(string) ([]byte, error)) int64 {
	limits, _ := readFile("/proc/self/limits") // absent on other systems
	for line := range strings.Lines(string(limits)) {
		// Max address space         2147483648           unlimited            bytes
		values, ok := strings.CutPrefix(line, "Max address space")
		if !ok {
			continue
		}
		if fields := strings.Fields(values); len(fields) > 0 {
			if limit, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				return max(limit-kilobytes(readFile, "/proc/self/status", "VmSize:")-forThreads, 0) / 2
			}
		}
	}
	return math.MaxInt64
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
	if n := kilobytes(readFile, "/proc/meminfo", "MemTotal:"); n > 0 {
		return n
	}
	return unknownMemory
}

// kilobytes is the size, in bytes, that follows a name in one of the kernel's tables (MemTotal:  16318480 kB); 0 where it is
// not there.
func kilobytes(readFile func(string) ([]byte, error), table, name string) int64 {
	content, _ := readFile(table)
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == name {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil && n > 0 && n <= math.MaxInt64>>10 {
				return n << 10
			}
		}
	}
	return 0
}
