package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// TestRedrive lets a service reject everything, for its format is wrong; corrects the format; and sends the records again.
func TestRedrive(t *testing.T) {
	t.Parallel()
	const records = 700 // every tenth of two lines
	y := newYard(t, 2)
	wrong := y.run(t, "wrong", "SLUICE_FORMAT=apache")
	lines := 0
	var batch []world.Record
	for n := range records {
		payload := fmt.Sprintf(`{"n":%d}`, lines)
		lines++
		if n%10 == 0 {
			payload += fmt.Sprintf("\n"+`{"n":%d}`, lines)
			lines++
		}
		batch = append(batch, world.Record{Key: fmt.Sprint(n), Data: []byte(payload)})
		if len(batch) == 350 {
			put(t, y.producer, batch)
			batch = nil
		}
	}
	shown := func(want int, running *runner) {
		t.Helper()
		eventually(t, 2*time.Minute, fmt.Sprintf("%d rows and rejects are visible", want), []*process.Process{running.Process}, func() bool { return y.count(t) >= want })
	}
	shown(lines, wrong)
	terminate(t, wrong.Process)

	// Another format has other columns, which are to be found anew.
	schema := map[string]types.AttributeValue{"leaseKey": &types.AttributeValueMemberS{Value: "_schema"}}
	if _, err := y.Dynamo.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("sluice"), Key: schema}); err != nil {
		t.Fatal(err)
	}
	right := y.run(t, "right", "SLUICE_FORMAT=json")
	type summary struct {
		Records, Sent, Before int
		InDoubt               int `json:"in_doubt"`
	}
	redrive := func(want summary, args ...string) {
		t.Helper()
		p := start(t, "redrive", "sluice", environment(y.World), append([]string{"redrive", "--json"}, args...)...)
		wait(t, p, time.Minute)
		var got summary
		if err := json.Unmarshal(p.LastLine(), &got); err != nil || got != want {
			t.Fatalf("redrive %v told of %+v, %v; want %+v", args, got, err, want)
		}
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// times is how many lines there are, how often each is a row at least, and at most.
	times := func(want string) {
		t.Helper()
		got := query(t, db, fmt.Sprintf(`SELECT concat_ws(' ', count(*), min(times), max(times)) FROM
			(SELECT n, count(*) AS times FROM read_parquet('%s/data/*/*.parquet') GROUP BY n)`, y.Bucket))
		if got[0] != want {
			t.Errorf("lines, and how often each is a row: %s; want %s", got[0], want)
		}
	}
	redrive(summary{Records: lines, Sent: lines}, "--dry-run", "--code", "no_match")
	redrive(summary{}, "--code", "empty")
	redrive(summary{Records: lines, Sent: lines})
	shown(2*lines, right)
	times(fmt.Sprintf("%d 1 1", lines))
	redrive(summary{Records: lines, Before: lines})
	redrive(summary{Records: lines, Sent: lines}, "--force")
	shown(3*lines, right)
	terminate(t, right.Process)
	times(fmt.Sprintf("%d 2 2", lines))
}
