// Package crash ends the process at a chosen moment, to show what a crash there leaves behind. In builds without the tag
// chaos it does nothing, and costs nothing.
//
// A program calls At with the name of a moment (a point) before and after each step of which the order matters. In a
// build with the tag, the variable SLUICE_CRASH=POINT:N[:HOW] says at which point, the how manieth time that one of the
// program's goroutines comes there, and how: "exit" (the default) ends the process without deferred calls, as a SIGKILL
// does; "stop" sends it SIGSTOP, so that it stands still until somebody sends SIGCONT; "term" sends it SIGTERM, and goes
// on. Standard error is told of it in one line: "crash: POINT:N:HOW".
package crash

// Variable is the environment variable that names the point. Builds without the tag chaos know no such variable.
const Variable = "SLUICE_CRASH"

// Status is the exit status of a process that ended at a point.
const Status = 86
