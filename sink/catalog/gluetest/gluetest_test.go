package gluetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/smithy-go"
)

// code is what the SDK makes of an error.
func code(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return fmt.Sprint(err)
}

// The server as the API reference has it.
func TestReference(t *testing.T) {
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, client := t.Context(), glue.NewFromConfig(s.Config())
	expect := func(what string, err error, want string) {
		t.Helper()
		if code(err) != want {
			t.Errorf("%s: %v; want %s", what, err, want)
		}
	}
	table := func(name string, columns ...string) *types.TableInput {
		in := &types.TableInput{Name: &name, PartitionKeys: []types.Column{{Name: aws.String("dt")}}, StorageDescriptor: &types.StorageDescriptor{}}
		for _, c := range columns {
			in.StorageDescriptor.Columns = append(in.StorageDescriptor.Columns, types.Column{Name: &c})
		}
		return in
	}
	create := func(in *types.TableInput) error {
		_, err := client.CreateTable(ctx, &glue.CreateTableInput{DatabaseName: aws.String("LAKE"), TableInput: in})
		return err
	}
	update := func(in *types.TableInput, version *string) error {
		_, err := client.UpdateTable(ctx, &glue.UpdateTableInput{DatabaseName: aws.String("lake"), TableInput: in, VersionId: version})
		return err
	}
	expect("a table of no database", create(table("t")), "EntityNotFoundException")
	expect("the database", s.CreateDatabase(ctx, "Lake"), "<nil>")
	expect("the database again", s.CreateDatabase(ctx, "lake"), "AlreadyExistsException")
	expect("a table", create(table("T")), "<nil>")
	expect("the table again", create(table("t")), "AlreadyExistsException")
	expect("a column without a name", create(table("u", "")), "ValidationException")
	got, err := client.GetTable(ctx, &glue.GetTableInput{DatabaseName: aws.String("lake"), Name: aws.String("t")})
	if err != nil || *got.Table.Name != "t" || *got.Table.VersionId != "0" {
		t.Fatalf("the table reads as %+v: %v", got, err)
	}
	expect("an update of the version", update(table("t", "a"), got.Table.VersionId), "<nil>")
	expect("an update of the version before", update(table("t"), got.Table.VersionId), "ConcurrentModificationException")
	expect("an update of any version", update(table("t", "a", "b"), nil), "<nil>")
	expect("an update of another table", update(table("x"), nil), "EntityNotFoundException")
	versions, err := client.GetTableVersions(ctx, &glue.GetTableVersionsInput{DatabaseName: aws.String("lake"), TableName: aws.String("t")})
	if err != nil || len(versions.TableVersions) != 3 || *versions.TableVersions[0].VersionId != "2" || *versions.TableVersions[2].VersionId != "0" {
		t.Errorf("the versions read as %+v: %v", versions, err)
	}

	partitions := func(from, to int, extra ...string) (*glue.BatchCreatePartitionOutput, error) {
		in := &glue.BatchCreatePartitionInput{DatabaseName: aws.String("lake"), TableName: aws.String("t"), PartitionInputList: []types.PartitionInput{}}
		for i := from; i < to; i++ {
			in.PartitionInputList = append(in.PartitionInputList, types.PartitionInput{
				Values: append([]string{fmt.Sprintf("%04d", i)}, extra...), StorageDescriptor: &types.StorageDescriptor{Location: aws.String(fmt.Sprint("s3://b/", i))}})
		}
		return client.BatchCreatePartition(ctx, in)
	}
	_, err = partitions(0, 101)
	expect("101 partitions", err, "ValidationException")
	_, err = partitions(0, 1, "more")
	expect("too many values", err, "InvalidInputException")
	for i := range 12 {
		if out, err := partitions(100*i, 100*i+100); err != nil || len(out.Errors) > 0 {
			t.Errorf("100 partitions: %+v, %v", out, err)
		}
	}
	out, err := partitions(1199, 1201)
	if err != nil || len(out.Errors) != 1 || out.Errors[0].PartitionValues[0] != "1199" || *out.Errors[0].ErrorDetail.ErrorCode != "AlreadyExistsException" {
		t.Errorf("one that is there, and one that is not: %+v, %v", out, err)
	}
	all, err := s.Locations(ctx, "lake", "t") // in pages
	if err != nil || len(all) != 1201 || all[1200] != "s3://b/1200" {
		t.Errorf("%d partitions: %v", len(all), err)
	}
	_, err = client.DeleteTable(ctx, &glue.DeleteTableInput{DatabaseName: aws.String("lake"), Name: aws.String("t")})
	expect("the end of the table", err, "<nil>")
	_, err = partitions(0, 1)
	expect("a partition of no table", err, "EntityNotFoundException")
}
