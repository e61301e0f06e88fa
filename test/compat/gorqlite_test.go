package compat

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rqlite/gorqlite"
)

// TestRqliteGoClient drives a cluster of three servers and a client agent with rqlite's own Go client.
func TestRqliteGoClient(t *testing.T) {
	t.Parallel()
	agents := startCluster(t)
	edge, err := agents[3].client()
	must(t, err)
	eventually(t, 2*deadline, "a leader that all know", func() bool {
		for _, a := range agents {
			if res, err := http.Get("http://" + a.http + "/readyz"); err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusOK {
				return false
			}
		}
		return leaderOf(agents, edge) != nil
	})

	conns := make([]*gorqlite.Connection, len(agents))
	for i, a := range agents {
		eventually(t, 2*deadline, "all servers are found through "+a.node, func() bool {
			conns[i], err = gorqlite.Open("http://" + a.http + "?timeout=60")
			must(t, err)
			peers, err := conns[i].Peers()
			must(t, err)
			return len(peers) == 3
		})
		leader, err := conns[i].Leader()
		if must(t, err); leader != leaderOf(agents, edge).http {
			t.Errorf("through %s the leader is %s", a.node, leader)
		}
		defer conns[i].Close()
	}
	t.Run("CRUD", func(t *testing.T) { gorqliteCRUD(t, conns) })
	t.Run("Parameters", func(t *testing.T) { gorqliteParameters(t, conns[3]) })
	t.Run("Transactions", func(t *testing.T) { gorqliteTransactions(t, conns[1]) })
	t.Run("Request", func(t *testing.T) { gorqliteRequest(t, conns[2]) })
	t.Run("EachAgentAlone", func(t *testing.T) { gorqliteAlone(t, agents) })
}

func ask(t *testing.T, c *gorqlite.Connection, sql string, args ...any) gorqlite.QueryResult {
	t.Helper()
	res, err := c.QueryOneParameterized(gorqlite.ParameterizedStatement{Query: sql, Arguments: args})
	must(t, err)
	return res
}

func tell(t *testing.T, c *gorqlite.Connection, sql string, args ...any) gorqlite.WriteResult {
	t.Helper()
	res, err := c.WriteOneParameterized(gorqlite.ParameterizedStatement{Query: sql, Arguments: args})
	must(t, err)
	return res
}

func count(t *testing.T, c *gorqlite.Connection, table string) (n int) {
	t.Helper()
	res := ask(t, c, "SELECT count(*) FROM "+table)
	if !res.Next() {
		t.Fatal("no row")
	}
	must(t, res.Scan(&n))
	return n
}

func gorqliteCRUD(t *testing.T, conns []*gorqlite.Connection) {
	tell(t, conns[0], "CREATE TABLE crew (id INTEGER NOT NULL PRIMARY KEY, name TEXT, born DATETIME, score REAL, well BOOLEAN)")
	for i, c := range conns {
		res := tell(t, c, "INSERT INTO crew (name, born, score, well) VALUES (?, '1980-02-29 12:30:00', ?, ?)", fmt.Sprint("name ", i), 1.5*float64(i), i%2 == 0)
		if res.LastInsertID != int64(i+1) || res.RowsAffected != 1 || res.Timing <= 0 {
			t.Errorf("insert %d: %+v", i, res)
		}
	}
	for _, level := range []string{"weak", "linearizable", "strong"} {
		l, err := gorqlite.ParseConsistencyLevel(level)
		must(t, err)
		for i, c := range conns {
			must(t, c.SetConsistencyLevel(l))
			res := ask(t, c, "SELECT id, name, born, score, well FROM crew ORDER BY id")
			if !slices.Equal(res.Columns(), []string{"id", "name", "born", "score", "well"}) || !slices.Equal(res.Types(), []string{"integer", "text", "datetime", "real", "boolean"}) || res.NumRows() != int64(len(conns)) {
				t.Fatalf("%s, connection %d: %v %v, %d rows", level, i, res.Columns(), res.Types(), res.NumRows())
			}
			for n := 0; res.Next(); n++ {
				var id int64
				var name string
				var born time.Time
				var score float64
				row, err := res.Slice() // Scan of this client does not take a bool from any server
				must(t, err)
				well := row[4]
				one := ask(t, c, "SELECT id, name, born, score FROM crew WHERE id = ?", n+1)
				one.Next()
				must(t, one.Scan(&id, &name, &born, &score))
				if id != int64(n+1) || name != fmt.Sprint("name ", n) || !born.Equal(time.Date(1980, 2, 29, 12, 30, 0, 0, time.UTC)) || score != 1.5*float64(n) || well != (n%2 == 0) {
					t.Errorf("row %d: %d %q %v %v %v", n, id, name, born, score, well)
				}
			}
		}
	}
	if res := tell(t, conns[2], "UPDATE crew SET name = 'x' WHERE id > ?", 1); res.RowsAffected != int64(len(conns)-1) {
		t.Errorf("update: %+v", res)
	}
	if res := tell(t, conns[3], "DELETE FROM crew WHERE name = 'x'"); res.RowsAffected != int64(len(conns)-1) {
		t.Errorf("delete: %+v", res)
	}
	for _, c := range conns {
		if n := count(t, c, "crew"); n != 1 {
			t.Errorf("%d rows are left", n)
		}
	}
	if _, err := conns[1].QueryOne("SELECT * FROM missing"); err == nil || !strings.Contains(err.Error(), "no such table: missing") {
		t.Error(err)
	}
	if _, err := conns[1].QueryOne("DELETE FROM crew"); err == nil || !strings.Contains(err.Error(), "a query cannot write") {
		t.Error(err)
	}
	if _, err := conns[1].WriteOne("BEGIN"); err == nil || !strings.Contains(err.Error(), "BEGIN is not allowed here") {
		t.Error(err)
	}
}

func gorqliteParameters(t *testing.T, c *gorqlite.Connection) {
	res := ask(t, c, "SELECT ?, ?, ?, ?, typeof(?)", "it's", 42, nil, 2.5, true)
	if !res.Next() {
		t.Fatal("no row")
	}
	var text, kind string
	var number int64
	var missing gorqlite.NullString
	var real float64
	if must(t, res.Scan(&text, &number, &missing, &real, &kind)); text != "it's" || number != 42 || missing.Valid || real != 2.5 || kind != "integer" {
		t.Errorf("%q %d %v %v %q", text, number, missing, real, kind)
	}
	_, err := c.QueryOneParameterized(gorqlite.ParameterizedStatement{Query: "SELECT ?, ?", Arguments: []any{1}})
	if err == nil || !strings.Contains(err.Error(), "not enough args to execute query: want 2 got 1") {
		t.Error(err)
	}
}

func gorqliteTransactions(t *testing.T, c *gorqlite.Connection) {
	tell(t, c, "CREATE TABLE pairs (a INTEGER PRIMARY KEY, b)")
	both := []gorqlite.ParameterizedStatement{
		{Query: "INSERT INTO pairs VALUES (?, ?)", Arguments: []any{1, "x"}}, {Query: "INSERT INTO pairs VALUES (1, 'again')"},
	}
	must(t, c.SetExecutionWithTransaction(true))
	res, err := c.WriteParameterized(both)
	if err == nil || len(res) != 2 || res[0].Err != nil || res[1].Err == nil || count(t, c, "pairs") != 0 {
		t.Errorf("all or nothing: %+v, %v", res, err)
	}
	must(t, c.SetExecutionWithTransaction(false))
	res, err = c.WriteParameterized(both)
	if err == nil || len(res) != 2 || res[1].Err == nil || count(t, c, "pairs") != 1 {
		t.Errorf("each for itself: %+v, %v", res, err)
	}
	seq, err := c.Queue([]string{"INSERT INTO pairs VALUES (2, 'y')"})
	if must(t, err); seq <= 0 || count(t, c, "pairs") != 2 {
		t.Errorf("queued: sequence number %d", seq)
	}
}

func gorqliteRequest(t *testing.T, c *gorqlite.Connection) {
	must(t, c.SetExecutionWithTransaction(false))
	res, err := c.Request([]string{"CREATE TABLE mixed (id INTEGER PRIMARY KEY, v)", "INSERT INTO mixed (v) VALUES ('a'), ('b')", "SELECT id, v FROM mixed", "SELECT v FROM missing"})
	if err == nil || len(res) != 4 || res[1].Write == nil || res[1].Write.RowsAffected != 2 || res[2].Query == nil || res[2].Query.NumRows() != 2 || res[3].Err == nil {
		t.Errorf("%+v, %v", res, err)
	}
	res, err = c.Request([]string{"SELECT v FROM mixed WHERE id = 2"})
	if must(t, err); len(res) != 1 || res[0].Query == nil || !res[0].Query.Next() {
		t.Fatalf("%+v", res)
	}
	if row, err := res[0].Query.Map(); err != nil || row["v"] != "b" {
		t.Errorf("%v, %v", row, err)
	}
}

// Every agent answers by itself: a client that knows only one needs no other.
func gorqliteAlone(t *testing.T, agents []*agent) {
	for i, a := range agents {
		c, err := gorqlite.Open("http://" + a.http + "?disableClusterDiscovery=true&level=linearizable&timeout=60")
		must(t, err)
		defer c.Close()
		if i == 0 {
			tell(t, c, "CREATE TABLE alone (n)")
		}
		tell(t, c, "INSERT INTO alone VALUES (1)")
		if n := count(t, c, "alone"); n != i+1 {
			t.Errorf("through %s: %d rows", a.node, n)
		}
		none, err := gorqlite.ParseConsistencyLevel("none")
		must(t, err)
		must(t, c.SetConsistencyLevel(none))
		eventually(t, deadline, "a stale read through "+a.node, func() bool { return count(t, c, "alone") == i+1 })
	}
}
