// Package e2e runs the commands as a user does, and holds what they leave behind against what was acknowledged. It is a
// module of its own, because the foreign readers of the files (DuckDB, Apache Arrow) are heavy and one needs a C compiler:
//
//	cd internal/e2e && GOWORK=off go test ./...
//
// The commands are built by the tests. These environment variables say what else to run:
//
//	KCLTEST_PEERS=DIR           run the service against kinesalite and dynalite, installed in DIR by
//	                            `npm ci` in a copy of consumer/kcltest/peers
//	DIRECT_PUT_JAVASCRIPT=DIR   put records by the AWS SDKs for JavaScript, installed in DIR by `npm ci` in a copy of
//	                            internal/e2e/javascript
//	KINESIS_DATA_GENERATOR=DIR  and by the page of the Kinesis Data Generator, fetched into DIR as TestKinesisDataGenerator says
//	SLUICE_E2E_RATE=1           hold 10,100 records a second
//	SLUICE_E2E_RATE_DURATION=2m for so long (2m is the default); needs the machine for itself
//	SLUICE_E2E_SEED=N           the random moments of a run before, as it printed them
//
// What is right is told by package check. Nothing here knows how the service works inside.
//
// The command chaos runs the service for as long as one likes while everything around it goes wrong, and measures how long
// it takes to recover (see package chaos):
//
//	cd internal/e2e && GOWORK=off go run ./cmd/chaos --duration 1h
//	cd internal/e2e && GOWORK=off go run ./cmd/chaos --measure failover
package e2e
