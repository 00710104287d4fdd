package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/transform"
)

const orders = `{"orderId":1,"price":1.5,"at":"2026-01-01T00:00:00Z","o":{"x":1}}
{"orderId":2,"price":2,"select":true}
`

// given runs a command with something on its standard input.
func given(t *testing.T, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(context.Background(), command{args: args, readFile: os.ReadFile, stdin: strings.NewReader(input), stdout: &out, stderr: &errs})
	return status, out.String(), errs.String()
}

// What is printed for a file of records can be declared, as it is.
func TestSchemaOfRecords(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(orders)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "orders.gz")
	if err := os.WriteFile(file, zipped.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, fromInput, _ := given(t, orders, "schema", "-")
	status, out, stderr := given(t, "", "schema", file)
	if status != 0 || out != fromInput {
		t.Fatalf("status %d: %s\n%s; of standard input\n%s", status, stderr, out, fromInput)
	}
	s, err := transform.ParseSchema([]byte(out))
	if err != nil || len(s.Fields) != 5 || s.Fields[0].Source != "orderId" {
		t.Errorf("%+v, %v", s, err)
	}
	for args, want := range map[string]string{
		"schema - --nested flatten":                              `"o_x"`,
		"schema - --format apache --apache-log-format kdg":       `"client_ip"`,
		"schema - --athena --bucket lake --table a.b":            "CREATE EXTERNAL TABLE IF NOT EXISTS `a`.`b` (\n  `orderid` bigint,\n  `price` double,\n  `at` timestamp,\n  `o` string,\n  `select` boolean,\n  `rescued` string,\n  `ingest_time` timestamp,",
		"schema - --athena --bucket lake --stream My.Orders":     "IF NOT EXISTS `my_orders`",
		"schema - --athena --bucket lake --table t --projection": "'storage.location.template' = 's3://lake/data/dt=${dt}/'",
	} {
		if status, out, stderr := given(t, orders, strings.Fields(args)...); status != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, %s\n%s\nwant %s", args, status, stderr, out, want)
		}
	}
	for args, want := range map[string]string{
		"schema missing.json":                                                "missing.json",
		"schema - --athena --table t":                                        "--athena needs SLUICE_BUCKET",
		"schema - --athena --bucket lake":                                    "--table is to be a name",
		"schema - --projection":                                              "belong to --athena",
		"schema - --athena --bucket lake --table t --output raw":             "have no columns",
		"schema - --athena --bucket lake --table t --projection --prefix d/": "no partition to project",
		"schema a b": `"b" is not expected`,
	} {
		if status, _, stderr := given(t, orders, strings.Fields(args)...); status == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d, %s; want %s", args, status, stderr, want)
		}
	}
	if status, _, stderr := given(t, "nonsense\n", "schema", "-"); status != 1 || !strings.Contains(stderr, "no record of the format json") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// Without a file it is what the workers have agreed on.
func TestSchemaOfTheTable(t *testing.T) {
	server := aws(t, func(http.ResponseWriter, *http.Request) {})
	call(t, server, "DynamoDB_20120810.CreateTable", `{"TableName":"sluice","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"leaseKey","AttributeType":"S"}],"KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}]}`)
	status, _, stderr := sluice(t, environ, "schema")
	if status != 1 || !strings.Contains(stderr, "has no schema yet") {
		t.Errorf("status %d, %s", status, stderr)
	}
	const body = `{"version":3,"fields":[{"name":"id","type":"decimal(12,2)","source":"ID"},{"name":"b","type":"string","source":"b","added":3}]}`
	quoted, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	call(t, server, "DynamoDB_20120810.UpdateItem", `{"TableName":"sluice","Key":{"leaseKey":{"S":"_schema"}},"UpdateExpression":"SET body = :body",
		"ExpressionAttributeValues":{":body":{"S":`+string(quoted)+`}}}`)
	status, out, stderr := sluice(t, environ, "schema")
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(out)); status != 0 || err != nil || compact.String() != body {
		t.Errorf("status %d, %s, %v: %s", status, stderr, err, out)
	}
	if status, out, stderr = sluice(t, environ, "schema", "--athena"); status != 0 || !strings.Contains(out, "`payments` (\n  `id` decimal(12,2),\n  `b` string,\n  `rescued` string,") {
		t.Errorf("status %d, %s: %s", status, stderr, out)
	}
}
