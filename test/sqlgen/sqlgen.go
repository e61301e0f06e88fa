// Package sqlgen draws random SQL for tests that compare replicas.
//
// Contract: a seed gives the same requests everywhere. The tables t0 to t3, log, ft, fv, rt and gp, the views v0 and v1, and their
// columns are few, so that statements meet each other. Many fail, which must be the same on every replica too.
package sqlgen

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Generator draws the requests of one seed.
type Generator struct {
	rnd     *rand.Rand
	names   int  // given out so far
	virtual bool // most statements are about virtual tables
}

// New starts from a seed.
func New(seed uint64) *Generator { return &Generator{rnd: rand.New(rand.NewPCG(seed, 1))} }

// NewVirtual is New with requests that are about virtual tables for the most part.
func NewVirtual(seed uint64) *Generator {
	g := New(seed)
	g.virtual = true
	return g
}

// Statement is one of a request.
type Statement struct {
	SQL  string
	Args []any // int64, []byte or string
}

// Request is one client's.
type Request struct {
	ID          string
	Transaction bool
	Statements  []Statement
}

// Setup makes what the requests expect.
var Setup = []string{
	"CREATE TABLE log (at, r, n, t)",
	"CREATE TABLE t0 (a INTEGER PRIMARY KEY, b, c, d)",
	"CREATE TABLE t1 (a, b, c, d DEFAULT (random()))",
}

func oneOf(g *Generator, vs ...string) string { return vs[g.rnd.IntN(len(vs))] }

func (g *Generator) table() string  { return fmt.Sprintf("t%d", g.rnd.IntN(4)) }
func (g *Generator) column() string { return oneOf(g, "a", "b", "c", "d") }

// value is an expression.
func (g *Generator) value() string {
	return oneOf(g, "NULL", "random()", "random() % 20", "abs(random()) % 50", "randomblob(6)", "julianday()", "strftime('%f')", "datetime('now', 'localtime')",
		"CURRENT_TIMESTAMP", "last_insert_rowid()", "changes()", "total_changes()", "'text' || random()", "1.5", "x'00ff'", "''", "-9223372036854775808", "9223372036854775807",
		"1e308 * 10", "round(random() / 7.0, 3)", "printf('%.15g', random() / 3.0)", "zeroblob(3000)", "hex(randomblob(800))", "(SELECT count(*) FROM "+g.table()+")",
		"(SELECT max(a) FROM "+g.table()+")", "json_object('k', random() % 9, 'l', json_array(1, 'x'))", fmt.Sprint(g.rnd.IntN(60)), "'"+strings.Repeat("x", g.rnd.IntN(20))+"'")
}

func (g *Generator) condition() string {
	return oneOf(g, "a > b", "a IS NULL", "b < 10", "a % 3 = "+fmt.Sprint(g.rnd.IntN(3)), "typeof(c) = 'text'", "c LIKE '%1%'", "d IS NOT NULL", "random() % 3 = 0",
		"a IN (SELECT b FROM "+g.table()+")", "a = (SELECT max(a) FROM "+g.table()+")", "length(c) > 12", "a BETWEEN 5 AND 25")
}

func (g *Generator) rows() string {
	return fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) ", 1+g.rnd.IntN(60))
}

func (g *Generator) createTable() string {
	t := oneOf(g, "", "", "IF NOT EXISTS ") + g.table()
	switch g.rnd.IntN(7) {
	case 0:
		return "CREATE TABLE " + t + " (a INTEGER PRIMARY KEY, b DEFAULT (random()), c DEFAULT CURRENT_TIMESTAMP, d)"
	case 1:
		return "CREATE TABLE " + t + " (a INTEGER PRIMARY KEY AUTOINCREMENT, b INT UNIQUE, c TEXT COLLATE NOCASE, d DEFAULT (strftime('%f', 'now')))"
	case 2:
		return "CREATE TABLE " + t + " (a, b, c, d DEFAULT (hex(randomblob(4))), PRIMARY KEY (a, b)) WITHOUT ROWID"
	case 3:
		return "CREATE TABLE " + t + " (a INT, b REAL, c TEXT, d ANY) STRICT"
	case 4:
		return "CREATE TABLE " + t + " (a, b CHECK (b IS NULL OR b <> 7), c NOT NULL ON CONFLICT IGNORE DEFAULT 'none', d AS (a || '-' || b) STORED)"
	case 5:
		return "CREATE TABLE " + t + " (a, b, c, d AS (json_array(a, b)) VIRTUAL, UNIQUE (a, b) ON CONFLICT REPLACE)"
	}
	return "CREATE TABLE " + t + " AS SELECT a, b, c, random() AS d FROM " + g.table() + " WHERE " + g.condition()
}

func (g *Generator) schemaChange() string {
	t := g.table()
	switch g.rnd.IntN(16) {
	case 0, 1, 2, 3:
		return g.createTable()
	case 4:
		return fmt.Sprintf("CREATE %sINDEX i%d ON %s (%s)%s", oneOf(g, "", "", "UNIQUE "), g.rnd.IntN(8), t,
			oneOf(g, "a", "b, a", "c COLLATE NOCASE", "a DESC, d", "length(c)", "abs(b)"), oneOf(g, "", "", " WHERE a > 5"))
	case 5:
		return fmt.Sprintf("DROP INDEX i%d", g.rnd.IntN(8))
	case 6:
		return fmt.Sprintf("CREATE TRIGGER IF NOT EXISTS tr%d AFTER %s ON %s BEGIN INSERT INTO log VALUES (strftime('%%Y-%%m-%%d %%H:%%M:%%f'), random(), changes(), '%s'); END",
			g.rnd.IntN(4), oneOf(g, "INSERT", "UPDATE", "DELETE", "UPDATE OF a"), t, t)
	case 7:
		return fmt.Sprintf("CREATE TRIGGER tr%d BEFORE INSERT ON %s WHEN new.a > 40 BEGIN %s; END", g.rnd.IntN(4), t,
			oneOf(g, "SELECT RAISE(IGNORE)", "SELECT RAISE(ABORT, 'over 40')", "SELECT RAISE(FAIL, 'over 40')", "DELETE FROM "+g.table()+" WHERE a = new.a"))
	case 8:
		return fmt.Sprintf("DROP TRIGGER IF EXISTS tr%d", g.rnd.IntN(4))
	case 9:
		return fmt.Sprintf("CREATE VIEW IF NOT EXISTS v%d AS SELECT a, b, random() AS r FROM %s WHERE %s", g.rnd.IntN(2), t, g.condition())
	case 10:
		g.names++
		return fmt.Sprintf("ALTER TABLE %s ADD COLUMN x%d DEFAULT %s", t, g.names, oneOf(g, "5", "'y'", "NULL", "(random())", "CURRENT_TIMESTAMP"))
	case 11:
		return "ALTER TABLE " + t + " " + oneOf(g, "RENAME TO "+g.table(), "RENAME COLUMN d TO e", "RENAME COLUMN e TO d", "DROP COLUMN d", "ADD COLUMN d", "ADD COLUMN b NOT NULL DEFAULT 1 CHECK (b > 0)")
	case 12:
		return oneOf(g, "DROP TABLE "+t, "DROP TABLE IF EXISTS "+t, "DROP VIEW v0", "DROP TABLE ft", "DROP TABLE rt")
	case 13:
		return oneOf(g, "CREATE VIRTUAL TABLE ft USING fts5(c, tokenize = 'porter')", "CREATE VIRTUAL TABLE IF NOT EXISTS ft USING fts5(c, prefix = '2 3')", "CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1, +extra)")
	case 14:
		return oneOf(g, "ANALYZE", "ANALYZE "+t, "REINDEX", "REINDEX "+t, "PRAGMA user_version = "+fmt.Sprint(g.rnd.IntN(99)))
	}
	return g.createTable() + "; CREATE INDEX IF NOT EXISTS i9 ON " + t + " (b); INSERT INTO " + t + " (a, b) VALUES (1, random())"
}

func (g *Generator) rowChange() string {
	t := g.table()
	switch g.rnd.IntN(16) {
	case 0, 1, 2:
		return fmt.Sprintf("INSERT %sINTO %s (a, b, c) VALUES (%s, %s, %s), (%s, %s, %s)", oneOf(g, "", "", "OR REPLACE ", "OR IGNORE ", "OR FAIL ", "OR ABORT "), t,
			g.value(), g.value(), g.value(), g.value(), g.value(), g.value())
	case 3, 4:
		return g.rows() + fmt.Sprintf("INSERT %sINTO %s (a, b, c) SELECT i + %d, %s, %s FROM n", oneOf(g, "", "OR REPLACE ", "OR IGNORE ", "OR FAIL "), t, g.rnd.IntN(100), g.value(), g.value())
	case 5:
		return fmt.Sprintf("INSERT INTO %s (a, b, c) VALUES (%d, %s, 'u') ON CONFLICT DO UPDATE SET b = excluded.b, c = random() RETURNING a, b", t, g.rnd.IntN(20), g.value())
	case 6, 7:
		return fmt.Sprintf("UPDATE %s%s SET %s = %s WHERE %s", oneOf(g, "", "OR IGNORE ", "OR REPLACE ", "OR FAIL "), t, g.column(), g.value(), g.condition())
	case 8:
		return fmt.Sprintf("UPDATE %s SET (b, c) = (SELECT a, c FROM %s ORDER BY random() LIMIT 1) WHERE %s RETURNING *", t, g.table(), g.condition())
	case 9:
		return fmt.Sprintf("DELETE FROM %s WHERE %s", t, g.condition())
	case 10:
		return fmt.Sprintf("DELETE FROM %s WHERE rowid IN (SELECT rowid FROM %s ORDER BY random() LIMIT %d)", t, t, g.rnd.IntN(30))
	case 11:
		return oneOf(g, "DELETE FROM log", "DELETE FROM "+t, "INSERT INTO log SELECT a, b, c, d FROM "+t, "UPDATE log SET n = random()", "UPDATE sqlite_sequence SET seq = seq + 3", "DELETE FROM sqlite_sequence")
	case 12:
		return oneOf(g, "INSERT INTO ft (rowid, c) SELECT rowid, c FROM "+t, "INSERT INTO ft (c) VALUES ('word' || random() || ' more words 1')", "DELETE FROM ft WHERE ft MATCH 'word*'",
			"INSERT INTO ft (ft) VALUES ('optimize')", "INSERT INTO ft (ft, rank) VALUES ('merge', 8)", "UPDATE ft SET c = c || ' again' WHERE rowid % 2", "INSERT INTO ft (ft) VALUES ('rebuild')")
	case 13:
		return oneOf(g, g.rows()+"INSERT OR REPLACE INTO rt SELECT i, i, i + abs(random() % 9), 'e' || i FROM n", "DELETE FROM rt WHERE x0 > "+fmt.Sprint(g.rnd.IntN(50)), "UPDATE rt SET x1 = x1 + 1 WHERE id % 2")
	case 14:
		return "SELECT " + g.value() + ", * FROM " + oneOf(g, t, "v0", "v1", "ft WHERE ft MATCH 'word*'") + " LIMIT 3"
	}
	return fmt.Sprintf("INSERT INTO %s (a, b) VALUES (1, 2); UPDATE %s SET c = %s; SELECT changes(); INSERT INTO nosuch VALUES (1)", t, g.table(), g.value())
}

func (g *Generator) statement() string {
	if g.virtual && g.rnd.IntN(5) > 0 {
		if g.rnd.IntN(6) == 0 {
			return g.createVirtual()
		}
		return g.virtualChange()
	}
	if g.rnd.IntN(4) == 0 {
		return g.schemaChange()
	}
	return g.rowChange()
}

// IntN is a number below n, for what a test chooses besides.
func (g *Generator) IntN(n int) int { return g.rnd.IntN(n) }

// Request draws the next one.
func (g *Generator) Request() Request {
	r := Request{ID: fmt.Sprintf("%016x", g.rnd.Uint64()), Transaction: g.rnd.IntN(3) == 0}
	for range 1 + g.rnd.IntN(5) {
		r.Statements = append(r.Statements, Statement{SQL: g.statement()})
	}
	if g.rnd.IntN(4) == 0 {
		r.Statements = append(r.Statements, Statement{SQL: "INSERT INTO " + g.table() + " (a, b, c) VALUES (?, ?, strftime(?))",
			Args: []any{int64(g.rnd.IntN(90)), []byte{0, 1, 2, 0xff}, "now"}})
	}
	return r
}
