package kcltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// dynamoDB is the DynamoDB of a server. Tables are as those of billing on demand: nothing is throttled. Left out are
// queries, indexes, batches and transactions. A read is always consistent.
//
// The state is a bucket for each table, which holds the table's description and the bucket of its items.
type dynamoDB struct {
	db  *bbolt.DB
	now func() time.Time
}

var tablesBucket, itemsBucket, descriptionKey = []byte("dynamodb"), []byte("items"), []byte("description")

func newDynamoDB(db *bbolt.DB, options Options) (*dynamoDB, error) {
	err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(tablesBucket)
		return err
	})
	return &dynamoDB{db, options.Now}, err
}

// tableDescription is a table's, as it is kept and as DescribeTable gives it.
type tableDescription struct {
	Name       string             `json:"TableName"`
	ARN        string             `json:"TableArn"`
	Status     string             `json:"TableStatus"`
	Created    float64            `json:"CreationDateTime"`
	Attributes []attributeType    `json:"AttributeDefinitions"`
	Keys       []keyElement       `json:"KeySchema"`
	Billing    map[string]string  `json:"BillingModeSummary,omitempty"`
	Count      int                `json:"ItemCount"`
	Throughput map[string]float64 `json:"ProvisionedThroughput"`
}

type attributeType struct{ AttributeName, AttributeType string }

type keyElement struct{ AttributeName, KeyType string }

// table is a table within a transaction.
type table struct {
	tableDescription
	items *bbolt.Bucket
}

// validation is DynamoDB's error for what a request says.
func validation(format string, args ...any) error {
	return &apiError{Status: 400, Code: "ValidationException", Message: fmt.Sprintf(format, args...)}
}

// call runs an operation. A result may keep parts of the body.
func (d *dynamoDB) call(operation string, body []byte) (result any, failure *apiError) {
	type handler func(tx *bbolt.Tx, body []byte) (any, error)
	handlers := map[string]struct {
		run   handler
		write bool
	}{
		"CreateTable": {d.createTable, true}, "DeleteTable": {d.deleteTable, true}, "DescribeTable": {d.describeTable, false}, "ListTables": {d.listTables, false},
		"GetItem": {getItem, false}, "PutItem": {putItem, true}, "UpdateItem": {updateItem, true}, "DeleteItem": {deleteItem, true}, "Scan": {scan, false},
	}
	h, ok := handlers[operation]
	if !ok {
		return nil, &apiError{Status: 400, Code: "UnknownOperationException", Message: "kcltest has no operation " + operation + " of DynamoDB"}
	}
	within := d.db.View
	if h.write {
		within = d.db.Update
	}
	err := within(func(tx *bbolt.Tx) (err error) {
		result, err = h.run(tx, body)
		return err
	})
	var known *apiError
	switch {
	case errors.As(err, &known):
		return nil, known
	case err != nil:
		return nil, internal("run "+operation, err)
	}
	return result, nil
}

// decodeItems reads a request.
func decodeItems(body []byte, request any) error {
	if err := json.Unmarshal(body, request); err != nil {
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		if errors.As(err, &syntax) || errors.As(err, &kind) {
			return &apiError{Status: 400, Code: "SerializationException", Message: err.Error()}
		}
		return validation("%v", err)
	}
	return nil
}

// tableOf opens a table by its name or ARN.
func tableOf(tx *bbolt.Tx, name string) (*table, error) {
	name = name[strings.LastIndexByte(name, '/')+1:]
	b := tx.Bucket(tablesBucket).Bucket([]byte(name))
	if b == nil {
		return nil, &apiError{Status: 400, Code: "ResourceNotFoundException", Message: "Requested resource not found: Table: " + name + " not found"}
	}
	t := &table{items: b.Bucket(itemsBucket)}
	return t, json.Unmarshal(b.Get(descriptionKey), &t.tableDescription)
}

var tableNames = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func (d *dynamoDB) createTable(tx *bbolt.Tx, body []byte) (any, error) {
	var in struct {
		TableName            string
		BillingMode          string
		AttributeDefinitions []attributeType
		KeySchema            []keyElement
	}
	if err := decodeItems(body, &in); err != nil {
		return nil, err
	}
	if !tableNames.MatchString(in.TableName) {
		return nil, validation("TableName must be at least 3 characters long and at most 255 characters long, of a-z, A-Z, 0-9, '_', '-' and '.'")
	}
	types := map[string]string{}
	for _, a := range in.AttributeDefinitions {
		types[a.AttributeName] = a.AttributeType
	}
	for i, k := range in.KeySchema {
		if want := []string{"HASH", "RANGE"}; i >= len(want) || k.KeyType != want[i] {
			return nil, validation("Invalid KeySchema: the first element is of the type HASH, and the second, if any, of RANGE")
		}
		if t := types[k.AttributeName]; t != "S" && t != "N" && t != "B" {
			return nil, validation("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [%s]", k.AttributeName)
		}
	}
	if len(in.KeySchema) == 0 || len(types) != len(in.KeySchema) {
		return nil, validation("One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	b, err := tx.Bucket(tablesBucket).CreateBucket([]byte(in.TableName))
	if errors.Is(err, bbolterrors.ErrBucketExists) {
		return nil, &apiError{Status: 400, Code: "ResourceInUseException", Message: "Table already exists: " + in.TableName}
	} else if err != nil {
		return nil, err
	}
	if _, err := b.CreateBucket(itemsBucket); err != nil {
		return nil, err
	}
	t := tableDescription{
		Name: in.TableName, ARN: "arn:aws:dynamodb:us-east-1:000000000000:table/" + in.TableName, Status: "ACTIVE",
		Created: float64(d.now().UnixMilli()) / 1000, Attributes: in.AttributeDefinitions, Keys: in.KeySchema,
		Throughput: map[string]float64{"ReadCapacityUnits": 0, "WriteCapacityUnits": 0, "NumberOfDecreasesToday": 0},
	}
	if in.BillingMode == "PAY_PER_REQUEST" {
		t.Billing = map[string]string{"BillingMode": in.BillingMode}
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return map[string]any{"TableDescription": t}, b.Put(descriptionKey, text)
}

func (d *dynamoDB) describeTable(tx *bbolt.Tx, body []byte) (any, error) {
	var in struct{ TableName string }
	if err := decodeItems(body, &in); err != nil {
		return nil, err
	}
	t, err := tableOf(tx, in.TableName)
	if err != nil {
		return nil, err
	}
	t.Count = t.items.Stats().KeyN
	return map[string]any{"Table": t.tableDescription}, nil
}

func (d *dynamoDB) deleteTable(tx *bbolt.Tx, body []byte) (any, error) {
	var in struct{ TableName string }
	if err := decodeItems(body, &in); err != nil {
		return nil, err
	}
	t, err := tableOf(tx, in.TableName)
	if err != nil {
		return nil, err
	}
	t.Status = "DELETING"
	return map[string]any{"TableDescription": t.tableDescription}, tx.Bucket(tablesBucket).DeleteBucket([]byte(t.Name))
}

func (d *dynamoDB) listTables(tx *bbolt.Tx, body []byte) (any, error) {
	var in struct {
		ExclusiveStartTableName string
		Limit                   int
	}
	if err := decodeItems(body, &in); err != nil {
		return nil, err
	}
	if in.Limit == 0 {
		in.Limit = 100
	}
	names := []string{}
	more := false
	err := tx.Bucket(tablesBucket).ForEachBucket(func(name []byte) error {
		switch {
		case string(name) <= in.ExclusiveStartTableName:
		case len(names) == in.Limit:
			more = true
		default:
			names = append(names, string(name))
		}
		return nil
	})
	out := map[string]any{"TableNames": names}
	if more {
		out["LastEvaluatedTableName"] = names[len(names)-1]
	}
	return out, err
}
