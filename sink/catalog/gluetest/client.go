package gluetest

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"

	"github.com/sluice-etl/sluice/internal/plainbody"
)

// Config is the SDK's configuration for clients of the server. They try each call once: a test that fails calls says itself
// when they are made again.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.URL, RetryMaxAttempts: 1,
		HTTPClient:  &http.Client{Transport: plainbody.Transport{RoundTripper: http.DefaultTransport}},
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	}
}

// CreateDatabase makes a database, through the SDK as what follows.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	_, err := glue.NewFromConfig(s.Config()).CreateDatabase(ctx, &glue.CreateDatabaseInput{DatabaseInput: &types.DatabaseInput{Name: &name}})
	return err
}

// DeleteTable drops a table with its partitions.
func (s *Server) DeleteTable(ctx context.Context, database, table string) error {
	_, err := glue.NewFromConfig(s.Config()).DeleteTable(ctx, &glue.DeleteTableInput{DatabaseName: &database, Name: &table})
	return err
}

// Columns lists those of a table, each with its type.
func (s *Server) Columns(ctx context.Context, database, table string) (columns []string, err error) {
	out, err := glue.NewFromConfig(s.Config()).GetTable(ctx, &glue.GetTableInput{DatabaseName: &database, Name: &table})
	if err != nil {
		return nil, err
	}
	for _, c := range out.Table.StorageDescriptor.Columns {
		columns = append(columns, aws.ToString(c.Name)+" "+aws.ToString(c.Type))
	}
	return columns, nil
}

// Locations lists where the partitions of a table lie, in the order of their values.
func (s *Server) Locations(ctx context.Context, database, table string) (locations []string, err error) {
	pages := glue.NewGetPartitionsPaginator(glue.NewFromConfig(s.Config()), &glue.GetPartitionsInput{DatabaseName: &database, TableName: &table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.Partitions {
			locations = append(locations, aws.ToString(p.StorageDescriptor.Location))
		}
	}
	return locations, nil
}
