package api_test

import (
	"errors"
	"testing"

	"github.com/debros/debros/api"
	"github.com/debros/debros/structs"
)

// edges gives every kind of value at its edges, over more than one row.
const edges = `SELECT NULL, 0, -1, 9223372036854775807, -9223372036854775808, 0.0, -0.0, 0.1, 9e999, -9e999, 5e-324, '', 'é' || char(0), CAST(x'ff' AS TEXT), x'', x'00ff'
	UNION ALL SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16`

func digest(t *testing.T, db *api.SQL, st api.SQLStatement) []byte {
	t.Helper()
	rows, err := db.Query(t.Context(), st, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := api.NewSQLDigest()
	for row, err := range rows.All() {
		if err != nil {
			t.Fatal(err)
		}
		d.Add(row)
	}
	return d.Sum()
}

// TestDigestOfARowIsTheServers: what a client sums up is what the servers find when they apply the guard.
func TestDigestOfARowIsTheServers(t *testing.T) {
	db := newSQL(t)
	if _, err := db.Exec(t.Context(), "CREATE TABLE t (a)"); err != nil {
		t.Fatal(err)
	}
	for _, st := range []api.SQLStatement{api.Stmt(edges), api.Stmt("SELECT a FROM t"), api.Stmt("SELECT ?", "x")} {
		insert := &api.SQLRequest{
			Guards:     []api.SQLGuard{{SQLStatement: st, Digest: digest(t, db, st)}},
			Statements: []api.SQLStatement{api.Stmt("INSERT INTO t VALUES (1)")},
		}
		if _, err := db.Execute(t.Context(), insert, nil); err != nil {
			t.Errorf("%s: %v", st.SQL, err)
		}
		insert.Guards[0].Digest[7] ^= 1
		if _, err := db.Execute(t.Context(), insert, nil); !errors.Is(err, api.ErrConflict) {
			t.Errorf("%s: another digest: %v", st.SQL, err)
		}
	}
}

func TestDigestOfNoRowIsTheServers(t *testing.T) {
	if got, want := api.NewSQLDigest().Sum(), structs.NewSQLDigest().Sum(); string(got) != string(want) {
		t.Errorf("%x, not %x", got, want)
	}
}
