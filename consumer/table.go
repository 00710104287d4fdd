package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// lease is the item of a shard: who holds it, and what is committed of it.
type lease struct {
	Shard      string
	Owner      string // the worker that holds it; empty: nobody
	Epoch      int64  // goes up with every change of owner: the fence
	CommitNo   int64  // goes up with every commit
	CommitID   string // of the last commit, and the token of its objects
	Start      string // where reading begins while there is no checkpoint: see parseStart
	Checkpoint string // the last committed sequence number; empty: none
	Finished   bool   // everything up to the end of a closed shard is committed
	Parents    []string
	Pending    []pendingFile // committed, but perhaps not visible yet
	State      *stateRef     // nil: none
	Schema     int           // version of the schema of the last batch
	Updated    string        // for people; nothing compares it
}

// pendingFile is an upload that a commit has promised to make visible.
type pendingFile struct {
	Key    string   `json:"key"`
	Upload string   `json:"uploadId"`
	ETags  []string `json:"etags"`
	Size   int      `json:"size"`
	Rows   int      `json:"rows"`
}

// stateRef names a snapshot and proves its bytes.
type stateRef struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// workerRow is the item of a worker. Its counter moves while the worker lives.
type workerRow struct {
	ID        string
	Nonce     string // of the process: tells two processes of the same name apart
	Heartbeat int64
	Draining  bool
}

// The keys of the table's items that are no shards.
const (
	workerKey = "_worker/"
	streamKey = "_stream"
)

// errCondition tells that a conditional write found something else than what it asked for.
var errCondition = errors.New("the item is not as expected")

// table is the lease table: typed operations on its items, each of them one call. It decides nothing.
type table struct {
	client *dynamodb.Client
	name   string
}

type item = map[string]types.AttributeValue

func text(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func number(v int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
}
func boolean(v bool) types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: v} }

// document stores any value as JSON text: it is read by this package alone, and whole.
func document(v any) types.AttributeValue {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only plain structs of this file come here
	}
	return text(string(b))
}

func getText(it item, name string) string {
	if v, ok := it[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

func getNumber(it item, name string) int64 {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		n, _ := strconv.ParseInt(v.Value, 10, 64) // absent and malformed both read as zero, and then fail the conditions
		return n
	}
	return 0
}

func getBool(it item, name string) bool {
	v, ok := it[name].(*types.AttributeValueMemberBOOL)
	return ok && v.Value
}

func getDocument(it item, name string, v any) error {
	s := getText(it, name)
	if s == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(s), v); err != nil {
		return fmt.Errorf("the attribute %s of the item %s in the lease table is damaged: %w", name, getText(it, "leaseKey"), err)
	}
	return nil
}

func parseLease(it item) (*lease, error) {
	l := &lease{
		Shard: getText(it, "leaseKey"), Owner: getText(it, "owner"), Epoch: getNumber(it, "epoch"),
		CommitNo: getNumber(it, "commitNo"), CommitID: getText(it, "commitId"), Start: getText(it, "start"),
		Checkpoint: getText(it, "checkpoint"), Finished: getBool(it, "finished"),
		Schema: int(getNumber(it, "schemaVersion")), Updated: getText(it, "updated"),
	}
	return l, errors.Join(getDocument(it, "parents", &l.Parents), getDocument(it, "pending", &l.Pending), getDocument(it, "state", &l.State))
}

// read gives a shard's item as it is now; nil where there is none.
func (t *table) read(ctx context.Context, shard string) (*lease, error) {
	it, err := t.get(ctx, shard)
	if err != nil || it == nil {
		return nil, err
	}
	return parseLease(it)
}

func (t *table) get(ctx context.Context, key string) (item, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &t.name, Key: item{"leaseKey": text(key)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("read %s from table %s: %w", key, t.name, err)
	}
	return out.Item, nil
}

// scan gives all items of shards and workers, each perhaps a moment old.
func (t *table) scan(ctx context.Context) (leases map[string]*lease, workers map[string]workerRow, err error) {
	leases, workers = map[string]*lease{}, map[string]workerRow{}
	pages := dynamodb.NewScanPaginator(t.client, &dynamodb.ScanInput{TableName: &t.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("scan table %s: %w", t.name, err)
		}
		for _, it := range page.Items {
			key := getText(it, "leaseKey")
			if id, ok := strings.CutPrefix(key, workerKey); ok {
				workers[id] = parseWorker(id, it)
				continue
			}
			if strings.HasPrefix(key, "_") {
				continue
			}
			if leases[key], err = parseLease(it); err != nil {
				return nil, nil, err
			}
		}
	}
	return leases, workers, nil
}

// update writes to one item under a condition. It returns errCondition where that does not hold.
func (t *table) update(ctx context.Context, key, expression, condition string, values item) (item, error) {
	in := &dynamodb.UpdateItemInput{
		TableName: &t.name, Key: item{"leaseKey": text(key)}, UpdateExpression: &expression,
		ExpressionAttributeValues: values, ReturnValues: types.ReturnValueAllNew,
	}
	// owner, start and state are reserved words of DynamoDB's expressions.
	names := map[string]string{}
	for _, word := range []string{"owner", "start", "state"} {
		if strings.Contains(expression+" "+condition, "#"+word) {
			names["#"+word] = word
		}
	}
	if len(names) > 0 {
		in.ExpressionAttributeNames = names
	}
	if condition != "" {
		in.ConditionExpression = &condition
	}
	out, err := t.client.UpdateItem(ctx, in)
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return nil, errCondition
	}
	if err != nil {
		return nil, fmt.Errorf("write %s to table %s: %w", key, t.name, err)
	}
	return out.Attributes, nil
}

// create makes a shard's item, owned by its creator. The first epoch is the time in seconds, so that a table which
// was deleted and made again cannot repeat the names of objects.
func (t *table) create(ctx context.Context, l lease, now time.Time) (*lease, error) {
	it, err := t.update(ctx, l.Shard,
		"SET #owner = :owner, epoch = :epoch, commitNo = :zero, #start = :start, parents = :parents, finished = :false, updated = :now",
		"attribute_not_exists(leaseKey)",
		item{":owner": text(l.Owner), ":epoch": number(now.Unix()), ":zero": number(0), ":start": text(l.Start),
			":parents": document(l.Parents), ":false": boolean(false), ":now": stamp(now)})
	if err != nil {
		return nil, err
	}
	return parseLease(it)
}

// take makes owner the holder of a shard that was seen with another or none, and gives the item as it then is.
func (t *table) take(ctx context.Context, seen *lease, owner string, now time.Time) (*lease, error) {
	condition := "epoch = :seen AND attribute_not_exists(#owner)"
	values := item{":seen": number(seen.Epoch), ":next": number(seen.Epoch + 1), ":owner": text(owner), ":now": stamp(now)}
	if seen.Owner != "" {
		condition = "epoch = :seen AND #owner = :seenOwner"
		values[":seenOwner"] = text(seen.Owner)
	}
	it, err := t.update(ctx, seen.Shard, "SET #owner = :owner, epoch = :next, updated = :now", condition, values)
	if err != nil {
		return nil, err
	}
	return parseLease(it)
}

// commit is the one write that decides a batch: next holds what will be true.
func (t *table) commit(ctx context.Context, next *lease, now time.Time) error {
	set := "SET commitNo = :next, commitId = :id, finished = :finished, schemaVersion = :schema, updated = :now"
	remove := ""
	values := item{":me": text(next.Owner), ":mine": number(next.Epoch), ":n": number(next.CommitNo - 1), ":next": number(next.CommitNo),
		":id": text(next.CommitID), ":finished": boolean(next.Finished), ":schema": number(int64(next.Schema)), ":now": stamp(now)}
	if next.Checkpoint != "" {
		set += ", checkpoint = :checkpoint"
		values[":checkpoint"] = text(next.Checkpoint)
	}
	if len(next.Pending) > 0 {
		set += ", pending = :pending"
		values[":pending"] = document(next.Pending)
	}
	if next.State != nil {
		set += ", #state = :state"
		values[":state"] = document(next.State)
	} else {
		remove = " REMOVE #state"
	}
	_, err := t.update(ctx, next.Shard, set+remove,
		"#owner = :me AND epoch = :mine AND commitNo = :n AND attribute_not_exists(pending)", values)
	return err
}

// clear tells that the files of commit number n are visible. Whoever published them may say so.
func (t *table) clear(ctx context.Context, shard string, n int64, now time.Time) error {
	_, err := t.update(ctx, shard, "SET updated = :now REMOVE pending", "commitNo = :n", item{":n": number(n), ":now": stamp(now)})
	return err
}

// release gives a shard back.
func (t *table) release(ctx context.Context, l *lease, now time.Time) error {
	_, err := t.update(ctx, l.Shard, "SET updated = :now REMOVE #owner", "#owner = :me AND epoch = :mine",
		item{":me": text(l.Owner), ":mine": number(l.Epoch), ":now": stamp(now)})
	return err
}

// remove deletes the item of a shard that is finished and no longer listed.
func (t *table) remove(ctx context.Context, l *lease) error {
	_, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &t.name, Key: item{"leaseKey": text(l.Shard)},
		ConditionExpression:       aws.String("epoch = :seen AND finished = :true AND attribute_not_exists(pending)"),
		ExpressionAttributeValues: item{":seen": number(l.Epoch), ":true": boolean(true)},
	})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return errCondition
	}
	return err
}

func stamp(now time.Time) types.AttributeValue { return text(now.UTC().Format(time.RFC3339)) }

func parseWorker(id string, it item) workerRow {
	return workerRow{ID: id, Nonce: getText(it, "nonce"), Heartbeat: getNumber(it, "heartbeat"), Draining: getBool(it, "draining")}
}

// worker gives a worker's item as it is now; ok is false where there is none.
func (t *table) worker(ctx context.Context, id string) (row workerRow, ok bool, err error) {
	it, err := t.get(ctx, workerKey+id)
	return parseWorker(id, it), it != nil, err
}

// beat moves a worker's counter, and fails with errCondition when another process uses the worker's name. replaces
// is the nonce of a dead process whose name this one takes over.
func (t *table) beat(ctx context.Context, w workerRow, replaces string, leases int, now time.Time) error {
	_, err := t.update(ctx, workerKey+w.ID, "SET nonce = :nonce, leases = :leases, draining = :draining, updated = :now ADD heartbeat :one",
		"attribute_not_exists(nonce) OR nonce = :nonce OR nonce = :replaces",
		item{":nonce": text(w.Nonce), ":replaces": text(replaces), ":leases": number(int64(leases)), ":draining": boolean(w.Draining),
			":one": number(1), ":now": stamp(now)})
	return err
}

// forget removes a worker's item.
func (t *table) forget(ctx context.Context, id, nonce string) error {
	_, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &t.name, Key: item{"leaseKey": text(workerKey + id)},
		ConditionExpression:       aws.String("nonce = :nonce"),
		ExpressionAttributeValues: item{":nonce": text(nonce)},
	})
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return nil // it is gone, or another's
	}
	return err
}

// once stores a document under a key that nobody has written yet, and gives the one that is there.
func (t *table) once(ctx context.Context, key, body string) (string, error) {
	_, err := t.update(ctx, key, "SET body = :body", "attribute_not_exists(leaseKey)", item{":body": text(body)})
	if err == nil {
		return body, nil
	}
	if !errors.Is(err, errCondition) {
		return "", err
	}
	it, err := t.get(ctx, key)
	return getText(it, "body"), err
}

// ensure waits for the table to be usable, and makes it when it is missing and create allows so.
func (t *table) ensure(ctx context.Context, create bool) error {
	out, err := t.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &t.name})
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing) && !create:
		return fmt.Errorf("table %s does not exist: create it with the string hash key leaseKey, or allow sluice to (SLUICE_CREATE_TABLE=true)", t.name)
	case errors.As(err, &missing):
		_, err = t.client.CreateTable(ctx, &dynamodb.CreateTableInput{
			TableName: &t.name, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("leaseKey"), AttributeType: types.ScalarAttributeTypeS}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("leaseKey"), KeyType: types.KeyTypeHash}},
		})
		var exists *types.ResourceInUseException
		if err != nil && !errors.As(err, &exists) { // another worker may have been faster
			return fmt.Errorf("create table %s: %w", t.name, err)
		}
	case err != nil:
		return fmt.Errorf("look at table %s: %w", t.name, err)
	default:
		if err := leaseTable(t.name, out.Table.KeySchema); err != nil {
			return err
		}
		if out.Table.TableStatus == types.TableStatusActive {
			return nil
		}
	}
	waiter := dynamodb.NewTableExistsWaiter(t.client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, 5*time.Second })
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &t.name}, 2*time.Minute); err != nil {
		return fmt.Errorf("wait for table %s: %w", t.name, err)
	}
	return nil
}

// leaseTable tells whether a table can hold leases.
func leaseTable(name string, key []types.KeySchemaElement) error {
	if len(key) != 1 || aws.ToString(key[0].AttributeName) != "leaseKey" {
		return fmt.Errorf("table %s is not a lease table: its key must be the string leaseKey alone; choose another with SLUICE_LEASE_TABLE", name)
	}
	return nil
}
