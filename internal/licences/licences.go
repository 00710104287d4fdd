// Package licences carries the licences and notices of all that others wrote of the program: of the modules in the binary, of Go's
// library, and of what lies among the service's own sources. They ask for their texts to go along with every copy of the binary.
//
// The text is made from the modules' own files, and a test of internal/deploytest/binary holds it against what the linker has put
// into the binary.
package licences

import _ "embed"

// Text is for people: each text that there is once, and before it whose it is.
//
//go:embed texts.txt
var Text string
