package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/debros/debros/structs"
)

func TestSQLImportRunsTextHoweverLong(t *testing.T) {
	s := start(t, Config{Limits: Limits{SQLBytesMax: 700_000}})
	var text strings.Builder
	text.WriteString("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t (a, b);\n")
	for i := range 2000 {
		fmt.Fprintf(&text, "INSERT INTO t VALUES (%d, '%s;');\n", i, strings.Repeat("x", 500))
	}
	text.WriteString("CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;\nPRAGMA user_version=4;\nCOMMIT;")
	r := s.want(200, `"statements":2003,"skipped":3,"transactions":5,"index":`, "POST", "/v1/sql/import", text.String(), "Content-Type", "text/plain")
	if r.header.Get("X-Debros-Index") == "" {
		t.Error(r.header)
	}
	s.want(200, "[2000,1000000,4]", "GET", "/v1/sql/query?q=select+count(*),+sum(length(b))-2000,+user_version+from+t,+pragma_user_version", "")
	s.want(400, `line 3: near \"selec\": syntax error (0 statements were imported before)`, "POST", "/v1/sql/import", "delete from t;\n\nselec 1;")
	s.want(200, "[2000]", "GET", "/v1/sql/query?q=select+count(*)+from+t", "")
	s.want(400, "ROLLBACK", "POST", "/v1/sql/import", "begin; rollback;")
	s.want(404, "does not exist", "POST", "/v1/sql/import?db=none", "select 1")
	s.want(200, `"statements":0`, "POST", "/v1/sql/import", "")
}

func TestSQLSchemaDescribesTables(t *testing.T) {
	s := start(t, Config{})
	s.want(200, `{"database":"default","schema_version":2,"tables":[],"index":`, "GET", "/v1/sql/schema", "")
	s.want(200, "", "POST", "/v1/sql/import", `create table p (id integer primary key, n varchar(10) not null default 'x' unique, g as (id + 1));
		create table c (p references p (id) on delete cascade); create index ci on c (p); create view v as select n from p;
		create virtual table f using fts5(body); create trigger tr after insert on p begin select 1; end;`)
	body := s.want(200, "", "GET", "/v1/sql/schema", "").body
	for _, want := range []string{
		`{"name":"p","kind":"table","sql":"CREATE TABLE p (`, `{"name":"n","type":"varchar(10)","not_null":true,"default":"'x'","primary_key":0,"generated":false}`,
		`{"name":"g","type":"","not_null":false,"default":null,"primary_key":0,"generated":true}`, `{"name":"sqlite_autoindex_p_1","unique":true,"columns":["n"]}`,
		`"triggers":[{"name":"tr","sql":"CREATE TRIGGER tr`, `"foreign_keys":[{"from":"p","table":"p","to":"id","on_update":"NO ACTION","on_delete":"CASCADE","id":0}]`,
		`"indexes":[{"name":"ci","unique":false,"columns":["p"],"sql":"CREATE INDEX ci on c (p)"}]`, `{"name":"v","kind":"view"`, `{"name":"f","kind":"virtual"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if strings.Contains(body, "f_data") || strings.Contains(body, "_debros_") {
		t.Error(body)
	}
	s.want(404, "does not exist", "GET", "/v1/sql/schema?db=none", "")
	s.want(400, "neither blocks", "GET", "/v1/sql/schema?index=1", "")
}

func TestSQLMigrateDoesEachMigrationOnce(t *testing.T) {
	s := start(t, Config{})
	const one, two = `{"name":"001","sql":"create table t (a); insert into t values (1)"}`, `{"name":"002","sql":"begin; alter table t add column b; update t set b = a; commit;"}`
	s.want(200, `"migrations":[{"name":"001","done":false}],"applied":["001"],"dry_run":true`, "POST", "/v1/sql/migrate", `{"migrations":[`+one+`],"dry_run":true}`)
	s.want(200, `"applied":["001"],"index":`, "POST", "/v1/sql/migrate", `{"migrations":[`+one+`]}`)
	s.want(200, `"migrations":[{"name":"001","done":true},{"name":"002","done":false}],"applied":["002"]`, "POST", "/v1/sql/migrate", `{"migrations":[`+one+`,`+two+`]}`)
	s.want(200, `"applied":[]`, "POST", "/v1/sql/migrate", `{"migrations":[`+one+`,`+two+`]}`)
	s.want(200, "[1,1]", "GET", "/v1/sql/query?q=select+*+from+t", "")
	s.want(409, "not what it was", "POST", "/v1/sql/migrate", `{"migrations":[{"name":"001","sql":"create table u (a)"},`+two+`]}`)
	s.want(409, "002 was done and is not among", "POST", "/v1/sql/migrate", `{"migrations":[`+one+`]}`)
	s.want(409, "later name", "POST", "/v1/sql/migrate", `{"migrations":[`+one+`,{"name":"001a","sql":"select 1"},`+two+`]}`)
	s.want(400, "migration 003: line 2: near", "POST", "/v1/sql/migrate", `{"migrations":[`+one+`,`+two+`,{"name":"003","sql":"delete from t;\nselec"}]}`)
	s.want(200, "[1,1]", "GET", "/v1/sql/query?q=select+*+from+t", "")
	for _, bad := range []string{``, `{}`, `{"migrations":[{"sql":"select 1"}]}`, `{"migrations":[` + two + `,` + one + `]}`, `[`, `{"migrations":[null]}`, `{"migrations":[` + one + `]}}`,
		`{"migrations":[` + one + `],"dryrun":true}`, `{"migrations":[{"name":"001","sqll":"select 1"}]}`, "{\"migrations\":[{\"name\":\"009\",\"sql\":\"select '\xff'\"}]}",
		strings.Repeat("[", 1<<20), `{"migrations":` + strings.Repeat("[", 1<<20)} {
		s.want(400, "", "POST", "/v1/sql/migrate", bad)
	}

	s.want(200, "", "POST", "/v1/sql/databases", `{"name":"race"}`)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s.want(200, "", "POST", "/v1/sql/migrate?db=race", `{"migrations":[{"name":"1","sql":"create table t (a)"},{"name":"2","sql":"insert into t values (1)"},{"name":"3","sql":"insert into t values (2)"}]}`)
		})
	}
	all.Wait()
	s.want(200, "[2]", "GET", "/v1/sql/query?db=race&q=select+count(*)+from+t", "")
}

// FuzzMigrateBody: what is taken has names in their order, and means the same when it is written out and read again.
func FuzzMigrateBody(f *testing.F) {
	for _, seed := range []string{
		`{"migrations":[{"name":"001","sql":"create table t (a)"},{"name":"002","sql":"insert into t values ('é')"}],"dry_run":true}`,
		`{"migrations":[{"name":"001","done":true}]}`, `{"migrations":[null]}`, `{"migrations":[]}{}`, `[`, "{\"migrations\":[{\"name\":\"\xff\"}]}", `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := decodeMigrations(body)
		if err != nil {
			if structs.KindOf(err) != structs.KindInvalid {
				t.Fatal(err)
			}
			return
		}
		m := &migrator{all: in.Migrations}
		if m.check() != nil {
			return
		}
		out, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeMigrations(out)
		if err != nil || len(again.Migrations) != len(in.Migrations) || again.DryRun != in.DryRun {
			t.Fatalf("%s: %v", out, err)
		}
		for i, one := range in.Migrations {
			if two := again.Migrations[i]; two.Name != one.Name || two.SQL != one.SQL || i > 0 && one.Name <= in.Migrations[i-1].Name {
				t.Fatalf("%+v and %+v", one, two)
			}
		}
	})
}
