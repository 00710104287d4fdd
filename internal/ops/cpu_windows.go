package ops

import (
	"syscall"
	"time"
)

// CPUTime is the time that the process has spent on processors, for itself and in the system's calls.
func CPUTime() time.Duration {
	var created, exited, system, user syscall.Filetime
	process, err := syscall.GetCurrentProcess()
	if err != nil || syscall.GetProcessTimes(process, &created, &exited, &system, &user) != nil {
		return 0
	}
	ticks := func(t syscall.Filetime) int64 { return int64(t.HighDateTime)<<32 + int64(t.LowDateTime) } // of 100 ns
	return time.Duration(ticks(system)+ticks(user)) * 100
}
