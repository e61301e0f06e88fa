package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/debros/debros/api"
	"github.com/debros/debros/command/sqlrun"
)

// sqlImportOptions are those of 'debros sql import'.
type sqlImportOptions struct {
	database, kind, separator, progress string
	null                                *string
	csv                                 sqlrun.CSVOptions
	retryFor                            time.Duration
}

func sqlImportCommand() *cmd {
	var o sqlImportOptions
	return &cmd{
		name: "sql import", args: "FILE | -", synopsis: "Run a file of SQL, or insert one of CSV or SQLite", min: 1, max: 1,
		help: `A file of SQL is what 'debros sql export' or sqlite3's .dump wrote, or any other statements. BEGIN, COMMIT
and PRAGMA are left out (user_version and application_id are kept), since hundreds of statements at a
time are sent as one transaction, and so is what .dump says of the planner's statistics: run ANALYZE.

A SQLite file, by its first bytes or with -type=sqlite, becomes the database when that holds nothing yet; else its schema and rows
are added to what is there. To replace what is there: debros sql restore.

A file whose name ends in .csv or .tsv, or any with -type=csv, is inserted into the table of -table, or
the one of the file's name. Its first line names the columns; a table that does not exist is made, with
columns of text.

The file is read as a stream and may be larger than memory. When the leader is lost, a transaction is
sent again until it is known to be done; it is done once. An error names the line; the transactions
before it stay.`,
		flags: func(fs *flag.FlagSet) {
			databaseFlag(fs, &o.database)
			fs.StringVar(&o.kind, "type", "auto", "what FILE is: auto (by its name and first bytes), sql, csv or sqlite")
			fs.StringVar(&o.csv.Table, "table", "", "`name` of the table that CSV goes into")
			fs.StringVar(&o.separator, "separator", "", "`character` between the fields of CSV; else ',', or a tab for .tsv")
			fs.BoolVar(&o.csv.NoHeader, "no-header", false, "the first line of CSV holds values; they fill the columns in order")
			fs.Func("null", "a field of CSV that is this `text` is NULL; it may be empty", func(s string) error { o.null = &s; return nil })
			fs.DurationVar(&o.retryFor, "retry-for", time.Minute, "how long to try a transaction again")
			fs.StringVar(&o.progress, "progress", "auto", "progress bar on standard error: auto (on a terminal), always or never")
		},
		run: func(ctx context.Context, c *call) error { return importSQL(ctx, c, o) },
	}
}

func importSQL(ctx context.Context, c *call, o sqlImportOptions) error {
	if o.kind == "sqlite" || o.kind == "auto" && sqlrun.LooksLikeSQLite(c.args[0]) {
		return importSQLite(ctx, c, o)
	}
	isCSV, err := o.settle(c.args[0])
	if err != nil {
		return err
	}
	file, size, err := c.open(c.args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	client, err := c.client()
	if err != nil {
		return err
	}
	var silence *api.Error
	if _, err := client.Agent().Version(ctx); errors.As(err, &silence) && silence.Status == 0 {
		return err // nobody there from the beginning: no reason for -retry-for
	}
	bar, err := c.progress(o.progress, size)
	if err != nil {
		return err
	}
	in, db := io.TeeReader(file, bar), c.database(client, o.database)
	start := time.Now()
	var done sqlrun.Imported
	what := "statements"
	if isCSV {
		what = "rows"
		done, err = sqlrun.ImportCSV(ctx, db, in, o.csv, o.retryFor)
	} else {
		done, err = sqlrun.ImportSQL(ctx, db, in, o.retryFor)
	}
	bar.end(err == nil)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return fmt.Errorf("%w (%d %s were imported before)", err, done.Statements, what)
	}
	return c.imported(done, what, start)
}

func (c *call) imported(done sqlrun.Imported, what string, start time.Time) error {
	result := map[string]any{"Imported": done.Statements, "Skipped": done.Skipped, "Transactions": done.Batches, "Retried": done.Repeated, "Seconds": time.Since(start).Seconds()}
	return c.done(result, "Imported %d %s in %s", done.Statements, what, time.Since(start).Round(time.Millisecond))
}

// importSQLite makes a SQLite file the database, or adds it to one that has something.
func importSQLite(ctx context.Context, c *call, o sqlImportOptions) error {
	if o.csv.Table != "" || o.csv.NoHeader || o.null != nil || o.separator != "" {
		return usagef("-table, -separator, -no-header and -null are for CSV")
	}
	file, size, err := openSQLite(c.args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	client, err := c.client()
	if err != nil {
		return err
	}
	name := c.databaseName(o.database)
	empty, err := sqlrun.Empty(ctx, client.SQL().Database(name))
	if err != nil {
		return err
	}
	if empty {
		d, err := c.sendDatabase(ctx, client.SQL().Database(name), file, size, restoreOptions{progress: o.progress})
		if err != nil {
			return err
		}
		return c.done(d, "Imported: database %s from %s, %s, index %d", d.Name, printable(c.args[0], false), sizeText(size), d.ModifyIndex)
	}
	bar, err := c.progress(o.progress, size)
	if err != nil {
		return err
	}
	start := time.Now()
	done, err := sqlrun.ImportSQLite(ctx, client.SQL(), name, io.TeeReader(file, bar), o.retryFor)
	bar.end(err == nil)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return fmt.Errorf("%w (%d statements were imported before)", err, done.Statements)
	}
	return c.imported(done, "statements", start)
}

// settle chooses what the flags leave open, by the file's name.
func (o *sqlImportOptions) settle(name string) (isCSV bool, err error) {
	extension := strings.ToLower(filepath.Ext(name))
	switch o.kind {
	case "auto":
		isCSV = extension == ".csv" || extension == ".tsv"
	case "csv":
		isCSV = true
	case "sql":
	default:
		return false, usagef("-type=%s: want auto, sql, csv or sqlite", o.kind)
	}
	if !isCSV {
		if o.csv.Table != "" || o.csv.NoHeader || o.null != nil || o.separator != "" {
			return false, usagef("-table, -separator, -no-header and -null are for CSV; -type=csv says that the file is")
		}
		return false, nil
	}
	if o.csv.Table == "" {
		if o.csv.Table = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)); name == "-" {
			return false, usagef("-table must name the table that standard input goes into")
		}
	}
	if o.separator == "" && extension == ".tsv" {
		o.separator = "\t"
	}
	if o.separator != "" {
		r, n := utf8.DecodeRuneInString(o.separator)
		if n != len(o.separator) || r == '"' || r == '\n' || r == '\r' || r == utf8.RuneError {
			return false, usagef("-separator=%s: want one character", o.separator)
		}
		o.csv.Separator = r
	}
	o.csv.Null = o.null
	return true, nil
}

func sqlExportCommand() *cmd {
	var database string
	return &cmd{
		name: "sql export", args: "[PATTERN]", synopsis: "Write a database as SQL", max: 1, noFormat: true,
		help: `The text makes the database anew: 'debros sql import' reads it, and so does the sqlite3 program. It is of one
moment, though writes go on. With PATTERN (of LIKE, in quotes), it is the tables whose names match.

  debros sql export > all.sql
  debros sql export | sqlite3 copy.db

For rows as CSV or JSON: debros sql -format=csv "select * from TABLE".`,
		flags: func(fs *flag.FlagSet) { databaseFlag(fs, &database) },
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			_, err = sqlrun.Export(ctx, c.database(client, database), c.query(), strings.Join(c.args, ""), c.Stdout)
			return err
		},
	}
}
