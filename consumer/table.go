package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

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

// documentBody is the attribute with the text of a document.
const documentBody = "body"

// table is the lease table: typed operations on its items, each of them one call. It decides nothing.
type table struct {
	client *dynamodb.Client
	name   string
}

type item = map[string]types.AttributeValue

// attribute is a value as DynamoDB has it.
func attribute(v protocol.Value) types.AttributeValue {
	switch v := v.(type) {
	case string:
		return &types.AttributeValueMemberS{Value: v}
	case int64:
		return &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}
	}
	panic(fmt.Sprintf("a %T is no value of an item", v))
}

// plain is an item's values; those of other types than ours are left out.
func plain(it item) protocol.Item {
	if it == nil {
		return nil
	}
	values := make(protocol.Item, len(it))
	for name, v := range it {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			values[name] = v.Value
		case *types.AttributeValueMemberBOOL:
			values[name] = v.Value
		case *types.AttributeValueMemberN:
			if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
				values[name] = n
			}
		}
	}
	return values
}

// read gives a shard's item as it is now; nil where there is none.
func (t *table) read(ctx context.Context, shard string) (*protocol.Lease, error) {
	it, err := t.get(ctx, shard)
	if err != nil || it == nil {
		return nil, err
	}
	return protocol.ParseLease(it)
}

func (t *table) get(ctx context.Context, key string) (protocol.Item, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &t.name, Key: keyOf(key), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("read %s from table %s: %w", key, t.name, err)
	}
	return plain(out.Item), nil
}

func keyOf(key string) item { return item{protocol.KeyAttribute: attribute(key)} }

// scan gives all items of shards and workers, each perhaps a moment old.
func (t *table) scan(ctx context.Context) (leases map[string]*protocol.Lease, workers map[string]workerRow, err error) {
	leases, workers = map[string]*protocol.Lease{}, map[string]workerRow{}
	pages := dynamodb.NewScanPaginator(t.client, &dynamodb.ScanInput{TableName: &t.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("scan table %s: %w", t.name, err)
		}
		for _, found := range page.Items {
			it := plain(found)
			key, _ := it[protocol.KeyAttribute].(string)
			if id, ok := strings.CutPrefix(key, workerKey); ok {
				workers[id] = parseWorker(id, it)
				continue
			}
			if strings.HasPrefix(key, "_") {
				continue
			}
			if leases[key], err = protocol.ParseLease(it); err != nil {
				return nil, nil, err
			}
		}
	}
	return leases, workers, nil
}

// write makes a conditional write of the protocol, and gives the item as it then is. The error is protocol.ErrRefused
// where a condition does not hold.
func (t *table) write(ctx context.Context, w protocol.Write) (protocol.Item, error) {
	e := newExpression()
	in := &dynamodb.UpdateItemInput{
		TableName: &t.name, Key: keyOf(w.Key), ReturnValues: types.ReturnValueAllNew,
		UpdateExpression: e.update(w.Set, w.Remove), ConditionExpression: e.condition(w.If),
		ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
	}
	out, err := t.client.UpdateItem(ctx, in)
	if refused(err) {
		return nil, protocol.ErrRefused
	}
	if err != nil {
		return nil, fmt.Errorf("write %s to table %s: %w", w.Key, t.name, err)
	}
	return plain(out.Attributes), nil
}

func refused(err error) bool {
	var failed *types.ConditionalCheckFailedException
	return errors.As(err, &failed)
}

// writeLease is write for an item of which the answer is wanted.
func (t *table) writeLease(ctx context.Context, w protocol.Write) (*protocol.Lease, error) {
	it, err := t.write(ctx, w)
	if err != nil {
		return nil, err
	}
	return protocol.ParseLease(it)
}

// remove deletes the item of a key if conditions hold. The error is protocol.ErrRefused where they do not.
func (t *table) remove(ctx context.Context, key string, conditions []protocol.Condition) error {
	e := newExpression()
	_, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &t.name, Key: keyOf(key), ConditionExpression: e.condition(conditions),
		ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
	})
	if refused(err) {
		return protocol.ErrRefused
	}
	if err != nil {
		return fmt.Errorf("delete %s from table %s: %w", key, t.name, err)
	}
	return nil
}

// stamp is a time for people.
func stamp(now time.Time) string { return now.UTC().Format(time.RFC3339) }

func stampUnlessZero(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

func parseWorker(id string, it protocol.Item) workerRow {
	w := workerRow{ID: id}
	w.Nonce, _ = it["nonce"].(string)
	w.Heartbeat, _ = it["heartbeat"].(int64)
	w.Draining, _ = it["draining"].(bool)
	return w
}

// worker gives a worker's item as it is now; ok is false where there is none.
func (t *table) worker(ctx context.Context, id string) (row workerRow, ok bool, err error) {
	it, err := t.get(ctx, workerKey+id)
	return parseWorker(id, it), it != nil, err
}

// beat moves a worker's counter. The error is protocol.ErrRefused when another process uses the worker's name. replaces
// is the nonce of a dead process whose name this one takes over.
func (t *table) beat(ctx context.Context, w workerRow, replaces string, leases int, now time.Time) error {
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &t.name, Key: keyOf(workerKey + w.ID),
		UpdateExpression:    aws.String("SET nonce = :nonce, leases = :leases, draining = :draining, updated = :now ADD heartbeat :one"),
		ConditionExpression: aws.String("attribute_not_exists(nonce) OR nonce = :nonce OR nonce = :replaces"),
		ExpressionAttributeValues: item{":nonce": attribute(w.Nonce), ":replaces": attribute(replaces), ":leases": attribute(int64(leases)),
			":draining": attribute(w.Draining), ":one": attribute(int64(1)), ":now": attribute(stamp(now))},
	})
	if refused(err) {
		return protocol.ErrRefused
	}
	if err != nil {
		return fmt.Errorf("write the heartbeat of %s to table %s: %w", w.ID, t.name, err)
	}
	return nil
}

// forget removes a worker's item, unless it is another's by now.
func (t *table) forget(ctx context.Context, id, nonce string) error {
	err := t.remove(ctx, workerKey+id, []protocol.Condition{{Attribute: "nonce", Is: nonce}})
	if errors.Is(err, protocol.ErrRefused) {
		return nil
	}
	return err
}

// once stores a document under a key that nobody has written yet, and gives the one that is there.
func (t *table) once(ctx context.Context, key, body string) (string, error) {
	return t.store(ctx, key, body, protocol.Condition{Attribute: protocol.KeyAttribute})
}

// swap stores a document in the place of another under its key, and gives the one that is there then.
func (t *table) swap(ctx context.Context, key, old, body string) (string, error) {
	return t.store(ctx, key, body, protocol.Condition{Attribute: documentBody, Is: old})
}

// store stores a document if a condition holds, and gives the one that is there then. Where an answer was lost, the condition
// holds no more, and what is there says what came of it.
func (t *table) store(ctx context.Context, key, body string, condition protocol.Condition) (string, error) {
	_, err := t.write(ctx, protocol.Write{Key: key, If: []protocol.Condition{condition}, Set: protocol.Item{documentBody: body}})
	if err == nil {
		return body, nil
	}
	if !errors.Is(err, protocol.ErrRefused) {
		return "", err
	}
	return t.agreed(ctx, key)
}

// agreed is the document of a key; empty where there is none.
func (t *table) agreed(ctx context.Context, key string) (string, error) {
	it, err := t.get(ctx, key)
	body, _ := it[documentBody].(string)
	return body, err
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
