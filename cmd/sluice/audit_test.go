package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

func TestTimeRange(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 500, time.FixedZone("", 3600))
	for _, test := range []struct{ from, to, want string }{
		{"", "", "2026-01-30T11:00:00.0000005Z 2026-01-31T11:00:00.0000005Z"},
		{"2026-01-30", "", "2026-01-30T00:00:00Z 2026-01-31T11:00:00.0000005Z"},
		{"2026-01-30", "2026-01-30", "2026-01-30T00:00:00Z 2026-01-31T00:00:00Z"},
		{"", "2026-01-30", "2026-01-30T00:00:00Z 2026-01-31T00:00:00Z"},
		{"", "2026-01-20T12:00:00Z", "2026-01-19T12:00:00Z 2026-01-20T12:00:00Z"},
		{"2026-01-20T12:00:00+02:00", "2026-01-20T12:00:00.5Z", "2026-01-20T10:00:00Z 2026-01-20T12:00:00.5Z"},
		{"2026-01-31", "2026-01-31", "2026-01-31T00:00:00Z 2026-01-31T11:00:00.0000005Z"}, // so far
		{"2026-02-01", "", "is empty"},
		{"2026-01-30", "2026-01-29", "is empty"},
		{"yesterday", "", `--from "yesterday" is neither`},
		{"", "2026-01-30 12:00", `--to "2026-01-30 12:00" is neither`},
	} {
		from, to, err := timeRange(test.from, test.to, now)
		got := from.Format(time.RFC3339Nano) + " " + to.Format(time.RFC3339Nano)
		if err != nil {
			got = err.Error()
			if _, usage := err.(usageError); !usage {
				t.Errorf("%q, %q: %v is no fault of usage", test.from, test.to, err)
			}
		}
		if got != test.want && (err == nil || !strings.Contains(got, test.want)) {
			t.Errorf("%q, %q: %s; want %s", test.from, test.to, got, test.want)
		}
	}
}

// bucket is an S3 bucket that can be read. Objects have the token of their commit, and were changed last a minute ago.
type bucket map[string]object

type object struct{ body, token string }

func (b bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch o, ok := b[key]; {
	case key == "" && r.Method == http.MethodGet:
		b.list(w, r.URL.Query().Get("prefix"))
	case key == "": // the bucket is there
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<Error><Code>NoSuchKey</Code></Error>")
	default:
		if o.token != "" {
			w.Header().Set("X-Amz-Meta-Sluice-Commit", o.token)
		}
		http.ServeContent(w, r, key, time.Time{}, strings.NewReader(o.body))
	}
}

// list knows no delimiter: then nothing lies below a folder.
func (b bucket) list(w http.ResponseWriter, prefix string) {
	type content struct {
		Key          string
		Size         int
		LastModified time.Time
	}
	answer := struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []content
	}{}
	for _, key := range slices.Sorted(maps.Keys(b)) {
		if strings.HasPrefix(key, prefix) {
			answer.Contents = append(answer.Contents, content{key, len(b[key].body), time.Now().UTC().Add(-time.Minute)})
		}
	}
	_ = xml.NewEncoder(w).Encode(answer) // the client sees a short one
}

// commit puts a commit of one file of rejects into the bucket, and gives the file's key.
func (b bucket) commit(number int64, at time.Time) string {
	names := protocol.Names{App: "sluice", Stream: "payments", StatePrefix: "_sluice/"}
	c := &protocol.Commit{ID: fmt.Sprint("id-", number), Shard: "shardId-000000000000", Epoch: 7, Number: number, Time: at.UTC().Format(time.RFC3339Nano),
		After: fmt.Sprint(number - 1), Checkpoint: fmt.Sprint(number)}
	key := "errors/processing-failed/dt=2026-01-31/" + names.Object(c.Shard, c.Epoch, number, 0, "json.gz")
	c.Files = []protocol.File{{Key: key, Size: 7}}
	b[key] = object{"rejects", c.Token(0)}
	b[names.Record(c)] = object{string(c.Record()), ""}
	return key
}

func TestAudit(t *testing.T) {
	b := bucket{}
	server := aws(t, b.ServeHTTP)
	status, _, stderr := sluice(t, environ, "audit")
	if status != 1 {
		t.Errorf("without a table: status %d", status)
	}
	contains(t, stderr, "no lease table sluice", "SLUICE_LEASE_TABLE")
	call(t, server, "DynamoDB_20120810.CreateTable", `{"TableName":"sluice","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"leaseKey","AttributeType":"S"}],"KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}]}`)

	now := time.Now()
	b.commit(8, now.Add(-25*time.Hour)) // of no interest today
	b.commit(9, now.Add(-2*time.Hour))
	file := b.commit(10, now.Add(-time.Hour))
	status, stdout, stderr := sluice(t, environ, "audit")
	if status != 0 || stderr != "" {
		t.Errorf("all is in order: status %d, %s%s", status, stdout, stderr)
	}
	contains(t, stdout, "stream payments, application sluice", "2 commits", "CLAIMED", "files", "bytes       14     14", "3 objects", "No difference.")

	o := b[file]
	b[file] = object{"reject", o.token}
	b["data/<foreign>"] = object{}
	status, stdout, stderr = sluice(t, environ, "audit")
	if status != 1 {
		t.Errorf("with differences: status %d", status)
	}
	contains(t, stderr, "2 differences")
	contains(t, stdout, "size             "+file+": claimed are 7 bytes, it has 6\n", "foreign          data/<foreign>: ", "2 differences: 1 foreign, 1 size.")

	status, stdout, _ = sluice(t, environ, "audit", "--json", "--from", now.UTC().Add(-90*time.Minute).Format(time.RFC3339))
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if status != 1 || len(lines) != 3 {
		t.Fatalf("--json: status %d, %s", status, stdout)
	}
	var size struct {
		Kind, Key, Record, Text string
		Claimed, Found          int
	}
	var summary struct {
		Commits        int
		Claimed, Found struct{ Files, Rows, Bytes int }
		Differences    map[string]int
	}
	if err := json.Unmarshal([]byte(lines[0]), &size); err != nil || size.Kind != "size" || size.Key != file || size.Claimed != 7 || size.Found != 6 || size.Record == "" {
		t.Errorf("%+v, %v", size, err)
	}
	contains(t, lines[1], `"key":"data/<foreign>"`)
	if err := json.Unmarshal([]byte(lines[2]), &summary); err != nil || summary.Commits != 1 || summary.Claimed.Bytes != 7 || summary.Found.Bytes != 6 || summary.Differences["size"] != 1 {
		t.Errorf("%+v, %v", summary, err)
	}
}

// What cannot be looked at is a fault, and not a difference.
func TestAuditCannotLook(t *testing.T) {
	aws(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) })
	status, stdout, stderr := sluice(t, environ, "audit")
	if status != 1 || stdout != "" {
		t.Errorf("status %d, %s", status, stdout)
	}
	contains(t, stderr, "lake", "s3:ListBucket")
}
