// Package catalog keeps a table of the AWS Glue Data Catalog as the files in a bucket are, so that Athena and Spark can query
// them: the table with its columns (table.go), and a partition for each folder of files (layout.go).
//
// It only ever adds. A table that is there keeps all that others have put there; columns are appended to it; no type is
// changed, and nothing is dropped. Every call can be made again, by several processes at once: what is there already counts
// as done, and a change of the table holds only for the version that was read.
//
// It finds no partitions, and holds no policy: when to call, and what to do about errors, is for who uses it to decide.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/smithy-go"
)

// Catalog is a table's place in the catalog. Its methods are safe for concurrent use. Each call of Glue is tried again as its
// client does, and bounded in time.
type Catalog struct {
	client          *glue.Client
	database, table string
}

// Open makes the catalog of a table, with a client of the configuration. It does not call Glue; Check does.
func Open(sdk aws.Config, database, table string) *Catalog {
	return &Catalog{client: glue.NewFromConfig(sdk), database: database, table: table}
}

// callTime bounds a call with all its attempts. Glue answers in tens of milliseconds, and slows down when it throttles.
const callTime = time.Minute

// Table is a table as it was read or made.
type Table struct {
	Created bool     // it was not there before
	Added   []string // names of columns that were added to it
	Differ  []string // the columns of which its type is not that of the files: for people

	storage *types.StorageDescriptor
}

// Check tells whether the database is there and, where the table is, whether the definition fits it. It changes nothing, and
// does not find out whether every permission is there.
func (c *Catalog) Check(ctx context.Context, d Definition) error {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if _, err := c.client.GetDatabase(limited, &glue.GetDatabaseInput{Name: &c.database}); err != nil {
		return c.explain("GetDatabase", err)
	}
	t, err := c.read(ctx)
	if err != nil || t == nil {
		return err
	}
	return c.misfit(d.fits(t))
}

// Ensure makes the table, or adds to it the columns that it lacks.
func (c *Catalog) Ensure(ctx context.Context, d Definition) (*Table, error) {
	const attempts = 5 // against others who change the table at the same time, which people and crawlers do rarely
	var err error
	for range attempts {
		var t *Table
		if t, err = c.ensure(ctx, d); err == nil || !is(err, "ConcurrentModificationException", "AlreadyExistsException") {
			return t, err
		}
	}
	return nil, err
}

// ensure makes one attempt: what it decides holds only as long as nobody changes the table.
func (c *Catalog) ensure(ctx context.Context, d Definition) (*Table, error) {
	found, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if found == nil {
		in := d.input(c.table)
		if _, err := c.client.CreateTable(limited, &glue.CreateTableInput{DatabaseName: &c.database, TableInput: in}); err != nil {
			return nil, c.explain("CreateTable", err)
		}
		return &Table{Created: true, storage: in.StorageDescriptor}, nil
	}
	if err := d.fits(found); err != nil {
		return nil, c.misfit(err)
	}
	t := &Table{storage: found.StorageDescriptor}
	add, differ := d.missing(found.StorageDescriptor.Columns, found.PartitionKeys)
	t.Differ = differ
	if len(add) == 0 {
		return t, nil
	}
	in := extended(found, add)
	// A version is refused when the table has a later one. No old one is kept: an account can have only so many.
	_, err = c.client.UpdateTable(limited, &glue.UpdateTableInput{
		DatabaseName: &c.database, TableInput: in, VersionId: found.VersionId, SkipArchive: aws.Bool(true),
	})
	if err != nil {
		return nil, c.explain("UpdateTable", err)
	}
	t.storage = in.StorageDescriptor
	for _, column := range add {
		t.Added = append(t.Added, *column.Name)
	}
	return t, nil
}

// read gives the table, or nil where there is none, or no database.
func (c *Catalog) read(ctx context.Context) (*types.Table, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := c.client.GetTable(ctx, &glue.GetTableInput{DatabaseName: &c.database, Name: &c.table})
	if is(err, "EntityNotFoundException") {
		return nil, nil
	}
	if err != nil {
		return nil, c.explain("GetTable", err)
	}
	return out.Table, nil
}

// batch is how many partitions BatchCreatePartition takes.
const batch = 100

// Registered is what became of partitions that were to be registered.
type Registered struct {
	New     int // that were not there before
	Known   int // that were
	Refused []error
	Left    []Partition // that are not registered, and to be tried again
}

// Register makes partitions of a table, each like the table but for its location. The error tells why some are left.
// Partitions that Glue does not want at all are refused, and hold up no others.
func (c *Catalog) Register(ctx context.Context, t *Table, partitions []Partition) (r Registered, err error) {
	for chunk := range slices.Chunk(partitions, batch) {
		if err == nil {
			err = c.register(ctx, t, chunk, &r)
		} else {
			r.Left = append(r.Left, chunk...)
		}
	}
	return r, err
}

func (c *Catalog) register(ctx context.Context, t *Table, partitions []Partition, r *Registered) error {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	in := &glue.BatchCreatePartitionInput{DatabaseName: &c.database, TableName: &c.table}
	for _, p := range partitions {
		storage := *t.storage
		storage.Location = aws.String(p.uri)
		in.PartitionInputList = append(in.PartitionInputList, types.PartitionInput{Values: p.Values, StorageDescriptor: &storage})
	}
	out, err := c.client.BatchCreatePartition(limited, in)
	switch {
	case is(err, "InvalidInputException", "ValidationException") && len(partitions) > 1:
		// One that is not valid has all refused: the others are found by halves.
		half := len(partitions) / 2
		return errors.Join(c.register(ctx, t, partitions[:half], r), c.register(ctx, t, partitions[half:], r))
	case is(err, "InvalidInputException", "ValidationException"):
		r.Refused = append(r.Refused, fmt.Errorf("%s: %w", partitions[0].Folder, err))
		return nil
	case err != nil:
		r.Left = append(r.Left, partitions...)
		return c.explain("BatchCreatePartition", err)
	}
	var errs []error
	for _, p := range partitions {
		i := slices.IndexFunc(out.Errors, func(e types.PartitionError) bool { return slices.Equal(e.PartitionValues, p.Values) })
		switch {
		case i < 0:
			r.New++
		case out.Errors[i].ErrorDetail == nil:
			r.Left = append(r.Left, p)
			errs = append(errs, fmt.Errorf("glue:BatchCreatePartition did not register %s, and does not say why", p.Folder))
		case aws.ToString(out.Errors[i].ErrorDetail.ErrorCode) == "AlreadyExistsException":
			r.Known++
		default:
			r.Left = append(r.Left, p)
			detail := out.Errors[i].ErrorDetail
			errs = append(errs, fmt.Errorf("glue:BatchCreatePartition did not register %s: %s: %s", p.Folder, aws.ToString(detail.ErrorCode), aws.ToString(detail.ErrorMessage)))
		}
	}
	return errors.Join(errs...)
}

// explain says what failed, and what to do about what only people can mend.
func (c *Catalog) explain(operation string, err error) error {
	name := c.database + "." + c.table
	switch {
	case is(err, "EntityNotFoundException") && operation == "BatchCreatePartition":
		return fmt.Errorf("glue:%s: the table %s was deleted a moment ago: %w", operation, name, err)
	case is(err, "EntityNotFoundException"):
		return fmt.Errorf("glue:%s: there is no database %s in the catalog of the region %s; create it (aws glue create-database --database-input Name=%s), "+
			"or correct SLUICE_GLUE_DATABASE: %w", operation, c.database, c.client.Options().Region, c.database, err)
	case is(err, "AccessDeniedException"):
		return fmt.Errorf("glue:%s: allow these credentials glue:%s on the catalog, the database %s and the table %s; "+
			"where Lake Formation governs the database, it has to allow that, too: %w", operation, operation, c.database, name, err)
	}
	return fmt.Errorf("glue:%s of %s: %w", operation, name, err)
}

func (c *Catalog) misfit(err error) error {
	if err != nil {
		return fmt.Errorf("the table %s.%s is another's: %w; name another in SLUICE_GLUE_TABLE, or delete that one, and it is made anew", c.database, c.table, err)
	}
	return nil
}

// is tells whether an error is an answer of Glue with one of these codes.
func is(err error, codes ...string) bool {
	var answer smithy.APIError
	return errors.As(err, &answer) && slices.Contains(codes, answer.ErrorCode())
}
