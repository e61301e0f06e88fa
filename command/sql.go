package command

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/command/sqlrun"
	"github.com/debros/debros/command/sqlshell"
	"github.com/debros/debros/internal/sqltext"
)

// sqlOptions are those of 'debros sql'.
type sqlOptions struct {
	database, format, args string
	transaction            bool
	freshness              time.Duration
	freshnessStrict        bool
	minIndex               uint64
}

func databaseFlag(fs *flag.FlagSet, to *string) {
	fs.StringVar(to, "db", "", "`name` of the database; else DEBROS_DATABASE, else default")
}

// database is where SQL goes.
func (c *call) database(client *api.Client, name string) *api.SQL {
	return client.SQL().Database(c.databaseName(name))
}

func (c *call) databaseName(flag string) string {
	return cmp.Or(flag, os.Getenv("DEBROS_DATABASE"), "default")
}

func sqlCommand() *cmd {
	var o sqlOptions
	return &cmd{
		name: "sql", args: "[SQL | @FILE | - [ARGUMENT...]]", synopsis: "Run SQL, or talk SQL in a shell", max: -1, noFormat: true, ownSignals: true,
		help: `SQL is one statement or more, with ';' between them; @FILE and - (standard input) hold the same. They
are run one after the other, each on its own; the first that fails ends it. With -transaction, all are
done or none. What a statement gives is written as it comes, however much it is.

Each ARGUMENT is the value of one parameter of the statement, in order. A number that would be written
back as the very same word is a number, everything else is text; -args can say all kinds of values.

  debros sql "select name from users where id = ?" 5
  debros sql -args '{"id": 5, "photo": {"blob": "AAEC"}}' "update users set photo = :photo where id = :id"
  debros sql -format=csv "select * from users" > users.csv
  debros sql -transaction @move.sql

Without arguments, on a terminal, it is a shell: statements over many lines up to ';', history, completion
of names with Tab, and commands such as .tables and .schema, which .help lists. Ctrl-C gives up a statement,
Ctrl-D leaves.

Results are tables, or with -format=json arrays of objects: whole numbers are exact, reals have a '.' or an
exponent, blobs are {"blob": base64}. In CSV, NULL is an empty field.`,
		flags: func(fs *flag.FlagSet) {
			databaseFlag(fs, &o.database)
			fs.StringVar(&o.format, "format", string(sqlrun.Table), "`form` of the results: table, json, csv or line")
			fs.StringVar(&o.args, "args", "", "arguments of the statement as `JSON`: an array, or an object of names")
			fs.BoolVar(&o.transaction, "transaction", false, "all statements or none")
			fs.DurationVar(&o.freshness, "freshness", 0, "with -stale: refuse a server that has not heard from the leader for so `long`; 0 = any")
			fs.BoolVar(&o.freshnessStrict, "freshness-strict", false, "with -freshness: also refuse a server that is behind, if the last entry it has applied is older than that")
			fs.Uint64Var(&o.minIndex, "min-index", 0, "read what this `index` has written, at least")
		},
		run: func(ctx context.Context, c *call) error { return runSQL(ctx, c, o) },
	}
}

func runSQL(ctx context.Context, c *call, o sqlOptions) error {
	if !slices.Contains(sqlrun.Formats(), sqlrun.Format(o.format)) {
		return usagef("-format=%s: want table, json, csv or line", o.format)
	}
	args := sqlrun.WordArgs(c.args[min(1, len(c.args)):])
	if o.args != "" {
		if len(args) > 0 {
			return usagef("give arguments as words or as -args, not both")
		}
		var err error
		if args, err = sqlrun.JSONArgs(o.args); err != nil {
			return usagef("-args: %s", err)
		}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	read := c.query()
	read.Freshness, read.FreshnessStrict, read.MinIndex = o.freshness, o.freshnessStrict, o.minIndex
	if o.freshnessStrict && o.freshness == 0 {
		return usagef("-freshness-strict says how -freshness is measured: give that too")
	}
	if o.freshness != 0 && read.Consistency != api.Stale {
		return usagef("-freshness is about stale reads: give -stale too")
	}
	if len(c.args) == 0 && isTerminal(c.Stdin) && isTerminal(c.Stdout) {
		if o.transaction || len(args) > 0 {
			return usagef("-transaction and -args need a statement")
		}
		return c.shell(ctx, client, o, read)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	c.Stdin = &interruptible{ctx, c.Stdin}
	in, err := c.sqlText()
	if err != nil {
		return err
	}
	defer in.Close()
	s := &sqlrun.Session{DB: c.database(client, o.database), Read: read, Out: c.Stdout, Format: sqlrun.Format(o.format)}
	if o.transaction {
		err = sqlTransaction(ctx, s, in, args)
	} else {
		err = sqlStatements(ctx, s, in, args)
	}
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// sqlText is the statements that the arguments name.
func (c *call) sqlText() (io.ReadCloser, error) {
	switch {
	case len(c.args) == 0 || c.args[0] == "-":
		return io.NopCloser(c.Stdin), nil
	case strings.HasPrefix(c.args[0], "@"):
		return os.Open(c.args[0][1:])
	}
	return io.NopCloser(strings.NewReader(c.args[0])), nil
}

var errManyWithArgs = usagef("arguments go with one statement, and there are more")

// sqlStatements runs the statements one by one.
func sqlStatements(ctx context.Context, s *sqlrun.Session, in io.Reader, args []any) error {
	split := sqltext.NewSplitter(in)
	more := split.Next()
	for n := 1; more; n++ {
		st := split.Statement()
		if more = split.Next(); more && len(args) > 0 {
			return errManyWithArgs
		}
		if err := s.Run(ctx, api.Stmt(st.Text, args...)); err != nil {
			if n == 1 && !more {
				return err
			}
			return fmt.Errorf("statement %d in line %d: %w", n, st.Line, err)
		}
	}
	return split.Err()
}

// sqlTransaction runs the statements as one request.
func sqlTransaction(ctx context.Context, s *sqlrun.Session, in io.Reader, args []any) error {
	q := &api.SQLRequest{Transaction: true}
	split := sqltext.NewSplitter(in)
	for split.Next() {
		if len(q.Statements) > 0 && len(args) > 0 {
			return errManyWithArgs
		}
		q.Statements = append(q.Statements, api.Stmt(split.Statement().Text, args...))
	}
	if err := split.Err(); err != nil || len(q.Statements) == 0 {
		return err
	}
	_, err := s.Execute(ctx, q)
	return err
}

// shell talks with the person at the terminal.
func (c *call) shell(ctx context.Context, client *api.Client, o sqlOptions, read *api.QueryOptions) error {
	if _, err := client.Agent().Version(ctx); err != nil {
		return err // before the terminal is taken over
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	if o.database == "" {
		o.database = os.Getenv("DEBROS_DATABASE")
	}
	t := sqlshell.OpenTerminal(ctx, sqlshell.HistoryFile())
	defer t.Close()
	fmt.Fprintf(c.Stdout, "debros sql at %s: statements end with ';', .help lists commands\n", client.Address())
	return sqlshell.New(sqlshell.Config{
		SQL: client.SQL(), Database: o.database, Read: read, Format: sqlrun.Format(o.format),
		Out: c.Stdout, Report: func(err error) { c.cmd.report(err, false) }, Lines: t,
	}).Run(ctx)
}
