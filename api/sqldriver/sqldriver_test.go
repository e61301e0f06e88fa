package sqldriver_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
	"github.com/debros/debros/api/sqldriver"
)

var shared agenttest.Shared

func TestMain(m *testing.M) {
	status := m.Run()
	shared.Close()
	os.Exit(status)
}

// open is the default database of a new namespace, over this address of its agent.
func open(t *testing.T, address, ns string) *sql.DB {
	t.Helper()
	client, err := api.New(api.Config{Address: address, Namespace: ns, Retry: api.RetryPolicy{WaitMin: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	db := sqldriver.OpenDB(client, sqldriver.Options{})
	t.Cleanup(func() {
		db.Close()
		client.Close()
	})
	return db
}

// newDB is a database with these statements done.
func newDB(t *testing.T, statements ...string) *sql.DB {
	t.Helper()
	db := open(t, shared.Node().API.Address(), shared.Namespace())
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return db
}

// one reads one value.
func one[V any](t *testing.T, db *sql.DB, query string, args ...any) (v V) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func TestRowsAreWrittenReadChangedAndDeleted(t *testing.T) {
	db, ctx := newDB(t, "CREATE TABLE crew (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"), t.Context()
	res, err := db.ExecContext(ctx, "INSERT INTO crew (name) VALUES (?), (?)", "Ann", "Bob")
	if err != nil {
		t.Fatal(err)
	}
	id, err := res.LastInsertId()
	n, err2 := res.RowsAffected()
	if id != 2 || n != 2 || err != nil || err2 != nil {
		t.Fatalf("id %d, %d rows, %v, %v", id, n, err, err2)
	}
	if name := one[string](t, db, "SELECT name FROM crew WHERE id = :id", sql.Named("id", 2)); name != "Bob" {
		t.Errorf("row 2 is %s", name)
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO crew (name) VALUES ('Ann')"); !errors.Is(err, api.ErrConflict) || errors.Is(err, sqldriver.ErrConflict) {
		t.Errorf("a second Ann: %v", err)
	}
	res, err = db.ExecContext(ctx, "UPDATE crew SET name = @new WHERE name = @old", sql.Named("new", "Cid"), api.Named("old", "Bob"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); n != 1 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	if _, err := db.ExecContext(ctx, "DELETE FROM crew WHERE name = 'Ann'"); err != nil {
		t.Fatal(err)
	}
	if names := one[string](t, db, "SELECT group_concat(name) FROM crew"); names != "Cid" {
		t.Errorf("left: %s", names)
	}
	err = db.QueryRowContext(ctx, "SELECT name FROM crew WHERE id = 9").Scan(new(string))
	if !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
}

// TestWriteGivesRows: a write is one wherever its first word stands, and is done once.
func TestWriteGivesRows(t *testing.T) {
	db := newDB(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME)")
	for i, query := range []string{
		"INSERT INTO t (at) VALUES (?) RETURNING id, at",
		"\n replace\tINTO t (at) VALUES (?) RETURNING id, at",
		"/* c */ INSERT INTO t (at) VALUES (?) RETURNING id, at",
		"WITH v(x) AS (SELECT ?) INSERT INTO t (at) SELECT x FROM v RETURNING id, at",
	} {
		var id int
		var at time.Time
		now := time.Now()
		if err := db.QueryRowContext(t.Context(), query, now).Scan(&id, &at); err != nil || id != i+1 || !at.Equal(now) {
			t.Errorf("%s: id %d, %v, %v", query, id, at, err)
		}
	}
	if n := one[int](t, db, "SELECT count(*) FROM t"); n != 4 {
		t.Errorf("%d rows", n)
	}
}

func TestPreparedStatementRunsManyTimes(t *testing.T) {
	db := newDB(t, "CREATE TABLE t (a, b)")
	insert, err := db.PrepareContext(t.Context(), "INSERT INTO t VALUES (?, ?)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	for i := range 5 {
		if _, err := insert.ExecContext(t.Context(), i, i*i); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := db.PrepareContext(t.Context(), "SELECT sum(b) FROM t WHERE a > $least")
	if err != nil {
		t.Fatal(err)
	}
	defer sum.Close()
	var n int
	if err := sum.QueryRowContext(t.Context(), sql.Named("least", 2)).Scan(&n); err != nil || n != 25 {
		t.Errorf("%d, %v", n, err)
	}
	for _, args := range [][]any{{1}, {sql.Named("a", 1), 2}} {
		if _, err := insert.ExecContext(t.Context(), args...); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestContextEndsAQuery whose rows have no end.
func TestContextEndsAQuery(t *testing.T) {
	db := newDB(t)
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := db.QueryContext(ctx, endless)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		if n++; n == 10 {
			cancel()
		}
	}
	if n < 10 || !errors.Is(rows.Err(), context.Canceled) {
		t.Errorf("%d rows, %v", n, rows.Err())
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE t (a)"); !errors.Is(err, context.Canceled) {
		t.Errorf("exec: %v", err)
	}

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var most int
	err = db.QueryRowContext(short, strings.Replace(endless, "SELECT i FROM", "SELECT max(i) FROM", 1)).Scan(&most)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, api.ErrCanceled) {
		t.Errorf("a row that takes for ever: %v", err)
	}
}

func TestDatabaseIsNamedByOptionsAndPinged(t *testing.T) {
	client, err := api.New(api.Config{Address: shared.Node().API.Address(), Namespace: shared.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	shop := sqldriver.OpenDB(client, sqldriver.Options{Database: "shop", Consistency: api.Stale, Freshness: time.Hour})
	defer shop.Close()
	if err := shop.PingContext(t.Context()); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a database that does not exist: %v", err)
	}
	if _, _, err := client.SQL().CreateDatabase(t.Context(), &api.SQLDatabase{Name: "shop"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := shop.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}
