package catalog_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"

	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/sink/catalog"
	"github.com/sluice-etl/sluice/sink/catalog/gluetest"
)

// lab is a catalog with the database lake, over the real SDK.
type lab struct {
	*testing.T
	server  *gluetest.Server
	glue    *glue.Client
	catalog *catalog.Catalog
	def     catalog.Definition
}

func newLab(t *testing.T) *lab {
	t.Helper()
	server, err := gluetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := server.CreateDatabase(t.Context(), "Lake"); err != nil {
		t.Fatal(err)
	}
	l := &lab{T: t, server: server, glue: glue.NewFromConfig(server.Config()), catalog: catalog.Open(server.Config(), "lake", "orders")}
	l.def = catalog.Definition{Layout: l.layout("data/dt=!{timestamp:yyyy-MM-dd}/"), Output: sink.OutputParquet, Fields: []columns.Field{
		{Name: "id", Type: columns.Int64}, {Name: "price", Type: columns.Double}, {Name: "paid", Type: columns.Boolean},
		{Name: "dt", Type: columns.String}, {Name: "ingest_time", Type: columns.Timestamp}, {Name: "ingest_seq"},
	}}
	return l
}

func (l *lab) layout(expression string) *catalog.Layout {
	l.Helper()
	prefix, err := sink.ParsePrefix(expression)
	if err != nil {
		l.Fatal(err)
	}
	layout, err := catalog.NewLayout("bucket", prefix)
	if err != nil {
		l.Fatal(err)
	}
	return layout
}

// ensure brings the table up to date.
func (l *lab) ensure() *catalog.Table {
	l.Helper()
	t, err := l.catalog.Ensure(l.Context(), l.def)
	if err != nil {
		l.Fatal(err)
	}
	return t
}

// table is what others see.
func (l *lab) table() *types.Table {
	l.Helper()
	out, err := l.glue.GetTable(l.Context(), &glue.GetTableInput{DatabaseName: aws.String("lake"), Name: aws.String("orders")})
	if err != nil {
		l.Fatal(err)
	}
	return out.Table
}

// columns are the table's, as text.
func (l *lab) columns() string {
	l.Helper()
	all, err := l.server.Columns(l.Context(), "lake", "orders")
	if err != nil {
		l.Fatal(err)
	}
	return strings.Join(all, ", ")
}

// edit changes the table as somebody else would.
func (l *lab) edit(change func(*types.TableInput)) {
	t := l.table()
	in := &types.TableInput{Name: t.Name, Description: t.Description, Owner: t.Owner, Parameters: t.Parameters, PartitionKeys: t.PartitionKeys,
		Retention: t.Retention, StorageDescriptor: t.StorageDescriptor, TableType: t.TableType}
	change(in)
	if _, err := l.glue.UpdateTable(l.Context(), &glue.UpdateTableInput{DatabaseName: aws.String("lake"), TableInput: in}); err != nil {
		l.Error(err)
	}
}

func (l *lab) partitions(n int) (all []catalog.Partition) {
	l.Helper()
	for i := range n {
		p, ok := l.def.Layout.Partition(fmt.Sprintf("data/dt=%04d/x.parquet", i))
		if !ok {
			l.Fatalf("%d is no partition", i)
		}
		all = append(all, p)
	}
	return all
}

func TestCreateTable(t *testing.T) {
	l := newLab(t)
	if made := l.ensure(); !made.Created || len(made.Added)+len(made.Differ) > 0 {
		t.Errorf("the table was made as %+v", made)
	}
	made := l.table()
	sd := made.StorageDescriptor
	// dt is the partition's, and not a column beside.
	if got, want := l.columns(), "id bigint, price double, paid boolean, ingest_time timestamp, ingest_seq string"; got != want {
		t.Errorf("its columns are %s; want %s", got, want)
	}
	if k := made.PartitionKeys; len(k) != 1 || *k[0].Name != "dt" || *k[0].Type != "string" {
		t.Errorf("its partition keys are %v", k)
	}
	for what, is := range map[string][2]string{
		"location":       {*sd.Location, "s3://bucket/data/"},
		"input":          {*sd.InputFormat, "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"},
		"serde":          {*sd.SerdeInfo.SerializationLibrary, "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
		"type":           {*made.TableType, "EXTERNAL_TABLE"},
		"classification": {made.Parameters["classification"], "parquet"},
		"version":        {*made.VersionId, "0"},
	} {
		if is[0] != is[1] {
			t.Errorf("its %s is %s; want %s", what, is[0], is[1])
		}
	}
	if again := l.ensure(); again.Created || l.server.Calls("UpdateTable") > 0 || l.server.Calls("CreateTable") != 1 {
		t.Errorf("a table that is as it should be was written again: %+v", again)
	}
}

// What is read by the other formats' classes; a table without partitions has an empty list of keys, which Athena wants.
func TestFormats(t *testing.T) {
	for format, want := range map[string]string{
		sink.OutputJSON: "org.openx.data.jsonserde.JsonSerDe json", sink.OutputRaw: "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe csv",
	} {
		l := newLab(t)
		l.def.Output, l.def.Layout = format, l.layout("logs/")
		l.ensure()
		made := l.table()
		if got := *made.StorageDescriptor.SerdeInfo.SerializationLibrary + " " + made.Parameters["classification"]; got != want {
			t.Errorf("%s is read by %s; want %s", format, got, want)
		}
		if made.PartitionKeys == nil || len(made.PartitionKeys) > 0 || *made.StorageDescriptor.InputFormat != "org.apache.hadoop.mapred.TextInputFormat" {
			t.Errorf("%s: keys %v, input %s", format, made.PartitionKeys, *made.StorageDescriptor.InputFormat)
		}
	}
}

// Columns are appended; what others have put into the table stays, and no version is archived.
func TestAddColumns(t *testing.T) {
	l := newLab(t)
	l.ensure()
	l.edit(func(in *types.TableInput) {
		in.Description, in.Owner, in.Retention = aws.String("of the shop"), aws.String("them"), 7
		in.Parameters["comment"] = "theirs"
		in.StorageDescriptor.Parameters = map[string]string{"theirs": "too"}
		in.StorageDescriptor.SortColumns = []types.Order{{Column: aws.String("id"), SortOrder: 1}}
		in.StorageDescriptor.Columns = append(in.StorageDescriptor.Columns, types.Column{Name: aws.String("Mine"), Type: aws.String("int"), Comment: aws.String("by hand")})
	})
	before := l.table()
	l.def.Fields = append(l.def.Fields, columns.Field{Name: "coupon", Type: columns.String}, columns.Field{Name: "weight", Type: columns.Double})
	if t2 := l.ensure(); !slices.Equal(t2.Added, []string{"coupon", "weight"}) {
		t.Errorf("added %v", t2.Added)
	}
	after := l.table()
	if got := l.columns(); got != "id bigint, price double, paid boolean, ingest_time timestamp, ingest_seq string, Mine int, coupon string, weight double" {
		t.Errorf("its columns are %s", got)
	}
	if *after.VersionId != "2" {
		t.Errorf("its version is %s", *after.VersionId)
	}
	added := after.StorageDescriptor.Columns[len(before.StorageDescriptor.Columns):]
	after.VersionId, after.StorageDescriptor.Columns = before.VersionId, after.StorageDescriptor.Columns[:len(before.StorageDescriptor.Columns)]
	if len(added) != 2 || !reflect.DeepEqual(before, after) {
		t.Errorf("beside its columns, the table became\n%+v %+v\nfrom\n%+v %+v", after, after.StorageDescriptor, before, before.StorageDescriptor)
	}
	versions, err := l.glue.GetTableVersions(t.Context(), &glue.GetTableVersionsInput{DatabaseName: aws.String("lake"), TableName: aws.String("orders")})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(versions.TableVersions); n != 2 { // the present one, and the one that their edit archived
		t.Errorf("there are %d versions", n)
	}
}

// A type that is another's choice stays; the rest goes on.
func TestTypesStay(t *testing.T) {
	l := newLab(t)
	l.ensure()
	l.edit(func(in *types.TableInput) { in.StorageDescriptor.Columns[0].Type = aws.String("int") })
	l.def.Fields = append(l.def.Fields, columns.Field{Name: "coupon", Type: columns.String})
	for range 2 {
		if found := l.ensure(); len(found.Differ) != 1 || !strings.Contains(found.Differ[0], "id is int there, and bigint") {
			t.Errorf("differing columns: %q", found.Differ)
		}
	}
	if got := l.columns(); got != "id int, price double, paid boolean, ingest_time timestamp, ingest_seq string, coupon string" {
		t.Errorf("its columns are %s", got)
	}
}

// Between the look at the table and its change somebody else changes it: neither change is lost.
func TestConcurrentChange(t *testing.T) {
	l := newLab(t)
	l.ensure()
	l.def.Fields = append(l.def.Fields, columns.Field{Name: "coupon", Type: columns.String})
	var done atomic.Bool
	l.server.Intercept(func(operation string) *gluetest.Error {
		if operation == "UpdateTable" && done.CompareAndSwap(false, true) {
			l.edit(func(in *types.TableInput) {
				in.StorageDescriptor.Columns = append(in.StorageDescriptor.Columns, types.Column{Name: aws.String("theirs"), Type: aws.String("string")})
			})
		}
		return nil
	})
	if found := l.ensure(); !slices.Equal(found.Added, []string{"coupon"}) {
		t.Errorf("added %q", found.Added)
	}
	if got := l.columns(); !strings.HasSuffix(got, "theirs string, coupon string") {
		t.Errorf("its columns are %s", got)
	}

	// The same with the making of the table.
	l = newLab(t)
	done.Store(false)
	l.server.Intercept(func(operation string) *gluetest.Error {
		if operation == "CreateTable" && done.CompareAndSwap(false, true) {
			if _, err := catalog.Open(l.server.Config(), "lake", "orders").Ensure(t.Context(), l.def); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if found := l.ensure(); found.Created || l.server.Calls("CreateTable") != 2 {
		t.Errorf("the table was made in %d calls: %+v", l.server.Calls("CreateTable"), found)
	}

	// Who always loses gives up, for this time.
	l.def.Fields = append(l.def.Fields, columns.Field{Name: "coupon", Type: columns.String})
	l.server.Intercept(func(operation string) *gluetest.Error {
		if operation == "UpdateTable" {
			return &gluetest.Error{Status: http.StatusBadRequest, Code: "ConcurrentModificationException", Message: "again"}
		}
		return nil
	})
	if _, err := l.catalog.Ensure(t.Context(), l.def); err == nil || !strings.Contains(err.Error(), "ConcurrentModification") {
		t.Errorf("an update that is always refused: %v", err)
	}
}

// A table that the files are not of is left alone.
func TestMisfits(t *testing.T) {
	for want, change := range map[string]func(*types.TableInput){
		"lie under s3://bucket/elsewhere/": func(in *types.TableInput) { in.StorageDescriptor.Location = aws.String("s3://bucket/elsewhere/") },
		`partition keys are ["day"]`:       func(in *types.TableInput) { in.PartitionKeys[0].Name = aws.String("day") },
		"partition keys are []":            func(in *types.TableInput) { in.PartitionKeys = []types.Column{} },
		"its files are read by":            func(in *types.TableInput) { in.StorageDescriptor.InputFormat = aws.String("TextInputFormat") },
		"a view or a link":                 func(in *types.TableInput) { in.StorageDescriptor = nil },
	} {
		l := newLab(t)
		l.ensure()
		l.edit(change)
		before := l.table()
		l.def.Fields = append(l.def.Fields, columns.Field{Name: "coupon", Type: columns.String})
		_, err := l.catalog.Ensure(t.Context(), l.def)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "SLUICE_GLUE_TABLE") {
			t.Errorf("%v; want an error with %s", err, want)
		}
		if check := l.catalog.Check(t.Context(), l.def); fmt.Sprint(check) != fmt.Sprint(err) {
			t.Errorf("looked at before the start: %v", check)
		}
		if !reflect.DeepEqual(before, l.table()) {
			t.Errorf("%s: the table was changed", want)
		}
	}
	// What a crawler or Hive may write otherwise makes no difference, and neither do its names for unnamed keys.
	l := newLab(t)
	l.def.Layout = l.layout("data/!{timestamp:yyyy/MM}/")
	l.ensure()
	l.edit(func(in *types.TableInput) {
		in.StorageDescriptor.Location = aws.String("s3a://bucket/data")
		in.PartitionKeys[0].Name, in.PartitionKeys[1].Name = aws.String("partition_0"), aws.String("partition_1")
	})
	l.ensure()
}

func TestRegister(t *testing.T) {
	l := newLab(t)
	table := l.ensure()
	if r, err := l.catalog.Register(t.Context(), table, l.partitions(250)); err != nil || r.New != 250 || r.Known+len(r.Left)+len(r.Refused) > 0 {
		t.Errorf("registered %+v: %v", r, err)
	}
	if n := l.server.Calls("BatchCreatePartition"); n != 3 {
		t.Errorf("it took %d calls", n)
	}
	locations, err := l.server.Locations(t.Context(), "lake", "orders")
	if err != nil || len(locations) != 250 || locations[7] != "s3://bucket/data/dt=0007/" {
		t.Errorf("%d partitions (%v): %.3q...", len(locations), err, locations)
	}
	out, err := l.glue.GetPartitions(t.Context(), &glue.GetPartitionsInput{DatabaseName: aws.String("lake"), TableName: aws.String("orders"), MaxResults: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	p, sd := out.Partitions[0], *l.table().StorageDescriptor
	sd.Location = p.StorageDescriptor.Location
	if !slices.Equal(p.Values, []string{"0000"}) || !reflect.DeepEqual(p.StorageDescriptor, &sd) {
		t.Errorf("a partition is %+v, the table %+v", p.StorageDescriptor, sd)
	}
	if r, err := l.catalog.Register(t.Context(), table, l.partitions(251)); err != nil || r.New != 1 || r.Known != 250 || len(r.Left) > 0 {
		t.Errorf("registered again %+v: %v", r, err)
	}
}

// What fails is left, and named; what can never be registered holds up nothing else.
func TestRegisterFailures(t *testing.T) {
	l := newLab(t)
	table := l.ensure()
	calls := 0
	l.server.Intercept(func(operation string) *gluetest.Error {
		if calls++; calls == 2 {
			return &gluetest.Error{Status: http.StatusInternalServerError, Code: "InternalServiceException", Message: "not now"}
		}
		return nil
	})
	all := l.partitions(250)
	r, err := l.catalog.Register(t.Context(), table, all)
	if err == nil || r.New != 100 || !reflect.DeepEqual(r.Left, all[100:]) {
		t.Errorf("registered %d, left %d: %v", r.New, len(r.Left), err)
	}
	if r, err = l.catalog.Register(t.Context(), table, r.Left); err != nil || r.New != 150 {
		t.Errorf("registered %+v: %v", r, err)
	}

	wrong := l.partitions(60)
	for i := range wrong {
		wrong[i].Values = []string{fmt.Sprintf("new-%d", i)}
	}
	wrong[33].Values = []string{"one", "too many"}
	r, err = l.catalog.Register(t.Context(), table, wrong)
	if err != nil || r.New != 59 || len(r.Refused) != 1 || !strings.Contains(r.Refused[0].Error(), "data/dt=0033/") {
		t.Errorf("registered %d, refused %v: %v", r.New, r.Refused, err)
	}
}

// Of a batch some fail, each for itself.
func TestRegisterEntryFailures(t *testing.T) {
	l := newLab(t)
	table, all := l.ensure(), l.partitions(5)
	if r, err := l.catalog.Register(t.Context(), table, all[:1]); err != nil || r.New != 1 {
		t.Fatalf("registered %+v: %v", r, err)
	}
	l.server.RefusePartitions(func(values []string) *gluetest.Error {
		if values[0] == "0003" {
			return &gluetest.Error{Code: "InternalServiceException", Message: "a bad moment"}
		}
		return nil
	})
	r, err := l.catalog.Register(t.Context(), table, all)
	if r.New != 3 || r.Known != 1 || !reflect.DeepEqual(r.Left, all[3:4]) || err == nil || !strings.Contains(err.Error(), "data/dt=0003/: InternalServiceException: a bad moment") {
		t.Errorf("registered %+v: %v", r, err)
	}
	l.server.RefusePartitions(nil)
	if r, err = l.catalog.Register(t.Context(), table, r.Left); err != nil || r.New != 1 {
		t.Errorf("registered %+v: %v", r, err)
	}
}

// Faults that only people can mend say how.
func TestFaults(t *testing.T) {
	l := newLab(t)
	lost := catalog.Open(l.server.Config(), "lost", "orders")
	_, ensure := lost.Ensure(t.Context(), l.def)
	for _, err := range []error{ensure, lost.Check(t.Context(), l.def)} {
		if err == nil || !strings.Contains(err.Error(), "there is no database lost") || !strings.Contains(err.Error(), "create-database") {
			t.Errorf("without the database: %v", err)
		}
	}
	if err := l.catalog.Check(t.Context(), l.def); err != nil {
		t.Errorf("a database without the table: %v", err)
	}
	l.server.Intercept(func(string) *gluetest.Error {
		return &gluetest.Error{Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "User is not authorized"}
	})
	if _, err := l.catalog.Ensure(t.Context(), l.def); err == nil || !strings.Contains(err.Error(), "allow these credentials glue:GetTable") {
		t.Errorf("without the permission: %v", err)
	}
}
