package gluetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// document is a structure of the API as it came: what is not looked at here is given back as it is.
type document = map[string]any

// request has the members of all operations.
type request struct {
	Name, DatabaseName, TableName string
	DatabaseInput, TableInput     document
	PartitionInputList            []document
	VersionId                     string
	SkipArchive                   bool
	NextToken                     string
	MaxResults                    *int
}

// table is a table with what belongs to it.
type table struct {
	input      document
	version    int
	archived   []document // versions that were replaced, oldest first
	partitions map[string]document
	created    time.Time
}

// The limits of the API reference.
const (
	maxName       = 255  // bytes, of names of databases, tables and columns
	maxValue      = 1024 // characters, of the values of partitions
	maxPartitions = 100  // of a BatchCreatePartition
	maxPage       = 1000 // of GetPartitions
)

func refuse(code, format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *Error {
	return refuse("EntityNotFoundException", format, args...)
}

// apply runs an operation. The caller holds mu.
func (s *Server) apply(operation string, in *request) (any, *Error) {
	if operation == "CreateDatabase" {
		return s.createDatabase(in)
	}
	database := in.DatabaseName
	if operation == "GetDatabase" {
		database = in.Name
	}
	tables, ok := s.databases[strings.ToLower(database)]
	if !ok {
		return nil, notFound("Database %s not found.", database)
	}
	switch operation {
	case "GetDatabase":
		return document{"Database": document{"Name": strings.ToLower(database), "CreateTime": seconds(time.Now())}}, nil
	case "CreateTable":
		return createTable(tables, in)
	}
	name := in.Name + in.TableName // the operations have one or the other
	if operation == "UpdateTable" && name == "" {
		name, _ = in.TableInput["Name"].(string)
	}
	t := tables[strings.ToLower(name)]
	if t == nil {
		return nil, notFound("Entity Not Found")
	}
	switch operation {
	case "GetTable":
		return document{"Table": t.document(database)}, nil
	case "GetTableVersions":
		versions := []document{{"Table": t.document(database), "VersionId": strconv.Itoa(t.version)}}
		for _, old := range slices.Backward(t.archived) {
			versions = append(versions, document{"Table": old, "VersionId": old["VersionId"]})
		}
		return document{"TableVersions": versions}, nil
	case "UpdateTable":
		return t.update(database, in)
	case "DeleteTable":
		delete(tables, strings.ToLower(name))
		return document{}, nil
	case "BatchCreatePartition":
		return t.createPartitions(database, name, in, s.refuse)
	case "GetPartitions":
		return t.getPartitions(in)
	}
	return nil, refuse("UnknownOperationException", "gluetest has no %s", operation)
}

func (s *Server) createDatabase(in *request) (any, *Error) {
	name, failure := nameOf(in.DatabaseInput, "databaseInput.name")
	if failure != nil {
		return nil, failure
	}
	if s.databases[name] != nil {
		return nil, refuse("AlreadyExistsException", "Database already exists.")
	}
	s.databases[name] = map[string]*table{}
	return document{}, nil
}

func createTable(tables map[string]*table, in *request) (any, *Error) {
	name, failure := validate(in.TableInput)
	if failure != nil {
		return nil, failure
	}
	if tables[name] != nil {
		return nil, refuse("AlreadyExistsException", "Table already exists.")
	}
	in.TableInput["Name"] = name
	tables[name] = &table{input: in.TableInput, partitions: map[string]document{}, created: time.Now()}
	return document{}, nil
}

func (t *table) update(database string, in *request) (any, *Error) {
	name, failure := validate(in.TableInput)
	if failure != nil {
		return nil, failure
	}
	if in.VersionId != "" && in.VersionId != strconv.Itoa(t.version) {
		return nil, refuse("ConcurrentModificationException", "Update table failed due to concurrent modifications.")
	}
	if !in.SkipArchive {
		t.archived = append(t.archived, t.document(database))
	}
	in.TableInput["Name"] = name
	t.input = in.TableInput // as a whole: what the input lacks is gone
	t.version++
	return document{}, nil
}

// document is the table as it is given to those who ask.
func (t *table) document(database string) document {
	d := maps.Clone(t.input)
	d["DatabaseName"], d["VersionId"], d["CatalogId"] = strings.ToLower(database), strconv.Itoa(t.version), "123456789012"
	d["CreateTime"], d["IsRegisteredWithLakeFormation"] = seconds(t.created), false
	return d
}

func (t *table) createPartitions(database, name string, in *request, refused func(values []string) *Error) (any, *Error) {
	if n := len(in.PartitionInputList); n > maxPartitions {
		return nil, refuse("ValidationException",
			"1 validation error detected: Value at 'partitionInputList' failed to satisfy constraint: Member must have length less than or equal to %d, and has %d", maxPartitions, n)
	}
	for _, p := range in.PartitionInputList {
		values := texts(p["Values"])
		if keys := list(t.input["PartitionKeys"]); len(values) != len(keys) {
			return nil, refuse("InvalidInputException", "The number of partition keys do not match the number of partition values")
		}
		for _, v := range values {
			if n := len([]rune(v)); n > maxValue {
				return nil, refuse("ValidationException",
					"1 validation error detected: Value at 'partitionInputList.values' failed to satisfy constraint: Member must have length less than or equal to %d, and has %d", maxValue, n)
			}
		}
		if failure := validateStorage(p["StorageDescriptor"]); failure != nil {
			return nil, failure
		}
	}
	failed := []document{}
	for _, p := range in.PartitionInputList {
		values := texts(p["Values"])
		key := strings.Join(values, "\x00")
		var failure *Error
		if refused != nil {
			failure = refused(values)
		}
		if failure == nil && t.partitions[key] != nil {
			failure = refuse("AlreadyExistsException", "Partition already exists.")
		}
		if failure != nil {
			failed = append(failed, document{"PartitionValues": values,
				"ErrorDetail": document{"ErrorCode": failure.Code, "ErrorMessage": failure.Message}})
			continue
		}
		p["DatabaseName"], p["TableName"], p["CreationTime"] = strings.ToLower(database), strings.ToLower(name), seconds(time.Now())
		t.partitions[key] = p
	}
	return document{"Errors": failed}, nil
}

// getPartitions gives a page of all partitions; the token is the number of those before it.
func (t *table) getPartitions(in *request) (any, *Error) {
	size, from := maxPage, 0
	if in.MaxResults != nil {
		size = *in.MaxResults
	}
	if in.NextToken != "" {
		var err error
		if from, err = strconv.Atoi(in.NextToken); err != nil || from < 0 || from > len(t.partitions) {
			return nil, refuse("InvalidInputException", "Invalid NextToken")
		}
	}
	if size < 1 || size > maxPage {
		return nil, refuse("ValidationException", "1 validation error detected: Value at 'maxResults' failed to satisfy constraint: Member must be between 1 and %d", maxPage)
	}
	keys := slices.Sorted(maps.Keys(t.partitions))
	page := []document{}
	for _, key := range keys[from:min(from+size, len(keys))] {
		page = append(page, t.partitions[key])
	}
	out := document{"Partitions": page}
	if from+size < len(keys) {
		out["NextToken"] = strconv.Itoa(from + size)
	}
	return out, nil
}

// validate gives the name of a table's input as it is stored.
func validate(input document) (name string, failure *Error) {
	if name, failure = nameOf(input, "tableInput.name"); failure != nil {
		return "", failure
	}
	if failure = validateColumns(input["PartitionKeys"]); failure != nil {
		return "", failure
	}
	return name, validateStorage(input["StorageDescriptor"])
}

func validateStorage(storage any) *Error {
	d, _ := storage.(document)
	return validateColumns(d["Columns"])
}

func validateColumns(columns any) *Error {
	for _, c := range list(columns) {
		d, _ := c.(document)
		if _, failure := nameOf(d, "columns.name"); failure != nil {
			return failure
		}
	}
	return nil
}

// nameOf is the member Name, in lower case.
func nameOf(d document, where string) (string, *Error) {
	name, _ := d["Name"].(string)
	if name == "" || len(name) > maxName || strings.ContainsAny(name, "\r\n") {
		return "", refuse("ValidationException", "1 validation error detected: Value at '%s' failed to satisfy constraint: "+
			"Member must be a single line of 1 to %d bytes", where, maxName)
	}
	return strings.ToLower(name), nil
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func texts(v any) (all []string) {
	for _, item := range list(v) {
		text, _ := item.(string)
		all = append(all, text)
	}
	return all
}

// seconds is a time as the protocol has it.
func seconds(t time.Time) json.Number {
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64))
}
