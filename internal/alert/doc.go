// Package alert announces episodes of abnormal keys: to an SNS topic (package sns), and to a webhook. What an episode is, and when it
// opens and closes, is decided elsewhere; here it is only told, as [Alert] in JSON.
//
// # What is promised
//
// An alert is announced when the commit that holds it is durable, and is told at least once: whoever announces it keeps it until it is
// done, and announces it again after a crash, under the same ID and Sequence, by which a receiver knows one that it has. Each receiver has
// a queue of its own, of bounded length, that is worked off in order; nobody who announces ever waits. An alert that finds its queue
// full, that is refused for good, or that cannot be delivered for [GiveUp], is dropped, which is counted and logged.
//
// Many keys at once are not many messages: when more episodes open in an interval than allowed, the rest of them are one summary at its
// end, and their peaks and closings are not told.
package alert
