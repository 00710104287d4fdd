//go:build unix

package ops

import (
	"syscall"
	"time"
)

// CPUTime is the time that the process has spent on processors, for itself and in the system's calls.
func CPUTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
