// Package pipeline is one shard's story: what comes out of the stream, what becomes of it, and when it is committed.
//
// It is the only place where the stages meet. The consumer gives a shard's records in order and takes batches; transform
// makes columns of payloads, and more columns of these; anomaly scores rows; sink knows where files go and encodes them. The story is told in
// shard.go, from a fetch to a commit; batch.go holds the rows that are not committed yet; schema.go agrees with the
// other workers on the columns; budget.go keeps the batches of all shards together within the memory.
package pipeline
