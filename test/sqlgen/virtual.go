package sqlgen

import "fmt"

// Virtual tables keep state of their own behind SQLite's back: what they hold in memory, and settings in their shadow tables.

func (g *Generator) createVirtual() string {
	switch g.rnd.IntN(4) {
	case 0:
		return "CREATE VIRTUAL TABLE IF NOT EXISTS rt USING " + oneOf(g, "rtree(id, x0, x1, +extra)", "rtree_i32(id, x0, x1)", "rtree(id, x0, x1, y0, y1)")
	case 1:
		return oneOf(g, "CREATE VIRTUAL TABLE IF NOT EXISTS fv USING fts5vocab('ft', '"+oneOf(g, "row", "col", "instance")+"')", "CREATE VIRTUAL TABLE IF NOT EXISTS gp USING geopoly(name)")
	}
	// Not with contentless_delete: rows without a word are counted in memory until the next one with words comes, so a replica that
	// was started in between writes down another number.
	return "CREATE VIRTUAL TABLE " + oneOf(g, "", "IF NOT EXISTS ") + "ft USING fts5(c" +
		oneOf(g, "", "", ", d UNINDEXED", ", d") +
		oneOf(g, "", ", tokenize = 'porter'", ", tokenize = 'trigram'", ", tokenize = 'unicode61 remove_diacritics 2'", ", tokenize = 'ascii'") +
		oneOf(g, "", "", ", prefix = '2 3'") +
		oneOf(g, "", "", ", columnsize = 0") +
		oneOf(g, "", "", ", detail = none", ", detail = column") +
		oneOf(g, "", "", "", ", content = ''", ", content = 't0', content_rowid = 'a'", ", content = 't1'") + ")"
}

func (g *Generator) virtualChange() string {
	n := fmt.Sprint(g.rnd.IntN(40))
	switch g.rnd.IntN(12) {
	case 0, 1:
		return "INSERT INTO ft (ft, rank) VALUES (" + oneOf(g, "'automerge', "+oneOf(g, "0", "2", "16"), "'crisismerge', "+oneOf(g, "2", "5", "1999"), "'usermerge', "+oneOf(g, "2", "16"),
			"'pgsz', "+oneOf(g, "32", "100", "4000"), "'hashsize', "+oneOf(g, "64", "500", "100000"), "'secure-delete', "+oneOf(g, "0", "1"), "'deletemerge', "+oneOf(g, "0", "10", "90"),
			"'merge', "+oneOf(g, "1", "-8", "500"), "'rank', 'bm25(10.0, 5.0)'", "'rank', 'nosuch()'") + ")"
	case 2:
		return "INSERT INTO ft (ft) VALUES ('" + oneOf(g, "optimize", "rebuild", "flush", "integrity-check", "delete-all", "nosuch") + "')"
	case 3, 4:
		return g.rows() + "INSERT " + oneOf(g, "", "OR REPLACE ", "OR IGNORE ") + "INTO ft (rowid, c) SELECT i + " + n + ", 'word' || (random() % 50) || ' ' || hex(randomblob(i)) || ' tail' FROM n"
	case 5:
		return oneOf(g, "INSERT INTO ft (ft, rowid, c) VALUES ('delete', "+n+", 'word1 tail')", "INSERT INTO ft (rowid, c) VALUES (-"+n+", NULL)", "INSERT INTO ft (c) VALUES (zeroblob(40)), (x'ff00fe'), (1.5)")
	case 6:
		return "DELETE FROM ft WHERE " + oneOf(g, "ft MATCH 'word1*'", "rowid % 3 = 1", "rowid > "+n, "ft MATCH '\"tail\"'", "1")
	case 7:
		return "UPDATE ft SET " + oneOf(g, "c = c || ' again'", "rowid = rowid + 1000", "c = NULL") + " WHERE " + oneOf(g, "rowid % 4 = 0", "rowid = "+n, "ft MATCH 'tail'")
	case 8:
		return "SELECT " + oneOf(g, "count(*)", "rowid, rank", "bm25(ft)", "highlight(ft, 0, '<', '>')", "snippet(ft, 0, '', '', '', 3)", "*") + " FROM ft WHERE ft MATCH '" + oneOf(g, "word*", "tail", "NEAR(word1 tail)", "c : word2", "^word3", "wor OR ail") + "' LIMIT 5"
	case 9:
		return oneOf(g, "SELECT * FROM fv LIMIT 5", "DROP TABLE IF EXISTS ft", "DROP TABLE IF EXISTS fv", "ALTER TABLE ft RENAME TO fu", "ALTER TABLE fu RENAME TO ft", "DROP TABLE IF EXISTS fu")
	case 10:
		return oneOf(g, g.rows()+"INSERT OR REPLACE INTO rt (id, x0, x1) SELECT i, i, i + abs(random() % 9) FROM n", "UPDATE rt SET id = id + 7 WHERE id % 3 = 0", "DELETE FROM rt WHERE x1 < "+n, "DROP TABLE IF EXISTS rt", "SELECT count(*), max(x1) FROM rt WHERE x0 > "+n)
	}
	return oneOf(g, "INSERT INTO gp (_shape, name) VALUES (geopoly_regular("+n+", 3, 2 + "+n+", 5), 'p"+n+"')", "DELETE FROM gp WHERE geopoly_overlap(_shape, geopoly_regular(10, 3, 9, 4))", "SELECT name, geopoly_area(_shape) FROM gp LIMIT 4")
}
