package sqldb

import (
	"fmt"
	"strings"
	"testing"
)

// Every limit of SQLite that a statement meets is named with its number and what to do, in writes as in queries.
func TestLimitsOfSQLiteAreTold(t *testing.T) {
	r := newReplica(t, Options{})
	var triggers strings.Builder
	for i := range triggersMax + 1 {
		fmt.Fprintf(&triggers, "CREATE TABLE t%d (a); CREATE TRIGGER r%[1]d AFTER INSERT ON t%[1]d BEGIN INSERT INTO t%[2]d VALUES (1); END;", i, i+1)
	}
	fmt.Fprintf(&triggers, "CREATE TABLE t%d (a)", triggersMax+1)
	r.must(triggers.String())
	list := func(n int, of string) string { return strings.TrimSuffix(strings.Repeat(of+",", n), ",") }
	var columns strings.Builder
	for i := range columnsMax + 1 {
		fmt.Fprintf(&columns, ",c%d", i)
	}
	for _, c := range []struct {
		sql, message string
		number       int
	}{
		{"SELECT 1" + strings.Repeat("+1", 2*depthMax), "Expression tree is too large", depthMax},
		{"SELECT ?32767", "variable number must be between", paramsMax},
		{"SELECT " + list(paramsMax+1, "?"), "too many SQL variables", paramsMax},
		{"SELECT " + list(columnsMax+1, "1"), "too many columns in result set", columnsMax},
		{"CREATE TABLE w (" + columns.String()[1:] + ")", "too many columns on w", columnsMax},
		{"SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", compoundMax), "too many terms in compound SELECT", compoundMax},
		{"SELECT 1 ORDER BY " + list(columnsMax+1, "random()"), "too many terms in ORDER BY", columnsMax},
		{"SELECT max(" + list(functionArgsMax+1, "1") + ")", "too many arguments on function", functionArgsMax},
		{"INSERT INTO t0 VALUES (1)", "triggers nested too deep", triggersMax},
		{"SELECT 'a' LIKE '" + strings.Repeat("a", likeBytesMax+1) + "'", "LIKE or GLOB pattern too complex", likeBytesMax},
	} {
		r.index++
		tx, err := r.db.Begin(stampOf(r.index))
		if err != nil {
			t.Fatal(err)
		}
		rep, refusal, err := tx.Execute(request(c.sql))
		if err != nil {
			t.Fatal(err)
		}
		if refusal == nil && len(rep.Results) > 0 {
			refusal = rep.Results[0].Err
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if refusal == nil || !strings.HasPrefix(refusal.Message, c.message) || !strings.Contains(refusal.Message+refusal.Hint, fmt.Sprint(c.number)) || refusal.Hint == "" {
			t.Errorf("%.60s: %+v, want %q with %d and a hint", c.sql, refusal, c.message, c.number)
		}
	}
}
