package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
	"github.com/sluice-etl/sluice/sink/catalog/gluetest"
)

// TestCatalog has a service write many partitions while the Glue catalog is out of order, and be killed. The data is not held
// up, and who comes after it registers everything. Then the table and the folders are what a crawler would make of them.
func TestCatalog(t *testing.T) {
	y := newYard(t, 2)
	glue, lake := newGlue(t)
	down := &gluetest.Error{Status: http.StatusServiceUnavailable, Code: "InternalServiceException", Message: "down"}
	glue.Intercept(func(string) *gluetest.Error { return down })
	settings := append(lake, "SLUICE_PREFIX=data/dt=!{timestamp:yyyy-MM-dd}/second=!{timestamp:HH-mm-ss}/")

	first := y.run(t, "first", settings...)
	y.put(t, 1000)
	y.all(t, first)
	eventually(t, time.Minute, "the catalog was asked", []*process.Process{first.Process}, func() bool { return glue.Calls("GetTable") > 0 })
	y.put(t, 1000)
	y.all(t, first)
	first.ready(t)
	if n := glue.Calls("CreateTable"); n > 0 {
		t.Errorf("%d tables were made while Glue was down", n)
	}
	first.Kill()

	glue.Intercept(nil)
	second := y.run(t, "second", settings...)
	registered := func() bool {
		locations, err := glue.Locations(t.Context(), "lake", "rows")
		return err == nil && slices.Equal(locations, folders(t, y.Bucket))
	}
	eventually(t, time.Minute, "every folder is a partition", []*process.Process{second.Process}, registered)
	if n := second.metric(t, "sluice_partitions_registered_total"); n < 2 {
		t.Errorf("it says that it registered %v partitions", n)
	}
	y.put(t, 1000)
	y.all(t, second)
	terminate(t, second.Process) // what it committed last is registered on its way out
	if !registered() {
		locations, err := glue.Locations(t.Context(), "lake", "rows")
		t.Errorf("the partitions are %v (%v), the folders %v", locations, err, folders(t, y.Bucket))
	}

	crawl(t, filepath.Join(y.Bucket, "data"), []string{"dt", "second"})
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	have, err := glue.Columns(t.Context(), "lake", "rows")
	if err != nil {
		t.Fatal(err)
	}
	want := query(t, db, fmt.Sprintf(`SELECT column_name || ' ' || CASE column_type WHEN 'VARCHAR' THEN 'string'
		WHEN 'TIMESTAMP WITH TIME ZONE' THEN 'timestamp' ELSE lower(column_type) END
		FROM (DESCRIBE SELECT * FROM read_parquet('%s/**/*.parquet', hive_partitioning = false))`, filepath.Join(y.Bucket, "data")))
	if !slices.Equal(have, want) {
		t.Errorf("the table has the columns\n%q\nand the files\n%q", have, want)
	}
}

// newGlue starts a catalog with the database lake, and gives the settings by which a service keeps the table rows there.
func newGlue(t *testing.T) (glue *gluetest.Server, settings []string) {
	t.Helper()
	glue, err := gluetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { glue.Close() })
	if err := glue.CreateDatabase(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	return glue, []string{"AWS_ENDPOINT_URL_GLUE=" + watched(t, glue.URL).URL, "SLUICE_GLUE_DATABASE=lake", "SLUICE_GLUE_TABLE=rows"}
}

// folders are the places of the partitions, as the files have them.
func folders(t *testing.T, bucket string) (all []string) {
	t.Helper()
	for _, file := range files(t, filepath.Join(bucket, "data")) {
		below, err := filepath.Rel(bucket, filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, "s3://"+world.Bucket+"/"+below+"/")
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func files(t *testing.T, folder string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// crawl looks at a folder as a Glue crawler does, which makes one table of it only if nothing is in the way: it holds files of
// one format alone, all at the same depth in folders NAME=VALUE of the same names, all with the same columns, whose names are
// in lower case, and no column is called as a partition key.
//
// https://docs.aws.amazon.com/glue/latest/dg/crawler-s3-folder-table-partition.html
func crawl(t *testing.T, folder string, keys []string) {
	t.Helper()
	all := files(t, folder)
	if len(all) == 0 {
		t.Fatalf("there is nothing in %s", folder)
	}
	for _, file := range all {
		below, _ := filepath.Rel(folder, file)
		parts := strings.Split(below, string(filepath.Separator))
		if len(parts) != len(keys)+1 || filepath.Ext(file) != ".parquet" || strings.HasPrefix(parts[len(parts)-1], ".") || strings.HasPrefix(parts[len(parts)-1], "_") {
			t.Errorf("a crawler makes another table of %s", below)
			continue
		}
		for i, key := range keys {
			if value, ok := strings.CutPrefix(parts[i], key+"="); !ok || value == "" {
				t.Errorf("a crawler finds other partition keys in %s", below)
			}
		}
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	schemas := query(t, db, fmt.Sprintf(`SELECT DISTINCT columns FROM (
		SELECT file_name, string_agg(name || ' ' || type || ' ' || coalesce(converted_type, ''), ', ' ORDER BY column_id) AS columns
		FROM (SELECT *, row_number() OVER () AS column_id FROM parquet_schema('%s/**/*.parquet') WHERE num_children IS NULL) GROUP BY file_name)`, folder))
	if len(schemas) != 1 {
		t.Fatalf("a crawler finds %d schemas:\n%s", len(schemas), strings.Join(schemas, "\n"))
	}
	for column := range strings.SplitSeq(schemas[0], ", ") {
		name, _, _ := strings.Cut(column, " ")
		if name != strings.ToLower(name) || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || slices.Contains(keys, name) {
			t.Errorf("a crawler renames the column %q, or finds it twice", name)
		}
	}
}
