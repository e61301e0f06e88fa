package sqldb

import "testing"

// FTS5 checks itself against what it remembers of the table, and does not look whether others have written since.
func TestIntegrityCheckOfASoundTableIsOkHoweverOldTheConnection(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE VIRTUAL TABLE ft USING fts5(x)", "INSERT INTO ft VALUES ('one')")
	for _, check := range []string{
		"PRAGMA integrity_check", "PRAGMA quick_check", "SELECT * FROM pragma_integrity_check",
		"SELECT count(*) FROM ft; PRAGMA integrity_check",
	} {
		r.query("SELECT * FROM ft WHERE ft MATCH 'one'")
		expect(t, r.query(check), `"ok"`)
		r.must("INSERT INTO ft VALUES ('one two'), ('three')", "INSERT INTO ft (ft) VALUES ('optimize')", "INSERT INTO ft VALUES ('four')")
		expect(t, r.query(check), `"ok"`)
	}
}
