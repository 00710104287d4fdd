// Package intake is the endpoint of Direct PUT: it takes records over HTTP as Amazon Data Firehose does, so that producers
// written for Firehose need another endpoint and other keys, and nothing else.
//
// It answers PutRecord, PutRecordBatch, DescribeDeliveryStream and ListDeliveryStreams, in AWS's JSON 1.1. What they mean,
// their limits and their errors are those of the Firehose API Reference
// (https://docs.aws.amazon.com/firehose/latest/APIReference/).
//
// A record is acknowledged when a stream has it, and is kept nowhere else: its way from there is that of every other record.
// The package knows the stream as a Putter alone.
//
// Whoever can reach the address can ask. Three things bound what that costs, whoever asks: the number of connections, the
// bytes of bodies in memory, which are counted as they come, and the time in which a body must come. What is asked is looked
// at only after its signature (see package sigv4).
package intake
