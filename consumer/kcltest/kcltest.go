// Package kcltest serves the parts of Kinesis and DynamoDB that a Kinesis consumer needs, on a loopback address, for tests and for trying things
// out on one machine.
package kcltest
