package consumer

import "context"

// Documents are what the processes of an application agree on, kept in its lease table. They are safe for concurrent use.
type Documents struct{ table *table }

// Documents opens those of a lease table, which is made if it is missing and may be created.
func (c Clients) Documents(ctx context.Context, tableName string, create bool) (Documents, error) {
	t := &table{client: c.DynamoDB, name: tableName}
	return Documents{t}, t.ensure(ctx, create)
}

// Agreed gives the document of a name, or an empty string.
func (d Documents) Agreed(ctx context.Context, name string) (string, error) {
	return d.table.agreed(ctx, "_"+name)
}

// Agree stores a document under a name, unless one is there, and gives the one that is.
func (d Documents) Agree(ctx context.Context, name, body string) (string, error) {
	return d.table.once(ctx, "_"+name, body)
}

// Amend stores a document in the place of the one that is expected under a name, and gives the one that is there then.
func (d Documents) Amend(ctx context.Context, name, old, body string) (string, error) {
	return d.table.swap(ctx, "_"+name, old, body)
}
