// Package chaos runs the service as several processes while everything around it goes wrong, and then tells whether
// each record that the stream acknowledged is visible exactly once, as it came, where it belongs.
//
// A run ([Run]) has a stream into which a generator puts records, writing down what it is about to put and what was
// acknowledged (a [Journal]); a fleet of workers; stand-ins for Kinesis, DynamoDB and S3; and between the workers, and
// only them, and each of the three a proxy that delays, cuts and swallows. One fault after another, and sometimes two at a time,
// is drawn from a seed, injected, taken back, and waited out until all that was acknowledged before is visible. At the end
// the invariants are checked by package check, whose readers are not the service's.
//
//	generator ───────────────────────────────► Kinesis ◄─┐
//	workers ──► proxy of Kinesis ────────────────────────┘
//	        ──► proxy of DynamoDB ───────────► DynamoDB
//	        ──► proxy of S3 ──► answers ─────► S3 (a folder) ◄── checks
//
// With [Measure] the same parts measure how long it takes to recover, to stop, to catch up.
//
// The service is known from outside only: its commands, settings, metrics, signals and exit status, the names of its
// objects. The one exception is the oracle of the detectors' verdicts, for which their own package is run alone, over
// the rows that the files hold.
package chaos
