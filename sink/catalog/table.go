package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"

	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink"
)

// Definition is what a table is to be.
type Definition struct {
	Layout *Layout
	Fields []columns.Field // of its files, in their order
	Output string          // the format of its files; see sink.Options
}

// serde is how Athena and Spark read an output: the names of Hive's classes for it.
type serde struct {
	library, input, output string
	parameters             map[string]string
}

// Lines are one column to LazySimpleSerDe, unless they have the separator, which is U+0001 by default and rare in text.
var serdes = map[string]serde{
	sink.OutputParquet: {
		library:    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
		input:      "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
		output:     "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
		parameters: map[string]string{"serialization.format": "1"},
	},
	sink.OutputJSON: {library: "org.openx.data.jsonserde.JsonSerDe", input: textInput, output: textOutput},
	sink.OutputRaw:  {library: "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", input: textInput, output: textOutput},
}

const (
	textInput  = "org.apache.hadoop.mapred.TextInputFormat"
	textOutput = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
)

// input is the table as it is made where there is none. A column that is called as a partition key is left out, since Athena
// refuses tables that have a name twice: queries see the partition's value.
func (d Definition) input(table string) *types.TableInput {
	s := serdes[d.Output]
	in := &types.TableInput{
		Name: &table, TableType: aws.String("EXTERNAL_TABLE"),
		Parameters:    map[string]string{"EXTERNAL": "TRUE", "classification": cmp.Or(map[string]string{sink.OutputRaw: "csv"}[d.Output], d.Output)},
		PartitionKeys: []types.Column{}, // Athena wants a list also where it is empty
		StorageDescriptor: &types.StorageDescriptor{
			Location: aws.String(d.Layout.uri(d.Layout.location)), InputFormat: &s.input, OutputFormat: &s.output,
			SerdeInfo: &types.SerDeInfo{SerializationLibrary: &s.library, Parameters: s.parameters},
		},
	}
	for _, key := range d.Layout.keys {
		in.PartitionKeys = append(in.PartitionKeys, types.Column{Name: aws.String(key), Type: aws.String("string")})
	}
	in.StorageDescriptor.Columns, _ = d.missing(nil, in.PartitionKeys)
	return in
}

// missing lists the columns that a table lacks, and tells of those that it has with another type.
func (d Definition) missing(has, keys []types.Column) (add []types.Column, differ []string) {
	named := func(name string) func(types.Column) bool {
		return func(c types.Column) bool { return strings.EqualFold(aws.ToString(c.Name), name) }
	}
	for _, f := range d.Fields {
		if slices.ContainsFunc(keys, named(f.Name)) {
			continue
		}
		want := f.SQLType()
		i := slices.IndexFunc(has, named(f.Name))
		if i < 0 {
			add = append(add, types.Column{Name: aws.String(f.Name), Type: &want})
		} else if is := aws.ToString(has[i].Type); !strings.EqualFold(is, want) {
			differ = append(differ, fmt.Sprintf("%s is %s there, and %s in the files", f.Name, is, want))
		}
	}
	return add, differ
}

// fits tells why files and partitions of the definition cannot be part of a table that somebody has made: nothing of these
// is changed. Partition keys that the prefix does not name may be called as they like.
func (d Definition) fits(t *types.Table) error {
	sd := t.StorageDescriptor
	if sd == nil {
		return fmt.Errorf("it has no files, but is a view or a link")
	}
	if input := aws.ToString(sd.InputFormat); input != serdes[d.Output].input {
		return fmt.Errorf("its files are read by %q, and these are %s, to be read by %s", input, d.Output, serdes[d.Output].input)
	}
	want := d.Layout.uri(d.Layout.location)
	if is := aws.ToString(sd.Location); place(is) != place(want) {
		return fmt.Errorf("its files lie under %s, and these under %s", is, want)
	}
	var keys []string
	for _, key := range t.PartitionKeys {
		keys = append(keys, aws.ToString(key.Name))
	}
	if len(keys) != len(d.Layout.keys) {
		return fmt.Errorf("its partition keys are %q, and those of SLUICE_PREFIX %q", keys, d.Layout.keys)
	}
	i := 0
	for _, level := range d.Layout.levels {
		if level.Text != "" {
			continue
		}
		if level.Name != "" && !strings.EqualFold(keys[i], level.Name) {
			return fmt.Errorf("its partition keys are %q, and those of SLUICE_PREFIX %q", keys, d.Layout.keys)
		}
		i++
	}
	return nil
}

// place is a location without what does not tell it from another: Hadoop's names of the scheme, and the last slash.
func place(uri string) string {
	_, place, _ := strings.Cut(uri, "://")
	return strings.TrimSuffix(place, "/")
}

// extended is the input that adds columns to a table, and leaves all else of it as it is.
func extended(t *types.Table, add []types.Column) *types.TableInput {
	sd := *t.StorageDescriptor
	sd.Columns = slices.Concat(sd.Columns, add)
	keys := t.PartitionKeys
	if keys == nil {
		keys = []types.Column{}
	}
	return &types.TableInput{
		Name: t.Name, Description: t.Description, Owner: t.Owner, LastAccessTime: t.LastAccessTime, LastAnalyzedTime: t.LastAnalyzedTime,
		Retention: t.Retention, StorageDescriptor: &sd, PartitionKeys: keys, ViewOriginalText: t.ViewOriginalText,
		ViewExpandedText: t.ViewExpandedText, TableType: t.TableType, Parameters: t.Parameters, TargetTable: t.TargetTable,
	}
}
