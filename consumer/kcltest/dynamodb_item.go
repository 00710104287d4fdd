package kcltest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"

	"go.etcd.io/bbolt"
)

// The limits of an item and of its keys, in bytes.
const (
	maxItem     = 400 << 10
	maxHashKey  = 2048
	maxRangeKey = 1024
)

// itemRequest is the union of the requests for one item.
type itemRequest struct {
	TableName string
	Key, Item attributes

	UpdateExpression, ConditionExpression, ProjectionExpression *string // nil is none, and empty is wrong
	ExpressionAttributeNames                                    map[string]string
	ExpressionAttributeValues                                   attributes

	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
}

// itemCall is a request for one item, with what it is about.
type itemCall struct {
	itemRequest
	*table
	expressions *expressions
	place       []byte     // of the item in the bucket
	before      attributes // nil: there is none
	condition   condition
}

// newItemCall reads a request; returns lists the values of ReturnValues that the operation allows.
func newItemCall(tx *bbolt.Tx, body []byte, returns ...string) (*itemCall, error) {
	c := &itemCall{condition: func(attributes) bool { return true }}
	if err := decodeItems(body, &c.itemRequest); err != nil {
		return nil, err
	}
	var err error
	if c.table, err = tableOf(tx, c.TableName); err != nil {
		return nil, err
	}
	if c.ReturnValues == "" {
		c.ReturnValues = "NONE"
	}
	if c.ReturnValues != "NONE" && !slices.Contains(returns, c.ReturnValues) {
		return nil, validation("ReturnValues can only be NONE or one of %v", returns)
	}
	c.expressions = &expressions{c.ExpressionAttributeNames, c.ExpressionAttributeValues, map[string]bool{}}
	if c.ConditionExpression != nil {
		if c.condition, err = parse(c.expressions, "ConditionExpression", *c.ConditionExpression, (*parser).condition); err != nil {
			return nil, validation("%v", err)
		}
	}
	key := c.Key
	if c.Item != nil {
		key = attributes{}
		for _, k := range c.Keys {
			v, ok := c.Item[k.AttributeName]
			if !ok {
				return nil, validation("One or more parameter values were invalid: Missing the key %s in the item", k.AttributeName)
			}
			key[k.AttributeName] = v
		}
	}
	if c.place, err = c.placeOf(key); err != nil {
		return nil, err
	}
	c.Key = key
	if text := c.items.Get(c.place); text != nil {
		return c, json.Unmarshal(text, &c.before)
	}
	return c, nil
}

// placeOf gives the place of a key in the table's bucket: in the order of a hash of the hash key, and of the range
// key within.
func (t *table) placeOf(key attributes) ([]byte, error) {
	var place []byte
	for i, k := range t.Keys {
		v, ok := key[k.AttributeName]
		if !ok || len(key) != len(t.Keys) {
			return nil, validation("The provided key element does not match the schema")
		}
		for _, a := range t.Attributes {
			if a.AttributeName == k.AttributeName && a.AttributeType != v.kind {
				return nil, validation("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", k.AttributeName, a.AttributeType, v.kind)
			}
		}
		limit := []int{maxHashKey, maxRangeKey}[i]
		if v.text == "" {
			return nil, validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", k.AttributeName)
		}
		if len(v.text) > limit {
			return nil, validation("One or more parameter values were invalid: Size of the key %s has exceeded the maximum size limit of %d bytes", k.AttributeName, limit)
		}
		if i == 0 {
			sum := sha256.Sum256([]byte(v.text))
			place = append(place, sum[:16]...)
			continue
		}
		place = append(place, sortable(v)...)
	}
	return place, nil
}

// sortable gives bytes in the order of a range key's values. Numbers are shifted to be positive, with as many digits
// each: 1e126 is above all, and 168 places below 1 hold every fraction.
func sortable(v value) []byte {
	if v.kind != "N" {
		return []byte(v.text)
	}
	shift, _ := new(big.Rat).SetString("1e127")
	return fmt.Appendf(nil, "%0*s", 128+1+168, shift.Add(shift, v.number()).FloatString(168))
}

// checked finishes the reading of a request: it fails where a placeholder was not used.
func (c *itemCall) checked() error {
	if err := c.expressions.check(); err != nil {
		return validation("%v", err)
	}
	return nil
}

// holds checks the condition against the item as it is.
func (c *itemCall) holds() error {
	if c.condition(c.before) {
		return nil
	}
	failure := &apiError{Status: 400, Code: "ConditionalCheckFailedException", Message: "The conditional request failed"}
	if c.ReturnValuesOnConditionCheckFailure == "ALL_OLD" && c.before != nil {
		failure.Extra = map[string]any{"Item": c.before}
	}
	return failure
}

// write stores the item as it is after the call.
func (c *itemCall) write(after attributes) error {
	if itemSize(after) > maxItem {
		return validation("Item size has exceeded the maximum allowed size")
	}
	text, err := json.Marshal(after)
	if err != nil {
		return err
	}
	return c.items.Put(c.place, text)
}

// result is the answer, with the attributes that were asked for.
func result(returned attributes) any {
	if len(returned) == 0 {
		return struct{}{}
	}
	return map[string]any{"Attributes": returned}
}

func getItem(tx *bbolt.Tx, body []byte) (any, error) {
	c, err := newItemCall(tx, body)
	if err != nil {
		return nil, err
	}
	project, err := projection(c.expressions, c.ProjectionExpression)
	if err != nil {
		return nil, err
	}
	if err := c.checked(); err != nil {
		return nil, err
	}
	if c.before == nil {
		return struct{}{}, nil
	}
	return map[string]any{"Item": project(c.before)}, nil
}

func putItem(tx *bbolt.Tx, body []byte) (any, error) {
	c, err := newItemCall(tx, body, "ALL_OLD")
	if err != nil {
		return nil, err
	}
	if err := c.checked(); err != nil {
		return nil, err
	}
	if err := c.holds(); err != nil {
		return nil, err
	}
	if err := c.write(c.Item); err != nil {
		return nil, err
	}
	if c.ReturnValues == "ALL_OLD" {
		return result(c.before), nil
	}
	return result(nil), nil
}

func deleteItem(tx *bbolt.Tx, body []byte) (any, error) {
	c, err := newItemCall(tx, body, "ALL_OLD")
	if err != nil {
		return nil, err
	}
	if err := c.checked(); err != nil {
		return nil, err
	}
	if err := c.holds(); err != nil {
		return nil, err
	}
	if err := c.items.Delete(c.place); err != nil {
		return nil, err
	}
	if c.ReturnValues == "ALL_OLD" {
		return result(c.before), nil
	}
	return result(nil), nil
}

func updateItem(tx *bbolt.Tx, body []byte) (any, error) {
	c, err := newItemCall(tx, body, "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW")
	if err != nil {
		return nil, err
	}
	var changes []change
	if c.UpdateExpression != nil {
		if changes, err = parse(c.expressions, "UpdateExpression", *c.UpdateExpression, (*parser).update); err != nil {
			return nil, validation("%v", err)
		}
	}
	for _, ch := range changes {
		if _, key := c.Key[ch.path[0].name]; key {
			return nil, validation("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the key", ch.path[0].name)
		}
	}
	if err := c.checked(); err != nil {
		return nil, err
	}
	if err := c.holds(); err != nil {
		return nil, err
	}
	before := c.before
	if before == nil {
		before = cloneItem(c.Key)
	}
	after, err := applyUpdate(before, changes)
	if err != nil {
		return nil, validation("%v", err)
	}
	if err := c.write(after); err != nil {
		return nil, err
	}
	switch c.ReturnValues {
	case "ALL_OLD":
		return result(c.before), nil
	case "ALL_NEW":
		return result(after), nil
	case "UPDATED_OLD":
		return result(touched(c.before, changes)), nil
	case "UPDATED_NEW":
		return result(touched(after, changes)), nil
	}
	return result(nil), nil
}

// touched are the attributes that an update is about.
func touched(item attributes, changes []change) attributes {
	out := attributes{}
	for _, ch := range changes {
		if v, ok := item[ch.path[0].name]; ok {
			out[ch.path[0].name] = v
		}
	}
	return out
}
