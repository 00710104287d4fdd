// Package ops is what an operator sees of the service: metrics, health, and the log's form. The status page is made of it
// by the package status.
//
// It measures nothing by itself and decides nothing: the consumer and the pipeline tell it what happens, and it shows
// that over HTTP to whoever can reach the address. There is no authentication; the address is for a private network.
package ops
