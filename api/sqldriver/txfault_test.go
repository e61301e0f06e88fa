package sqldriver_test

import (
	"context"
	"errors"
	"testing"

	"github.com/debros/debros/agent/agenttest"
)

// TestReadThatBrokeOffIsNotCommitted: what the program saw of it cannot be asked again.
func TestReadThatBrokeOffIsNotCommitted(t *testing.T) {
	db := newDB(t, "CREATE TABLE t (a)")
	tx := begin(t, db, nil)
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := tx.QueryContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
	}
	cancel()
	rows.Close()
	exec(t, tx, "INSERT INTO t VALUES (1)")
	if err := tx.Commit(); err == nil || !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}
	if n := one[int](t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

// TestCommitWhoseAnswerIsLostIsDoneOnce: the guards no longer hold when the client asks again, since the
// transaction changed what it read, and it is told all the same that it was done.
func TestCommitWhoseAnswerIsLostIsDoneOnce(t *testing.T) {
	front, ns := agenttest.NewFront(t, shared.Node()), shared.Namespace()
	db := open(t, front.URL, ns)
	exec(t, db, "CREATE TABLE c (n)")
	exec(t, db, "INSERT INTO c VALUES (1)")
	front.Lose("POST", "/v1/sql/execute", 2)
	tx := begin(t, db, nil)
	var n int
	if err := tx.QueryRowContext(t.Context(), "SELECT n FROM c").Scan(&n); err != nil {
		t.Fatal(err)
	}
	res := exec(t, tx, "UPDATE c SET n = ?", n+1)
	asked := len(front.Asked())
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if rows, err := res.RowsAffected(); rows != 1 || err != nil {
		t.Errorf("%d rows, %v", rows, err)
	}
	if times := len(front.Asked()) - asked; times != 3 {
		t.Errorf("asked %d times", times)
	}
	if n := one[int](t, db, "SELECT n FROM c"); n != 2 {
		t.Errorf("done %d times", n-1)
	}
}
