// Package enrich adds columns to rows, replaces or hides columns, and leaves rows out, as a list of steps says:
//
//	geoip(client_ip), network(client_ip), drop(client_ip), compute(slow, duration_ms > 500), where(status >= 400)
//
// Parse understands the list, and finds what is wrong with it whatever the records are. Plan.Bind holds it against the
// columns of a schema, and makes an Enricher, which handles rows. The steps of a row are taken in their order, and each sees
// the columns as the ones before it left them: what was dropped or hashed is not there any more.
//
// The package reads the databases and the key when it is asked to, and nothing afterwards. docs/enrichment.md describes every
// step for those who use them.
package enrich
