package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/debros/debros/api"
)

// DatabaseClient is the application's SQL database (N62).
type DatabaseClient interface {
	// Query runs one statement, be it a query or a write; SQLite says which. Arguments are bound to ?, in order.
	Query(ctx context.Context, sql string, args ...any) (*QueryResult, error)
	// Transaction executes statements, all or none.
	Transaction(ctx context.Context, statements []string) error
	// CreateTable executes a CREATE TABLE statement.
	CreateTable(ctx context.Context, schema string) error
	// DropTable drops a table. One that does not exist is an error.
	DropTable(ctx context.Context, name string) error
	// GetSchema describes the tables.
	GetSchema(ctx context.Context) (*SchemaInfo, error)
}

// QueryResult is what a statement gave (N67). Count is the number of rows, or of rows changed by a write without RETURNING.
type QueryResult struct {
	Columns []string
	Rows    [][]any
	Count   int64
}

// SchemaInfo describes a database.
type SchemaInfo struct {
	Tables []TableInfo
}

// TableInfo describes a table.
type TableInfo struct {
	Name    string
	Columns []ColumnInfo
}

// ColumnInfo describes a column. Default is its SQL text, "" for none.
type ColumnInfo struct {
	Name     string
	Type     string
	Nullable bool
	Default  string
}

type database struct{ c *client }

// sql is the database of the session.
func (d database) sql() (*api.SQL, error) {
	s, err := d.c.current()
	if err != nil {
		return nil, err
	}
	return s.api.SQL().Database(d.c.cfg.DatabaseName), nil
}

// Query implements DatabaseClient.
func (d database) Query(ctx context.Context, sql string, args ...any) (*QueryResult, error) {
	db, err := d.sql()
	if err != nil {
		return nil, err
	}
	rows, err := db.Query(ctx, api.Stmt(sql, args...), nil)
	if errors.Is(err, api.ErrQueryWrites) {
		return written(ctx, db, sql, args)
	}
	if err != nil {
		return nil, queryError(ctx, err)
	}
	out := &QueryResult{Columns: rows.Columns(), Rows: [][]any{}}
	for row, err := range rows.All() {
		if err != nil {
			return nil, queryError(ctx, err)
		}
		out.Rows = append(out.Rows, row.Values())
	}
	out.Count = int64(len(out.Rows))
	return out, nil
}

// written is the result of a statement that writes.
func written(ctx context.Context, db *api.SQL, sql string, args []any) (*QueryResult, error) {
	r, err := db.Exec(ctx, sql, args...)
	if err != nil {
		return nil, queryError(ctx, err)
	}
	out := &QueryResult{Columns: r.Columns, Rows: [][]any{}, Count: r.RowsAffected}
	for i := range r.Rows {
		out.Rows = append(out.Rows, r.Rows[i].Values())
	}
	if len(r.Columns) > 0 {
		out.Count = int64(len(out.Rows))
	}
	return out, nil
}

// queryError has the words of N81 for a query that took too long.
func queryError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &namedError{"Query timeout", err}
	}
	return err
}

// Transaction implements DatabaseClient.
func (d database) Transaction(ctx context.Context, statements []string) error {
	db, err := d.sql()
	if err != nil {
		return err
	}
	if len(statements) == 0 {
		return nil
	}
	r := &api.SQLRequest{Transaction: true}
	for _, sql := range statements {
		r.Statements = append(r.Statements, api.Stmt(sql))
	}
	_, err = db.Execute(ctx, r, nil)
	return queryErrorOrNil(ctx, err)
}

func queryErrorOrNil(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return queryError(ctx, err)
}

// CreateTable implements DatabaseClient.
func (d database) CreateTable(ctx context.Context, schema string) error {
	db, err := d.sql()
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, schema)
	return queryErrorOrNil(ctx, err)
}

// DropTable implements DatabaseClient.
func (d database) DropTable(ctx context.Context, name string) error {
	db, err := d.sql()
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, "DROP TABLE "+quoted(name))
	return queryErrorOrNil(ctx, err)
}

// quoted is a name as SQL has it, whatever is in it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// schemaQuery reads all columns of all tables in one statement, so of one state. Hidden columns of virtual tables are left out.
const schemaQuery = `SELECT t.name, c.name, c.type, c."notnull" = 0 AND c.pk = 0, coalesce(c.dflt_value, '')
FROM pragma_table_list t JOIN pragma_table_xinfo(t.name) c
WHERE t.schema = 'main' AND t.type IN ('table', 'virtual') AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND t.name NOT LIKE '\_debros\_%' ESCAPE '\' AND c.hidden <> 1
ORDER BY t.name, c.cid`

// GetSchema implements DatabaseClient.
func (d database) GetSchema(ctx context.Context) (*SchemaInfo, error) {
	db, err := d.sql()
	if err != nil {
		return nil, err
	}
	rows, err := db.Query(ctx, api.Stmt(schemaQuery), nil)
	if err != nil {
		return nil, queryError(ctx, err)
	}
	out := &SchemaInfo{Tables: []TableInfo{}}
	for row, err := range rows.All() {
		if err != nil {
			return nil, queryError(ctx, err)
		}
		var table string
		var col ColumnInfo
		if err := row.Scan(&table, &col.Name, &col.Type, &col.Nullable, &col.Default); err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		if n := len(out.Tables); n == 0 || out.Tables[n-1].Name != table {
			out.Tables = append(out.Tables, TableInfo{Name: table})
		}
		last := &out.Tables[len(out.Tables)-1]
		last.Columns = append(last.Columns, col)
	}
	return out, nil
}
