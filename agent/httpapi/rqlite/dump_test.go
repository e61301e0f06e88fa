package rqlite

import (
	"slices"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

func TestDumpIsSplitIntoItsStatements(t *testing.T) {
	const trigger = "CREATE TRIGGER tr AFTER INSERT ON t WHEN new.a > 1 BEGIN\n  UPDATE t SET b = CASE WHEN 1 THEN 'x;' ELSE 2 END; -- end;\n  DELETE FROM t;\nEND;"
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil}, {" ;; -- c\n/* ; */;", nil}, {"select 1", []string{"select 1"}},
		{"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(a, b);\nINSERT INTO t VALUES('a;''b',\"c;d\");\nCOMMIT;\n", []string{"CREATE TABLE t(a, b);", `INSERT INTO t VALUES('a;''b',"c;d");`}},
		{trigger + "select 2;", []string{trigger, "select 2;"}},
		{"create temp trigger x begin select 1; end /* c */ ; select 3", []string{"create temp trigger x begin select 1; end /* c */ ;", "select 3"}},
		{"create table trigger_log (x); create view [a;b] as select `;`;", []string{"create table trigger_log (x);", "create view [a;b] as select `;`;"}},
		{"-- head\nrollback; pragma writable_schema=on; END;", []string{"rollback;", "pragma writable_schema=on;"}},
		{"insert into t values ('open; ", []string{"insert into t values ('open; "}},
	} {
		statements, err := DecodeDump(c.text)
		var got []string
		for _, st := range statements {
			got = append(got, st.SQL)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
	if _, err := DecodeDump(strings.Repeat("x;", 100_001)); structs.KindOf(err) != structs.KindTooLarge {
		t.Error(err)
	}
}

// No byte that means something is lost.
func FuzzDump(f *testing.F) {
	for _, seed := range []string{"select 1; select 2", "create trigger a begin select ';'; end; x", "/* open", "'", "[;];", "begin;commit;end;pragma foreign_keys=1;", "--\n;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		statements, err := DecodeDump(text)
		if err != nil {
			return
		}
		rest := text
		for _, st := range statements {
			i := strings.Index(rest, st.SQL)
			if st.SQL == "" || i < 0 {
				t.Fatalf("%q is no part of %q", st.SQL, rest)
			}
			rest = rest[i+len(st.SQL):]
		}
	})
}
