package sqldriver_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"

	"github.com/debros/debros/api/sqldriver"
)

// TestPoolOfManyCallers: transfers of many goroutines through database/sql's pool lose and make no money, and
// none is done twice or not at all.
func TestPoolOfManyCallers(t *testing.T) {
	const callers, transfers, accounts, each = 6, 8, 3, 1000
	db := newDB(t, "CREATE TABLE account (id INTEGER PRIMARY KEY, cents INTEGER)", "CREATE TABLE moved (caller, n, PRIMARY KEY (caller, n))")
	db.SetMaxOpenConns(4) // fewer than callers: they wait for each other's
	for id := range accounts {
		exec(t, db, "INSERT INTO account VALUES (?, ?)", id, each)
	}
	transfer := func(caller, n int) error {
		return sqldriver.Retry(t.Context(), db, nil, func(tx *sql.Tx) error {
			from, to := n%accounts, (n+1+caller%2)%accounts
			var have, other int
			if err := tx.QueryRow("SELECT cents FROM account WHERE id = ?", from).Scan(&have); err != nil {
				return err
			}
			if err := tx.QueryRow("SELECT cents FROM account WHERE id = ?", to).Scan(&other); err != nil {
				return err
			}
			set, err := tx.Prepare("UPDATE account SET cents = ? WHERE id = ?")
			if err != nil {
				return err
			}
			if _, err := set.Exec(have-1, from); err != nil {
				return err
			}
			if _, err := set.Exec(other+1, to); err != nil {
				return err
			}
			_, err = tx.Exec("INSERT INTO moved VALUES (?, ?)", caller, n)
			return err
		})
	}
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for n := range transfers {
				if err := transfer(caller, n); err != nil {
					t.Errorf("caller %d: %v", caller, err)
					return
				}
				if sum := 0; db.QueryRow("SELECT sum(cents) FROM account").Scan(&sum) != nil || sum != accounts*each {
					t.Errorf("there are %d cents", sum)
				}
			}
		})
	}
	wg.Wait()
	if n := one[int](t, db, "SELECT count(*) FROM moved"); n != callers*transfers {
		t.Errorf("%d transfers", n)
	}
	if open := db.Stats().InUse; open != 0 {
		t.Errorf("%d connections are not given back", open)
	}
}

func TestRetryEndsWithItsContextAndWithFnsError(t *testing.T) {
	db := newDB(t, "CREATE TABLE c (n)", "INSERT INTO c VALUES (0)")
	tries, others := 0, 0
	ctx, cancel := context.WithCancel(t.Context())
	always := func(tx *sql.Tx) error {
		tries++
		if tries == 3 {
			cancel()
		}
		if err := tx.QueryRow("SELECT n FROM c").Scan(new(int)); err != nil {
			return err
		}
		exec(t, db, "UPDATE c SET n = n + 1") // somebody else, each time
		others++
		_, err := tx.Exec("UPDATE c SET n = -1")
		return err
	}
	if err := sqldriver.Retry(ctx, db, nil, always); !errors.Is(err, context.Canceled) || tries != 3 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	err := sqldriver.Retry(t.Context(), db, nil, always)
	if !errors.Is(err, sqldriver.ErrConflict) || tries < 20 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	own := errors.New("no")
	err = sqldriver.Retry(t.Context(), db, nil, func(tx *sql.Tx) error {
		if _, err := tx.Exec("UPDATE c SET n = -1"); err != nil {
			return err
		}
		return own
	})
	if err != own {
		t.Errorf("fn's error: %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = sqldriver.Retry(t.Context(), db, nil, func(*sql.Tx) error { panic("fn") })
	}()
	if n := one[int](t, db, "SELECT n FROM c"); n != others {
		t.Errorf("n is %d after %d writes of others", n, others)
	}
	if open := db.Stats().InUse; open != 0 {
		t.Errorf("%d connections are not given back", open)
	}
}

// TestRetryDoesNotBelieveTornReads: an error that fn drew from two states is no answer, one from a single state is.
func TestRetryDoesNotBelieveTornReads(t *testing.T) {
	db := newDB(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n)", "INSERT INTO t VALUES (1, 10), (2, 0)")
	wrong, tries := errors.New("the sum is wrong"), 0
	err := sqldriver.Retry(t.Context(), db, nil, func(tx *sql.Tx) error {
		tries++
		var a, b int
		if err := tx.QueryRow("SELECT n FROM t WHERE id = 1").Scan(&a); err != nil {
			return err
		}
		if tries == 1 {
			exec(t, db, "UPDATE t SET n = 10 - n")
		}
		if err := tx.QueryRow("SELECT n FROM t WHERE id = 2").Scan(&b); err != nil {
			return err
		}
		if a+b != 10 {
			return wrong
		}
		return nil
	})
	if err != nil || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	tries = 0
	err = sqldriver.Retry(t.Context(), db, nil, func(tx *sql.Tx) error {
		tries++
		for range 2 {
			if err := tx.QueryRow("SELECT n FROM t WHERE id = 1").Scan(new(int)); err != nil {
				return err
			}
		}
		return wrong
	})
	if err != wrong || tries != 1 {
		t.Errorf("after %d tries: %v", tries, err)
	}
}
