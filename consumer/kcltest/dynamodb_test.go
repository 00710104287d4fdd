package kcltest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/consumer/kcltest/peers"
)

// dynaliteDeviates says in which cases dynalite 4.0.0 is not like DynamoDB, and why they do not run against it.
var dynaliteDeviates = map[string]string{
	"the item that failed the condition": "it knows no ReturnValuesOnConditionCheckFailure",
	"table by ARN":                       "it knows table names only",
	"condition m = :map":                 "it compares maps by the order of their members",
	"update REMOVE l[0], l[1]":           "it counts the second index after it removed the first",
}

// TestDynamoDBContract holds our server to the contract, and dynalite, so that the contract says more than that we agree with ourselves.
func TestDynamoDBContract(t *testing.T) {
	server := start(t, kcltest.Options{})
	t.Run("kcltest", func(t *testing.T) { runTables(t, server.URL, nil) })
	t.Run("dynalite", func(t *testing.T) {
		dir := os.Getenv(peers.Env)
		if dir == "" {
			t.Skipf("%s names no installation of the peers; .ci/run makes one and runs this", peers.Env)
		}
		url, stop, err := peers.Start(t.Context(), dir, "dynalite")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}()
		runTables(t, url, dynaliteDeviates)
	})
}

func runTables(t *testing.T, url string, deviates map[string]string) {
	client := dynamoDBOf(url)
	run := func(name string, f func(*tableTest)) {
		t.Run(name, func(t *testing.T) {
			if why := deviates[name]; why != "" {
				t.Skip("deviates from DynamoDB: " + why)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			tt := &tableTest{T: t, Client: client, ctx: ctx, table: "t" + fmt.Sprintf("%x", fnv(name))}
			tt.create()
			f(tt)
		})
	}
	names := []string{}
	for _, c := range conditions {
		names = append(names, "condition "+c.condition)
		run("condition "+c.condition, func(t *tableTest) { t.condition(c.condition, c.holds) })
	}
	for _, c := range updates {
		names = append(names, "update "+c.update)
		run("update "+c.update, func(t *tableTest) { t.update(c.update, c.want) })
	}
	for _, c := range tableCases {
		run(c.name, c.run)
		names = append(names, c.name)
	}
	for name := range deviates {
		if !slices.Contains(names, name) {
			t.Errorf("the deviation %q names no case", name)
		}
	}
}

func fnv(s string) (h uint64) {
	h = 14695981039346656037
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func dynamoDBOf(url string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")})
}

// tableTest is one case, with a table of its own whose key is the string id.
type tableTest struct {
	*testing.T
	*dynamodb.Client
	ctx   context.Context
	table string
}

func (t *tableTest) must(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (t *tableTest) create() {
	t.Helper()
	_, err := t.CreateTable(t.ctx, &dynamodb.CreateTableInput{
		TableName: &t.table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	})
	t.must(err)
	t.must(dynamodb.NewTableExistsWaiter(t.Client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = 100 * time.Millisecond }).
		Wait(t.ctx, &dynamodb.DescribeTableInput{TableName: &t.table}, time.Minute))
}

// attr reads a value in DynamoDB's own JSON.
func attr(t testing.TB, text string) types.AttributeValue {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &m); err != nil || len(m) != 1 {
		t.Fatalf("%s is no attribute value: %v", text, err)
	}
	for kind, raw := range m {
		var s string
		var list []json.RawMessage
		var members map[string]json.RawMessage
		var b bool
		switch kind {
		case "S", "N":
			_ = json.Unmarshal(raw, &s)
			if kind == "S" {
				return &types.AttributeValueMemberS{Value: s}
			}
			return &types.AttributeValueMemberN{Value: s}
		case "B":
			var bytes []byte
			_ = json.Unmarshal(raw, &bytes)
			return &types.AttributeValueMemberB{Value: bytes}
		case "BOOL":
			_ = json.Unmarshal(raw, &b)
			return &types.AttributeValueMemberBOOL{Value: b}
		case "NULL":
			return &types.AttributeValueMemberNULL{Value: true}
		case "SS", "NS":
			var set []string
			_ = json.Unmarshal(raw, &set)
			if kind == "SS" {
				return &types.AttributeValueMemberSS{Value: set}
			}
			return &types.AttributeValueMemberNS{Value: set}
		case "L":
			_ = json.Unmarshal(raw, &list)
			v := &types.AttributeValueMemberL{Value: []types.AttributeValue{}}
			for _, one := range list {
				v.Value = append(v.Value, attr(t, string(one)))
			}
			return v
		case "M":
			_ = json.Unmarshal(raw, &members)
			v := &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{}}
			for name, one := range members {
				v.Value[name] = attr(t, string(one))
			}
			return v
		}
	}
	t.Fatalf("%s is of an unknown kind", text)
	return nil
}

func item(t testing.TB, text string) map[string]types.AttributeValue {
	t.Helper()
	return attr(t, `{"M":`+text+`}`).(*types.AttributeValueMemberM).Value
}

// sample is the item that conditions and updates are tried on.
const sample = `{"id":{"S":"k"},"n":{"N":"10"},"big":{"N":"12345678901234567890123456789012345678"},"s":{"S":"apple"},"b":{"B":"AQI="},"t":{"BOOL":true},
	"z":{"NULL":true},"ss":{"SS":["a","b"]},"ns":{"NS":["1","2"]},"l":{"L":[{"S":"x"},{"N":"5"},{"M":{"deep":{"N":"1"}}}]},"m":{"M":{"kernel":{"S":"y"},"many":{"L":[{"N":"7"}]}}}}`

// placeholders are offered to every expression; those it does not use are left out.
var placeholders = map[string]string{
	":10": `{"N":"10"}`, ":10f": `{"N":"10.00"}`, ":9": `{"N":"9"}`, ":100": `{"N":"100"}`, ":neg": `{"N":"-0.5"}`, ":apple": `{"S":"apple"}`, ":app": `{"S":"app"}`,
	":b": `{"S":"b"}`, ":q": `{"S":"q"}`, ":x": `{"S":"x"}`, ":true": `{"BOOL":true}`, ":SS": `{"S":"SS"}`, ":ba": `{"SS":["b","a"]}`, ":bc": `{"SS":["b","c"]}`,
	":ab": `{"SS":["a","b"]}`, ":1": `{"N":"1"}`, ":2": `{"N":"2"}`, ":3": `{"N":"3"}`, ":list": `{"L":[{"S":"new"}]}`, ":map": `{"M":{"kernel":{"S":"y"},"many":{"L":[{"N":"7"}]}}}`,
	":big": `{"N":"12345678901234567890123456789012345679"}`,
}

func (t *tableTest) used(expression string) (values map[string]types.AttributeValue, names map[string]string) {
	words := strings.FieldsFunc(expression, func(r rune) bool { return strings.ContainsRune(" ,()=<>+-.[]", r) })
	for name, text := range placeholders {
		if slices.Contains(words, name) {
			if values == nil {
				values = map[string]types.AttributeValue{}
			}
			values[name] = attr(t, text)
		}
	}
	for _, word := range words {
		if strings.HasPrefix(word, "#") {
			if names == nil {
				names = map[string]string{}
			}
			names[word] = word[1:]
		}
	}
	return values, names
}

func (t *tableTest) put(text string) {
	t.Helper()
	_, err := t.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: item(t, text)})
	t.must(err)
}

func (t *tableTest) get(id string) map[string]types.AttributeValue {
	t.Helper()
	out, err := t.GetItem(t.ctx, &dynamodb.GetItemInput{TableName: &t.table, Key: item(t, `{"id":{"S":"`+id+`"}}`), ConsistentRead: aws.Bool(true)})
	t.must(err)
	return out.Item
}

// The results of a condition: it holds, it does not, or the request is refused.
const (
	yes     = "yes"
	no      = "no"
	refused = "refused"
)

var conditions = []struct{ condition, holds string }{
	{"n = :10", yes}, {"n = :10f", yes}, {"n = :9", no}, {"n <> :9", yes}, {"n > :9", yes}, {"n < :100", yes}, {"n >= :10", yes}, {"n <= :9", no}, {"n > :neg", yes},
	{"big < :big", yes}, {"big = :big", no},
	{"s = :apple", yes}, {"s = :10", no}, {"s <> :10", yes}, {"s > :app", yes}, {"s < :b", yes}, {"gone = :10", no}, {"gone <> :10", yes}, {"gone < :10", no},
	{"t = :true", yes}, {"ss = :ba", yes}, {"m = :map", yes}, {"m.kernel = :q", no},
	{"n BETWEEN :9 AND :100", yes}, {"n BETWEEN :9 AND :100 AND s = :q", no}, {"n IN (:9, :10)", yes}, {"s IN (:q)", no},
	{"attribute_exists(n)", yes}, {"attribute_exists(gone)", no}, {"attribute_not_exists(gone)", yes}, {"attribute_exists(m.many[0])", yes}, {"attribute_exists(m.many[1])", no},
	{"attribute_exists(l[2].deep)", yes}, {"attribute_exists(s.deep)", no}, {"attribute_type(ss, :SS)", yes}, {"attribute_type(n, :SS)", no},
	{"begins_with(s, :app)", yes}, {"begins_with(s, :b)", no}, {"contains(s, :app)", yes}, {"contains(ss, :b)", yes}, {"contains(ss, :q)", no}, {"contains(l, :x)", yes},
	{"size(s) > :3", yes}, {"size(ss) = :2", yes}, {"size(l) = :3", yes}, {"size(b) = :2", yes}, {"size(gone) = :2", no},
	{"n = :9 OR n = :10", yes}, {"n = :9 OR n = :10 AND s = :q", no}, {"(n = :9 OR n = :10) AND NOT s = :q", yes}, {"NOT (n = :10 AND s = :apple)", no},
	{"not n = :9 and attribute_exists(s)", yes}, {"#n = :10", yes}, {"#m.#kernel = :q OR #n = :10", yes}, {"n=:10", yes},
	{"n = :undefined", refused}, {"#undefined! = :10", refused}, {"n = ", refused}, {"n :10", refused}, {"(n = :10", refused}, {"n = :10)", refused}, {"owner = :10", refused},
	{"nonsense(n)", refused}, {"n == :10", refused}, {"attribute_exists(:10)", refused}, {"1n = :10", refused}, {"n IN ()", refused}, {"l[x] = :10", refused},
}

// condition tries a condition on the sample, and checks that a delete under it happens or does not.
func (t *tableTest) condition(expression, want string) {
	t.put(sample)
	in := &dynamodb.DeleteItemInput{TableName: &t.table, Key: item(t, `{"id":{"S":"k"}}`), ConditionExpression: &expression}
	in.ExpressionAttributeValues, in.ExpressionAttributeNames = t.used(expression)
	_, err := t.DeleteItem(t.ctx, in)
	got := yes
	switch code(err) {
	case "ConditionalCheckFailedException":
		got = no
	case "ValidationException":
		got = refused
	default:
		t.must(err)
	}
	if got != want {
		t.Errorf("%q: %s (%v); want %s", expression, got, err, want)
	}
	if gone := t.get("k") == nil; gone != (got == yes) {
		t.Errorf("%q: %s, and the item is gone: %v", expression, got, gone)
	}
}

var updates = []struct{ update, want string }{
	{"SET fresh = :10", `{"fresh":{"N":"10"}}`}, {"SET s = :q, n = :9", `{"s":{"S":"q"},"n":{"N":"9"}}`}, {"set #s = :q", `{"s":{"S":"q"}}`},
	{"SET n = n + :1", `{"n":{"N":"11"}}`}, {"SET n = n - :neg", `{"n":{"N":"10.5"}}`}, {"SET fresh = n + n", `{"fresh":{"N":"20"}}`},
	{"SET big = big + :1", `{"big":{"N":"12345678901234567890123456789012345679"}}`},
	{"SET fresh = if_not_exists(gone, :10)", `{"fresh":{"N":"10"}}`}, {"SET fresh = if_not_exists(s, :10)", `{"fresh":{"S":"apple"}}`},
	{"SET l = list_append(l, :list)", `{"l":{"L":[{"S":"x"},{"N":"5"},{"M":{"deep":{"N":"1"}}},{"S":"new"}]}}`},
	{"SET m.kernel = :q", `{"m":{"M":{"kernel":{"S":"q"},"many":{"L":[{"N":"7"}]}}}}`}, {"SET m.many[0] = :q", `{"m":{"M":{"kernel":{"S":"y"},"many":{"L":[{"S":"q"}]}}}}`},
	{"SET l[9] = :q", `{"l":{"L":[{"S":"x"},{"N":"5"},{"M":{"deep":{"N":"1"}}},{"S":"q"}]}}`},
	{"SET s = n, n = s", `{"s":{"N":"10"},"n":{"S":"apple"}}`},
	{"REMOVE s, n", `{"s":null,"n":null}`}, {"REMOVE gone", `{}`}, {"REMOVE l[0], l[1]", `{"l":{"L":[{"M":{"deep":{"N":"1"}}}]}}`}, {"REMOVE m.kernel", `{"m":{"M":{"many":{"L":[{"N":"7"}]}}}}`},
	{"ADD n :1", `{"n":{"N":"11"}}`}, {"ADD fresh :1", `{"fresh":{"N":"1"}}`}, {"ADD ss :bc", `{"ss":{"SS":["a","b","c"]}}`}, {"ADD n :neg SET s = :q REMOVE b", `{"n":{"N":"9.5"},"s":{"S":"q"},"b":null}`},
	{"DELETE ss :bc", `{"ss":{"SS":["a"]}}`}, {"DELETE ss :ab", `{"ss":null}`}, {"DELETE gone :ab", `{}`},
	{"SET id = :q", ""}, {"SET fresh = gone", ""}, {"SET n = s + :1", ""}, {"SET s = :q, s = :x", ""}, {"SET m = :map, m.kernel = :q", ""}, {"SET a = :q SET z = :x", ""},
	{"ADD s :1", ""}, {"ADD ss :1", ""}, {"DELETE n :1", ""}, {"SET gone.deep = :q", ""}, {"SET fresh :q", ""}, {"", ""}, {"SET", ""}, {"SET fresh = :q,", ""}, {"SET owner = :q", ""},
	{"FROB fresh = :q", ""}, {"SET fresh = list_append(s, :list)", ""}, {"SET fresh = frob(s)", ""},
}

// update tries an update on the sample: want is what changes, null where an attribute goes; empty where it is refused.
func (t *tableTest) update(expression, want string) {
	t.put(sample)
	in := &dynamodb.UpdateItemInput{TableName: &t.table, Key: item(t, `{"id":{"S":"k"}}`), UpdateExpression: &expression, ReturnValues: types.ReturnValueAllNew}
	in.ExpressionAttributeValues, in.ExpressionAttributeNames = t.used(expression)
	expected := item(t, sample)
	out, err := t.UpdateItem(t.ctx, in)
	if want == "" {
		if code(err) != "ValidationException" {
			t.Errorf("%q: %v; want a ValidationException", expression, err)
		}
	} else {
		t.must(err)
		var changes map[string]json.RawMessage
		t.must(json.Unmarshal([]byte(want), &changes))
		for name, text := range changes {
			if string(text) == "null" {
				delete(expected, name)
			} else {
				expected[name] = attr(t, string(text))
			}
		}
		t.same("ALL_NEW", out.Attributes, expected)
	}
	t.same("the item", t.get("k"), expected)
}

// same compares items; the members of sets have no order.
func (t *tableTest) same(what string, got, want map[string]types.AttributeValue) {
	t.Helper()
	sorted := func(it map[string]types.AttributeValue) {
		for _, v := range it {
			switch v := v.(type) {
			case *types.AttributeValueMemberSS:
				slices.Sort(v.Value)
			case *types.AttributeValueMemberNS:
				slices.Sort(v.Value)
			}
		}
	}
	sorted(got)
	sorted(want)
	if !reflect.DeepEqual(got, want) {
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		t.Errorf("%s: %s; want %s", what, a, b)
	}
}

var tableCases = []struct {
	name string
	run  func(*tableTest)
}{
	{"every kind of value comes back", func(t *tableTest) {
		t.put(sample)
		t.same("the item", t.get("k"), item(t, sample))
	}},
	{"numbers have one form", func(t *tableTest) {
		t.put(`{"id":{"S":"k"},"a":{"N":"1e3"},"b":{"N":"-0.10"},"c":{"N":"007"},"d":{"N":"1.5E-3"}}`)
		t.same("the item", t.get("k"), item(t, `{"id":{"S":"k"},"a":{"N":"1000"},"b":{"N":"-0.1"},"c":{"N":"7"},"d":{"N":"0.0015"}}`))
	}},
	{"a number of 39 digits", func(t *tableTest) {
		_, err := t.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: item(t, `{"id":{"S":"k"},"n":{"N":"123456789012345678901234567890123456789"}}`)})
		t.code(err, "ValidationException")
	}},
	{"keys", func(t *tableTest) {
		for _, key := range []string{`{}`, `{"id":{"N":"1"}}`, `{"id":{"S":""}}`, `{"other":{"S":"k"}}`, `{"id":{"S":"k"},"other":{"S":"k"}}`} {
			_, err := t.GetItem(t.ctx, &dynamodb.GetItemInput{TableName: &t.table, Key: item(t, key)})
			if code(err) != "ValidationException" {
				t.Errorf("key %s: %v", key, err)
			}
		}
	}},
	{"an item above 400 KB", func(t *tableTest) {
		_, err := t.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: item(t, `{"id":{"S":"k"},"s":{"S":"`+strings.Repeat("x", 410<<10)+`"}}`)})
		t.code(err, "ValidationException")
	}},
	{"placeholders that are not used", func(t *tableTest) {
		_, err := t.UpdateItem(t.ctx, &dynamodb.UpdateItemInput{TableName: &t.table, Key: item(t, `{"id":{"S":"k"}}`), UpdateExpression: aws.String("SET a = :a"),
			ExpressionAttributeValues: item(t, `{":a":{"S":"x"},":b":{"S":"x"}}`)})
		t.code(err, "ValidationException")
	}},
	{"an update makes the item", func(t *tableTest) {
		in := &dynamodb.UpdateItemInput{TableName: &t.table, Key: item(t, `{"id":{"S":"k"}}`), UpdateExpression: aws.String("ADD n :one"),
			ConditionExpression: aws.String("attribute_not_exists(id)"), ExpressionAttributeValues: item(t, `{":one":{"N":"1"}}`), ReturnValues: types.ReturnValueAllNew}
		out, err := t.UpdateItem(t.ctx, in)
		t.must(err)
		t.same("ALL_NEW", out.Attributes, item(t, `{"id":{"S":"k"},"n":{"N":"1"}}`))
		_, err = t.UpdateItem(t.ctx, in)
		t.code(err, "ConditionalCheckFailedException")
	}},
	{"return values", func(t *tableTest) {
		for returns, want := range map[types.ReturnValue]string{
			types.ReturnValueNone: `{}`, types.ReturnValueAllOld: `{"id":{"S":"k"},"a":{"N":"1"},"b":{"N":"1"}}`, types.ReturnValueUpdatedOld: `{"a":{"N":"1"}}`,
			types.ReturnValueAllNew: `{"id":{"S":"k"},"a":{"N":"2"},"b":{"N":"1"}}`, types.ReturnValueUpdatedNew: `{"a":{"N":"2"}}`,
		} {
			t.put(`{"id":{"S":"k"},"a":{"N":"1"},"b":{"N":"1"}}`)
			out, err := t.UpdateItem(t.ctx, &dynamodb.UpdateItemInput{TableName: &t.table, Key: item(t, `{"id":{"S":"k"}}`), UpdateExpression: aws.String("SET a = :two"),
				ExpressionAttributeValues: item(t, `{":two":{"N":"2"}}`), ReturnValues: returns})
			t.must(err)
			if len(out.Attributes) > 0 || want != `{}` {
				t.same(string(returns), out.Attributes, item(t, want))
			}
		}
		out, err := t.DeleteItem(t.ctx, &dynamodb.DeleteItemInput{TableName: &t.table, Key: item(t, `{"id":{"S":"k"}}`), ReturnValues: types.ReturnValueAllOld})
		t.must(err)
		t.same("deleted", out.Attributes, item(t, `{"id":{"S":"k"},"a":{"N":"2"},"b":{"N":"1"}}`))
	}},
	{"the item that failed the condition", func(t *tableTest) {
		t.put(`{"id":{"S":"k"},"a":{"N":"1"}}`)
		_, err := t.DeleteItem(t.ctx, &dynamodb.DeleteItemInput{TableName: &t.table, Key: item(t, `{"id":{"S":"k"}}`), ConditionExpression: aws.String("attribute_not_exists(id)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
		var failed *types.ConditionalCheckFailedException
		if !errors.As(err, &failed) {
			t.Fatal(err)
		}
		t.same("the error's item", failed.Item, item(t, `{"id":{"S":"k"},"a":{"N":"1"}}`))
	}},
	{"scan by pages", func(t *tableTest) {
		const n = 57
		for i := range n {
			t.put(fmt.Sprintf(`{"id":{"S":"k%d"},"n":{"N":"%d"},"more":{"S":"x"}}`, i, i))
		}
		seen := map[string]bool{}
		pages := dynamodb.NewScanPaginator(t.Client, &dynamodb.ScanInput{TableName: &t.table, Limit: aws.Int32(10), FilterExpression: aws.String("n < :half"),
			ProjectionExpression: aws.String("id, n"), ExpressionAttributeValues: item(t, `{":half":{"N":"30"}}`)})
		requests := 0
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.ctx)
			t.must(err)
			requests++
			if page.ScannedCount > 10 || int(page.Count) != len(page.Items) {
				t.Errorf("a page looked at %d items, and counts %d of %d", page.ScannedCount, page.Count, len(page.Items))
			}
			for _, it := range page.Items {
				id := it["id"].(*types.AttributeValueMemberS).Value
				if seen[id] || len(it) != 2 {
					t.Errorf("item %v came twice, or is not projected", it)
				}
				seen[id] = true
			}
		}
		if len(seen) != 30 || requests < 6 {
			t.Errorf("%d items in %d pages; want 30 in 6", len(seen), requests)
		}
	}},
	{"a page is a megabyte", func(t *tableTest) {
		for i := range 8 {
			t.put(fmt.Sprintf(`{"id":{"S":"k%d"},"s":{"S":"%s"}}`, i, strings.Repeat("x", 300<<10)))
		}
		page, err := t.Scan(t.ctx, &dynamodb.ScanInput{TableName: &t.table})
		t.must(err)
		if n := len(page.Items); n < 3 || n > 4 || page.LastEvaluatedKey == nil {
			t.Errorf("a page of %d items; want about a megabyte, and a key to go on", n)
		}
	}},
	{"range keys", func(t *tableTest) {
		name := t.table + "r"
		_, err := t.CreateTable(t.ctx, &dynamodb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("h"), AttributeType: "S"}, {AttributeName: aws.String("r"), AttributeType: "N"}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("h"), KeyType: "HASH"}, {AttributeName: aws.String("r"), KeyType: "RANGE"}}})
		t.must(err)
		t.must(dynamodb.NewTableExistsWaiter(t.Client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = 100 * time.Millisecond }).
			Wait(t.ctx, &dynamodb.DescribeTableInput{TableName: &name}, time.Minute))
		for _, r := range []string{"10", "9", "-1", "0.5", "-20"} {
			_, err := t.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &name, Item: item(t, `{"h":{"S":"a"},"r":{"N":"`+r+`"}}`)})
			t.must(err)
		}
		page, err := t.Scan(t.ctx, &dynamodb.ScanInput{TableName: &name})
		t.must(err)
		var order []string
		for _, it := range page.Items {
			order = append(order, it["r"].(*types.AttributeValueMemberN).Value)
		}
		if got := strings.Join(order, " "); got != "-20 -1 0.5 9 10" {
			t.Errorf("range keys come as %s", got)
		}
	}},
	{"tables", func(t *tableTest) {
		d, err := t.DescribeTable(t.ctx, &dynamodb.DescribeTableInput{TableName: &t.table})
		t.must(err)
		if d.Table.TableStatus != types.TableStatusActive || *d.Table.KeySchema[0].AttributeName != "id" {
			t.Errorf("the table is %+v", d.Table)
		}
		_, err = t.CreateTable(t.ctx, &dynamodb.CreateTableInput{TableName: &t.table, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: d.Table.AttributeDefinitions, KeySchema: d.Table.KeySchema})
		t.code(err, "ResourceInUseException")
		_, err = t.DescribeTable(t.ctx, &dynamodb.DescribeTableInput{TableName: aws.String("missing")})
		t.code(err, "ResourceNotFoundException")
		_, err = t.GetItem(t.ctx, &dynamodb.GetItemInput{TableName: aws.String("missing"), Key: item(t, `{"id":{"S":"k"}}`)})
		t.code(err, "ResourceNotFoundException")
		_, err = t.DeleteTable(t.ctx, &dynamodb.DeleteTableInput{TableName: &t.table})
		t.must(err)
		t.must(dynamodb.NewTableNotExistsWaiter(t.Client, func(o *dynamodb.TableNotExistsWaiterOptions) { o.MinDelay = 100 * time.Millisecond }).
			Wait(t.ctx, &dynamodb.DescribeTableInput{TableName: &t.table}, time.Minute))
	}},
	{"table by ARN", func(t *tableTest) {
		d, err := t.DescribeTable(t.ctx, &dynamodb.DescribeTableInput{TableName: &t.table})
		t.must(err)
		_, err = t.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: d.Table.TableArn, Item: item(t, `{"id":{"S":"k"}}`)})
		t.must(err)
		t.same("the item", t.get("k"), item(t, `{"id":{"S":"k"}}`))
	}},
}

func (t *tableTest) code(err error, want string) {
	t.Helper()
	if code(err) != want {
		t.Errorf("%v; want %s", err, want)
	}
}

// Faults work on these operations as on Kinesis's.
func TestDynamoDBFaults(t *testing.T) {
	server := start(t, kcltest.Options{})
	tt := &tableTest{T: t, Client: dynamodb.New(dynamodb.Options{BaseEndpoint: &server.URL, Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")}), ctx: t.Context(), table: "faults"}
	tt.create()
	server.Inject(kcltest.Fault{Operation: "PutItem", DropAnswer: true})
	server.Inject(kcltest.Fault{Operation: "PutItem", Nth: 2, Code: "ProvisionedThroughputExceededException"})
	put := func(id string) error {
		_, err := tt.PutItem(tt.ctx, &dynamodb.PutItemInput{TableName: &tt.table, Item: item(t, `{"id":{"S":"`+id+`"}}`)})
		return err
	}
	if err := put("lost"); err == nil || tt.get("lost") == nil {
		t.Errorf("the call whose answer is dropped: %v, and its item %v", err, tt.get("lost"))
	}
	if err := put("refused"); code(err) != "ProvisionedThroughputExceededException" || tt.get("refused") != nil {
		t.Errorf("the call that is refused: %v, and its item %v", err, tt.get("refused"))
	}
	if err := put("fine"); err != nil {
		t.Error(err)
	}
}
