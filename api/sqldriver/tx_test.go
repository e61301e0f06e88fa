package sqldriver_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/debros/debros/api"
	"github.com/debros/debros/api/sqldriver"
)

func begin(t *testing.T, db *sql.DB, o *sql.TxOptions) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func exec(t *testing.T, on interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, query string, args ...any) sql.Result {
	t.Helper()
	res, err := on.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return res
}

func TestCommitDoesAllAndTellsResults(t *testing.T) {
	db := newDB(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)")
	tx := begin(t, db, nil)
	blob := []byte("before")
	first := exec(t, tx, "INSERT INTO t (a) VALUES (?), ('x')", blob)
	copy(blob, "after!")
	second := exec(t, tx, "UPDATE t SET a = ? WHERE id = ?", 5, 2)
	if _, err := first.RowsAffected(); !errors.Is(err, sqldriver.ErrNotCommitted) {
		t.Errorf("rows affected: %v", err)
	}
	if _, err := first.LastInsertId(); !errors.Is(err, sqldriver.ErrNotCommitted) {
		t.Errorf("last insert id: %v", err)
	}
	if n := one[int](t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows are there before Commit", n)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if id, err := first.LastInsertId(); id != 2 || err != nil {
		t.Errorf("last insert id: %d, %v", id, err)
	}
	if n, err := second.RowsAffected(); n != 1 || err != nil {
		t.Errorf("rows affected: %d, %v", n, err)
	}
	if a := one[string](t, db, "SELECT a FROM t WHERE id = 1"); a != "before" {
		t.Errorf("stored %q", a)
	}

	tx = begin(t, db, nil)
	exec(t, tx, "INSERT INTO t (a) VALUES ('y')")
	res := exec(t, tx, "INSERT INTO t (a) VALUES (5)")
	var failed *api.SQLError
	if err := tx.Commit(); !errors.As(err, &failed) || failed.Statement != 1 || errors.Is(err, sqldriver.ErrConflict) {
		t.Errorf("a constraint: %v", err)
	}
	if _, err := res.RowsAffected(); !errors.Is(err, sqldriver.ErrNotCommitted) {
		t.Errorf("rows affected: %v", err)
	}
	if n := one[int](t, db, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows: half a transaction", n)
	}
}

func TestRollbackForgets(t *testing.T) {
	db := newDB(t, "CREATE TABLE t (a)")
	tx := begin(t, db, nil)
	exec(t, tx, "INSERT INTO t VALUES (1)")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, tx, "INSERT INTO t VALUES (2)")
	cancel()
	if err := tx.Commit(); !errors.Is(err, context.Canceled) && !errors.Is(err, sql.ErrTxDone) {
		t.Errorf("commit after the end: %v", err)
	}
	exec(t, db, "INSERT INTO t VALUES (3)") // on a connection that is out of its transaction
	if a := one[string](t, db, "SELECT group_concat(a) FROM t"); a != "3" {
		t.Errorf("there are %s", a)
	}
}

// TestCommitFailsIfAReadChanged: each read, and a change that the guard must see or must not mind.
func TestCommitFailsIfAReadChanged(t *testing.T) {
	readAll := func(query string, args ...any) func(*testing.T, *sql.Tx) {
		return func(t *testing.T, tx *sql.Tx) {
			rows, err := tx.QueryContext(t.Context(), query, args...)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	some := func(n int, query string) func(*testing.T, *sql.Tx) {
		return func(t *testing.T, tx *sql.Tx) {
			rows, err := tx.QueryContext(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			for range n {
				if !rows.Next() {
					t.Fatal(rows.Err())
				}
			}
			rows.Close()
		}
	}
	row := func(query string) func(*testing.T, *sql.Tx) {
		return func(t *testing.T, tx *sql.Tx) {
			if err := tx.QueryRowContext(t.Context(), query).Scan(new(any)); err != nil && !errors.Is(err, sql.ErrNoRows) {
				t.Fatal(err)
			}
		}
	}
	serializable, committed := &sql.TxOptions{Isolation: sql.LevelSerializable}, &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	for name, c := range map[string]struct {
		o        *sql.TxOptions
		read     func(*testing.T, *sql.Tx)
		change   string
		conflict bool
	}{
		"nothing":                 {nil, readAll("SELECT * FROM t"), "", false},
		"all":                     {nil, readAll("SELECT * FROM t"), "UPDATE t SET a = 'z' WHERE id = 3", true},
		"all serializable":        {serializable, readAll("SELECT * FROM t"), "UPDATE t SET a = 'z' WHERE id = 3", true},
		"all read committed":      {committed, readAll("SELECT * FROM t"), "UPDATE t SET a = 'z' WHERE id = 3", false},
		"a new row":               {nil, readAll("SELECT a FROM t WHERE id > ?", 1), "INSERT INTO t VALUES (9, 'n')", true},
		"a row of others":         {nil, readAll("SELECT a FROM t WHERE id < :n", sql.Named("n", 3)), "INSERT INTO t VALUES (9, 'n')", false},
		"another type":            {nil, readAll("SELECT a FROM t"), "UPDATE t SET a = CAST(a AS BLOB)", true},
		"there and back":          {nil, readAll("SELECT a FROM t"), "UPDATE t SET a = a", false},
		"no row, now one":         {nil, row("SELECT a FROM t WHERE id = 9"), "INSERT INTO t VALUES (9, 'n')", true},
		"one row":                 {nil, row("SELECT a FROM t WHERE id = 2"), "UPDATE t SET a = 'z' WHERE id = 2", true},
		"one row gone":            {nil, row("SELECT a FROM t WHERE id = 2"), "DELETE FROM t WHERE id = 2", true},
		"first row, first":        {nil, row("SELECT a FROM t ORDER BY id"), "UPDATE t SET a = 'z' WHERE id = 1", true},
		"first row, another":      {nil, row("SELECT a FROM t ORDER BY id"), "UPDATE t SET a = 'z' WHERE id = 3", false},
		"two rows, the third":     {nil, some(2, "SELECT a FROM t ORDER BY id"), "UPDATE t SET a = 'z' WHERE id = 3", true},
		"rows that nobody looked": {nil, some(0, "SELECT a FROM t ORDER BY id"), "UPDATE t SET a = 'z' WHERE id = 3", false},
	} {
		t.Run(name, func(t *testing.T) {
			db := newDB(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')", "CREATE TABLE done (n)")
			tx := begin(t, db, c.o)
			c.read(t, tx)
			if c.change != "" {
				exec(t, db, c.change)
			}
			exec(t, tx, "INSERT INTO done VALUES (1)")
			err := tx.Commit()
			if errors.Is(err, sqldriver.ErrConflict) != c.conflict || !c.conflict && err != nil {
				t.Errorf("commit: %v", err)
			}
			if c.conflict && !errors.Is(err, api.ErrConflict) {
				t.Errorf("the agent's own error is lost: %v", err)
			}
			if n := one[int](t, db, "SELECT count(*) FROM done"); (n == 0) != c.conflict {
				t.Errorf("written %d times", n)
			}
		})
	}
}

// TestOneOfTwoCrossingTransactionsIsDone: each reads what the other writes, which weaker isolation lets pass.
func TestOneOfTwoCrossingTransactionsIsDone(t *testing.T) {
	db := newDB(t, "CREATE TABLE oncall (name PRIMARY KEY, on_call)", "INSERT INTO oncall VALUES ('ann', 1), ('bob', 1)")
	ann, bob := begin(t, db, nil), begin(t, db, nil)
	for tx, name := range map[*sql.Tx]string{ann: "ann", bob: "bob"} {
		var n int
		if err := tx.QueryRowContext(t.Context(), "SELECT sum(on_call) FROM oncall").Scan(&n); err != nil || n != 2 {
			t.Fatal(n, err)
		}
		exec(t, tx, "UPDATE oncall SET on_call = 0 WHERE name = ?", name)
	}
	if err := ann.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := bob.Commit(); !errors.Is(err, sqldriver.ErrConflict) {
		t.Errorf("both may go: %v", err)
	}
	if name := one[string](t, db, "SELECT group_concat(name) FROM oncall WHERE on_call"); name != "bob" {
		t.Errorf("on call: %s", name)
	}
}

// TestReadsOfOneTransactionAreOfOneState, or Commit says that they are not.
func TestReadsOfOneTransactionAreOfOneState(t *testing.T) {
	db := newDB(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n)", "INSERT INTO t VALUES (1, 10), (2, 0)")
	for _, move := range []bool{false, true} {
		tx := begin(t, db, &sql.TxOptions{ReadOnly: true})
		for id := range 2 {
			if err := tx.QueryRowContext(t.Context(), "SELECT n FROM t WHERE id = ?", id+1).Scan(new(int)); err != nil {
				t.Fatal(err)
			}
			if move && id == 0 {
				exec(t, db, "UPDATE t SET n = 10 - n")
			}
		}
		if _, err := tx.ExecContext(t.Context(), "DELETE FROM t"); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("a write: %v", err)
		}
		if err := tx.Commit(); errors.Is(err, sqldriver.ErrConflict) != move || !move && err != nil {
			t.Errorf("moved %v: %v", move, err)
		}
	}
}

func TestTransactionRefusesWhatItCannotDo(t *testing.T) {
	db := newDB(t, "CREATE TABLE t (a)")
	tx := begin(t, db, nil)
	refused := func(query, why string) {
		t.Helper()
		rows, err := tx.QueryContext(t.Context(), query)
		if err == nil {
			rows.Close()
		}
		if !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", query, err)
		}
	}
	refused("INSERT INTO t VALUES (1) RETURNING a", "before it is committed")
	refused("WITH v AS (SELECT 1) INSERT INTO t SELECT * FROM v RETURNING a", "before it is committed")
	exec(t, tx, "INSERT INTO t VALUES (2)")
	refused("SELECT a FROM t", "behind a write")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if a := one[string](t, db, "SELECT group_concat(a) FROM t"); a != "2" {
		t.Errorf("there are %s", a)
	}
	for _, level := range []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelWriteCommitted, sql.LevelRepeatableRead, sql.LevelSnapshot} {
		if _, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level}); !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), level.String()) {
			t.Errorf("%s: %v", level, err)
		}
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	outer, err := conn.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.BeginTx(t.Context(), nil); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a transaction in a transaction: %v", err)
	}
	if err := outer.Rollback(); err != nil {
		t.Error(err)
	}
}
