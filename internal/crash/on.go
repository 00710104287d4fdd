//go:build chaos

package crash

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Enabled tells whether this build crashes.
const Enabled = true

// plan is what the environment asks for; left counts down to the moment.
var plan = sync.OnceValue(func() *struct {
	sync.Mutex
	point, how string
	nth, left  int
} {
	p := &struct {
		sync.Mutex
		point, how string
		nth, left  int
	}{how: "exit"}
	text := os.Getenv(Variable)
	if text == "" {
		return p
	}
	parts := strings.Split(text, ":")
	if len(parts) == 3 {
		p.how = parts[2]
	}
	n, err := strconv.Atoi(parts[min(1, len(parts)-1)])
	if len(parts) < 2 || len(parts) > 3 || err != nil || n < 1 || p.how != "exit" && p.how != "stop" && p.how != "term" {
		fmt.Fprintf(os.Stderr, "%s=%q: want POINT:N or POINT:N:HOW, with HOW one of exit, stop, term\n", Variable, text)
		os.Exit(2)
	}
	p.point, p.nth, p.left = parts[0], n, n
	return p
})

// At is a point.
func At(point string) {
	p := plan()
	if p.point != point {
		return
	}
	p.Lock()
	defer p.Unlock() // who comes next waits, so that nothing is done after the moment
	if p.left--; p.left != 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "crash: %s:%d:%s\n", p.point, p.nth, p.how)
	switch p.how {
	case "exit":
		os.Exit(Status)
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "term":
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}
}
