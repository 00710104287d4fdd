// Package protocol decides how the batches of a shard become durable and visible, each exactly once, whatever fails. It
// makes no call, reads no clock and starts no goroutine: it says which call to make next and is told what came of it. The
// consumer makes these calls on DynamoDB and S3; package simulate answers them in every order that a bad day can have.
//
// A shard has one item in a table (Lease). All that counts is decided by conditional writes to it (Write):
//
//	create   the item does not exist
//	take     the epoch and the owner are those that were seen; the epoch goes up
//	commit   owner and epoch are mine, the commit number is the last one, nothing is pending; the number goes up
//	clear    the commit number is that of the commit whose files are visible now
//	give up  the commit number is that of the commit whose uploads are lost
//	release  owner and epoch are mine
//
// Files are uploaded before the commit without becoming visible, and made visible after it. So these hold:
//
//   - Writers of one shard are serialised by (epoch, commit number): the ranges of its batches follow one another without
//     gap or overlap. Whoever was paused and comes back finds that the item has moved on.
//   - What is not committed is never visible: nobody knows its uploads, but the cleaner (see Abandoned).
//   - What is committed becomes visible: the item lists it as pending until it is, and everybody who takes the shard
//     finishes that first; what a finished shard left, which nobody takes any more, is finished by anyone (see Left).
//
// Somebody may abort an upload that is committed, a person or a lifecycle rule. Then the commit is given up by another one,
// which takes the position back to before it, so that its records are read again; see Rewinding.
//
// A batch that was not committed is read again by the next owner, who need not cut it at the same place: nothing depends
// on two readings being alike. The steps of a batch, and what a crash after each of them leaves, are in Hold.Next.
package protocol
