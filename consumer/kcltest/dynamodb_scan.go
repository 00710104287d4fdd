package kcltest

import (
	"bytes"
	"encoding/json"

	"go.etcd.io/bbolt"
)

// maxPage is how many bytes of items a page of a scan looks at.
const maxPage = 1 << 20

// projection reads a projection expression: what of an item is given. None gives all.
func projection(e *expressions, text *string) (func(attributes) attributes, error) {
	if text == nil {
		return func(it attributes) attributes { return it }, nil
	}
	paths, err := parse(e, "ProjectionExpression", *text, func(p *parser) []path {
		list := []path{p.path()}
		for p.take(",") {
			list = append(list, p.path())
		}
		for _, one := range list {
			if len(one) > 1 {
				p.fail("kcltest projects attributes at the top alone; %s is deeper", one)
			}
		}
		return list
	})
	if err != nil {
		return nil, validation("%v", err)
	}
	return func(it attributes) attributes {
		out := attributes{}
		for _, of := range paths {
			if v, ok := it[of[0].name]; ok {
				out[of[0].name] = v
			}
		}
		return out
	}, nil
}

// scan gives the items in the order of their places, a page at a time. Filters apply to what a page looked at.
func scan(tx *bbolt.Tx, body []byte) (any, error) {
	var in struct {
		TableName                              string
		Limit                                  int
		ExclusiveStartKey                      attributes
		FilterExpression, ProjectionExpression *string
		ExpressionAttributeNames               map[string]string
		ExpressionAttributeValues              attributes
		Select                                 string
	}
	if err := decodeItems(body, &in); err != nil {
		return nil, err
	}
	t, err := tableOf(tx, in.TableName)
	if err != nil {
		return nil, err
	}
	if in.Limit < 0 {
		return nil, validation("Limit must be at least 1")
	}
	e := &expressions{in.ExpressionAttributeNames, in.ExpressionAttributeValues, map[string]bool{}}
	filter := condition(func(attributes) bool { return true })
	if in.FilterExpression != nil {
		if filter, err = parse(e, "FilterExpression", *in.FilterExpression, (*parser).condition); err != nil {
			return nil, validation("%v", err)
		}
	}
	project, err := projection(e, in.ProjectionExpression)
	if err != nil {
		return nil, err
	}
	if err := e.check(); err != nil {
		return nil, validation("%v", err)
	}

	cursor := t.items.Cursor()
	place, text := cursor.First()
	if in.ExclusiveStartKey != nil {
		start, err := t.placeOf(in.ExclusiveStartKey)
		if err != nil {
			return nil, err
		}
		if place, text = cursor.Seek(start); bytes.Equal(place, start) {
			place, text = cursor.Next()
		}
	}
	items := []attributes{}
	matched, looked, size := 0, 0, 0
	var last attributes
	for ; place != nil; place, text = cursor.Next() {
		if size >= maxPage || in.Limit > 0 && looked == in.Limit {
			break
		}
		var it attributes
		if err := json.Unmarshal(text, &it); err != nil {
			return nil, err
		}
		looked++
		size += itemSize(it)
		last = attributes{}
		for _, k := range t.Keys {
			last[k.AttributeName] = it[k.AttributeName]
		}
		if filter(it) {
			matched++
			items = append(items, project(it))
		}
	}
	out := map[string]any{"Count": matched, "ScannedCount": looked}
	if in.Select != "COUNT" {
		out["Items"] = items
	}
	if place != nil || in.Limit > 0 && looked == in.Limit {
		out["LastEvaluatedKey"] = last
	}
	return out, nil
}
