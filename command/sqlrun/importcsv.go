package sqlrun

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/sqltext"
)

// CSVOptions say how a file of CSV is read.
type CSVOptions struct {
	Table     string  // made, with a text column for each name, if it does not exist
	Separator rune    // 0 = comma
	NoHeader  bool    // the first line holds values; else the names of columns
	Null      *string // a field of this text is NULL; nil: none is
}

// ImportCSV inserts the rows of a file of CSV, many at a time as one transaction. Values are text, which a column
// of another type turns into that. What was done before an error stays, and is in Imported.
func ImportCSV(ctx context.Context, db *api.SQL, in io.Reader, o CSVOptions, patience time.Duration) (Imported, error) {
	var done Imported
	r := csv.NewReader(in)
	r.ReuseRecord = true
	if o.Separator != 0 {
		r.Comma = o.Separator
	}
	columns, err := csvColumns(ctx, db, r, o)
	if err != nil {
		return done, err
	}
	insert := insertInto(o.Table, columns, r.FieldsPerRecord)
	b := &batcher{ctx: ctx, db: db, patience: patience, done: &done}
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return done, b.send()
		}
		if err != nil {
			return done, err
		}
		if columns == nil && len(insert) == 0 {
			insert = insertInto(o.Table, nil, len(fields))
		}
		line, _ := r.FieldPos(0)
		args, size := make([]any, len(fields)), len(insert)
		for i, f := range fields {
			size += len(f) + 2
			if args[i] = f; o.Null != nil && f == *o.Null {
				args[i] = nil
			}
		}
		if err := b.add(api.SQLStatement{SQL: insert, Args: args}, line, size); err != nil {
			return done, err
		}
	}
}

// csvColumns reads the header and makes the table if need be. Without a header they are nil.
func csvColumns(ctx context.Context, db *api.SQL, r *csv.Reader, o CSVOptions) ([]string, error) {
	var have int
	err := db.QueryRow(ctx, api.Stmt("SELECT count(*) FROM pragma_table_info(?)", o.Table), nil, &have)
	if err != nil {
		return nil, err
	}
	if o.NoHeader {
		if have == 0 {
			return nil, fmt.Errorf("there is no table %q, and without a header nothing names its columns", o.Table)
		}
		return nil, nil
	}
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty")
	}
	if err != nil {
		return nil, err
	}
	columns := make([]string, len(header))
	definitions := make([]string, len(header))
	for i, name := range header {
		if columns[i] = strings.TrimPrefix(name, "\ufeff"); columns[i] == "" {
			return nil, fmt.Errorf("column %d has no name in the first line", i+1)
		}
		definitions[i] = sqltext.Name(columns[i]) + " TEXT"
	}
	if have == 0 {
		_, err = db.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+sqltext.Name(o.Table)+" ("+strings.Join(definitions, ", ")+")")
	}
	return columns, err
}

// insertInto is the statement for one row; "" while the number of its columns is not known.
func insertInto(table string, columns []string, n int) string {
	if n <= 0 {
		return ""
	}
	s := "INSERT INTO " + sqltext.Name(table)
	if columns != nil {
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = sqltext.Name(c)
		}
		s += " (" + strings.Join(names, ", ") + ")"
	}
	return s + " VALUES (" + strings.TrimSuffix(strings.Repeat("?, ", n), ", ") + ")"
}
