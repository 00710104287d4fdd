// Package consumer reads a Kinesis data stream, shard by shard, and commits what was made of it, exactly once.
//
// It is the only code that knows Kinesis and DynamoDB. Its user gives it a function, Config.Process, which runs once
// for every shard that this worker holds, in a goroutine of its own, and gets a Session: from it come the shard's
// records in order, to it go batches (see Session.Commit). A batch is a set of files, the position up to which they
// hold the shard's records, and the state that belongs to this position; all become durable in one write.
//
// The event loop, the leases' timing and the polling are those of the Kinesis Client Library for Go. What it does not
// promise is done around it: harness.go says what and why. Which worker holds which shard is decided in plan.go,
// by conditional writes to one DynamoDB table (table.go), and never by comparing the clocks of two machines.
//
// The package does not parse records and does not know what the files hold.
package consumer
