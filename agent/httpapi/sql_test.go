package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// sql runs statements and wants the results, which are compared without blanks.
func (s *harness) sql(want, body string) reply {
	s.t.Helper()
	r := s.want(200, "", "POST", "/v1/sql/execute", body)
	got, _, _ := strings.Cut(r.body, `,"index":`)
	if got != `{"results":`+want {
		s.t.Errorf("%s: %s, want %s", body, r.body, want)
	}
	return r
}

// rows reads by one statement and wants columns, types and rows as NDJSON has them.
func (s *harness) rows(want ...string) {
	s.t.Helper()
	body := want[0]
	r := s.want(200, "", "POST", "/v1/sql/query", body)
	lines := strings.Split(strings.TrimSuffix(r.body, "\n"), "\n")
	if got := lines[:len(lines)-1]; strings.Join(got, "\n") != strings.Join(want[1:], "\n") || !strings.HasPrefix(lines[len(lines)-1], `{"rows":`) {
		s.t.Errorf("%s:\n%s\nwant\n%s", body, r.body, strings.Join(want[1:], "\n"))
	}
}

func TestSQLExecuteAndQuery(t *testing.T) {
	s := start(t, Config{})
	r := s.sql(`[{},{"rows_affected":2,"last_insert_id":2},{"rows_affected":1,"last_insert_id":3,"columns":["id","name"],"types":["integer","text"],"rows":[[3,"z"]]}]`,
		`{"statements":["create table t (id INTEGER PRIMARY KEY, name TEXT)",{"sql":"insert into t (name) values (?),(?)","args":["x",null]},
			{"sql":"insert into t (name) values (:n) returning *","args":{"n":"z"}}]}`)
	index := r.header.Get("X-Debros-Index")
	if index == "" || !strings.HasSuffix(r.body, `,"index":`+index+`}`) || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", r.header, r.body)
	}
	s.rows(`{"sql":"select id, name, id*1.0 as r from t where id <> ? order by id","args":[3]}`,
		`{"columns":["id","name","r"],"types":["integer","text",""]}`, `[1,"x",1.0]`, `[2,null,2.0]`)

	r = s.want(200, `"rows":3,"index":`+index, "POST", "/v1/sql/query?min_index="+index, `{"sql":"select * from t"}`)
	if r.header.Get("Content-Type") != "application/x-ndjson" || r.header.Get("X-Consul-Index") != index || r.header.Get("X-Consul-KnownLeader") != "true" {
		t.Errorf("%v", r.header)
	}
	for _, req := range [][]string{{"?format=json"}, {"", "Accept", "text/html, application/json;q=0.9"}} {
		r = s.want(200, "", "POST", "/v1/sql/query"+req[0], `{"sql":"select id, name from t limit 2"}`, req[1:]...)
		var got struct {
			Rows  [][]any
			Index uint64
			MS    *float64 `json:"elapsed_ms"`
		}
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || len(got.Rows) != 2 || got.Index == 0 || got.MS == nil || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", r.body, err)
		}
		if !strings.HasPrefix(r.body, `{"columns":["id","name"],"types":["integer","text"],"rows":[[1,"x"],[2,null]],"index":`) {
			t.Error(r.body)
		}
	}
	s.want(200, `"rows":[],"index"`, "GET", "/v1/sql/query?format=json&stale&q="+"select%201%20where%200", "")
	s.want(200, "\n[3]\n", "GET", "/v1/sql/query?leader&q=select+count(*)+from+t", "")
}

func TestSQLReplyIsIndentedWherePrettyIsAskedFor(t *testing.T) {
	s := start(t, Config{})
	for _, r := range []reply{
		s.want(200, "", "POST", "/v1/sql/query?format=json&pretty", `{"sql":"select 1 as \"a\\b\", '[{\"' as b union all select 2, '' limit 9"}`),
		s.want(200, "", "GET", "/v1/sql/query?format=json&pretty&q=select+1+where+0", ""),
		s.want(200, "", "POST", "/v1/sql/execute?pretty", `{"statements":["create table t (x)","insert into t values (1) returning x, 'a'"]}`),
		s.want(200, "", "POST", "/db/query?pretty&associative", `["select 1 as a, '[' as b"]`),
	} {
		var want bytes.Buffer
		if err := json.Indent(&want, []byte(r.body), "", "    "); err != nil || r.body != want.String() || !strings.Contains(r.body, "\n    ") {
			t.Errorf("%s\nwant\n%s, %v", r.body, want.String(), err)
		}
	}
}

func TestSQLStatementsErrorsAreInTheirResults(t *testing.T) {
	s := start(t, Config{})
	s.sql(`[{}]`, `{"statements":["create table t (id integer primary key)"]}`)
	r := s.want(200, `[{"rows_affected":1,"last_insert_id":1},{"error":{"kind":"conflict","message":"UNIQUE constraint failed: t.id"}},{"rows_affected":1,"last_insert_id":2}]`,
		"POST", "/v1/sql/execute", `{"statements":["insert into t values (1)","insert into t values (1)","insert into t values (2)"]}`)
	if strings.Contains(r.body, "request_id") {
		t.Error(r.body)
	}
	s.want(200, `{"rows_affected":1,"last_insert_id":3},{"error"`, "POST", "/v1/sql/execute", `{"transaction":true,"statements":["insert into t values (3)","insert into t values (1)","insert into t values (4)"]}`)
	s.rows(`{"sql":"select id from t"}`, `{"columns":["id"],"types":["integer"]}`, `[1]`, `[2]`)
	s.want(200, `"hint":`, "POST", "/v1/sql/execute", `{"statements":["begin"]}`)
}

func TestSQLRequestIDMakesARepetitionHarmless(t *testing.T) {
	s := start(t, Config{})
	s.sql(`[{}]`, `{"statements":["create table t (id integer primary key)"]}`)
	body := `{"request_id":"one","statements":["insert into t default values"]}`
	first := s.sql(`[{"rows_affected":1,"last_insert_id":1}]`, body)
	again := s.sql(`[{"rows_affected":1,"last_insert_id":1}]`, body)
	if strings.Contains(first.body, "replayed") || !strings.Contains(again.body, `"replayed":true`) {
		t.Errorf("%s %s", first.body, again.body)
	}
	s.rows(`{"sql":"select count(*) as n from t"}`, `{"columns":["n"],"types":[""]}`, `[1]`)
}

func TestSQLGuardsMustHold(t *testing.T) {
	s := start(t, Config{})
	s.sql(`[{},{"rows_affected":1,"last_insert_id":1}]`, `{"statements":["create table t (n)","insert into t values (1)"]}`)
	with := func(guard string) string {
		return `{"guards":[` + guard + `],"statements":["update t set n = n + 1"]}`
	}
	s.sql(`[{"rows_affected":1}]`, with(`{"sql":"select n from t where n = ?","args":[1],"rows":1,"first":[1]}`))
	r := s.want(409, `"kind":"conflict"`, "POST", "/v1/sql/execute", with(`{"sql":"select n from t","first":[1]}`))
	if !strings.Contains(r.body, `"request_id":`) {
		t.Error(r.body)
	}
	s.rows(`{"sql":"select n from t"}`, `{"columns":["n"],"types":[""]}`, `[2]`)
}

func TestSQLRefusals(t *testing.T) {
	s := start(t, Config{})
	const q, x = "/v1/sql/query", "/v1/sql/execute"
	for _, c := range []struct {
		status                   int
		want, method, path, body string
	}{
		{400, "line 1, column 1: it ends where an object", "POST", x, ""},
		{400, "a list", "POST", x, `{"statements":{}}`},
		{400, "no statements", "POST", x, `{"statements":[]}`},
		{400, "too large for a REAL", "POST", x, `{"statements":[{"sql":"select ?","args":[9e999]}]}`},
		{400, "line 1, column 16", "POST", x, `{"statements":[` + strings.Repeat("[", 100_000)},
		{400, "UTF-8", "POST", x, "{\"statements\":[\"\xff\"]}"},
		{413, "4194304", "POST", x, `{"statements":["` + strings.Repeat("x", 4<<20) + `y"]}`},
		{413, "4194304", "POST", q, `{"sql":"` + strings.Repeat("x", 4<<20) + `y"}`},
		{413, "8650752", "POST", x, `{"statements":["` + strings.Repeat("x", 9<<20) + `"]}`},
		{413, "8650752", "POST", q, `{"sql":"` + strings.Repeat("x", 9<<20) + `"}`},
		{400, "the body names database", "POST", x + "?db=a", `{"database":"b","statements":["select 1"]}`},
		{400, "invalid database name", "POST", x + "?db=../x", `{"statements":["select 1"]}`},
		{404, "does not exist", "POST", x + "?db=none", `{"statements":["select 1"]}`},
		{404, "does not exist", "POST", q + "?db=none", `{"sql":"select 1"}`},
		{404, "namespace", "POST", q + "?ns=none", `{"sql":"select 1"}`},
		{400, "syntax error", "POST", q, `{"sql":"selec 1"}`},
		{400, "want 2 got 1", "POST", q, `{"sql":"select ?, ?","args":[1]}`},
		{403, "a query cannot write", "POST", q, `{"sql":"create table t (x)"}`},
		{403, "a query cannot write", "GET", q + "?q=drop+table+if+exists+t", ""},
		{403, "not allowed", "POST", q, `{"sql":"attach 'x' as y"}`},
		{400, "neither blocks nor pages", "POST", q + "?index=5", `{"sql":"select 1"}`},
		{400, "neither blocks nor pages", "POST", q + "?per_page=5", `{"sql":"select 1"}`},
		{400, "freshness", "POST", q + "?freshness=1s", `{"sql":"select 1"}`},
		{400, "freshness", "POST", q + "?stale&freshness=-1s", `{"sql":"select 1"}`},
		{503, "stale read", "POST", q + "?stale&freshness=1ms", `{"sql":"select 1"}`},
		{200, "", "POST", q + "?stale&freshness=1m", `{"sql":"select 1"}`},
		{400, "freshness_strict", "POST", q + "?stale&freshness_strict", `{"sql":"select 1"}`},
		{400, "freshness", "POST", q + "?level=weak&freshness=1m", `{"sql":"select 1"}`},
		{200, "", "POST", q + "?level=none&freshness=1m&freshness_strict", `{"sql":"select 1"}`},
		{400, "none, weak, linearizable, strong or auto", "POST", q + "?level=weakly", `{"sql":"select 1"}`},
		{400, "give one", "POST", q + "?level=none&stale", `{"sql":"select 1"}`},
		{400, "none, weak, linearizable, strong or auto", "GET", "/v1/sql/schema?level=weakly", ""},
		{200, "", "GET", "/v1/sql/schema?level=none&freshness=1m", ""},
		{400, "format", "POST", q + "?format=xml", `{"sql":"select 1"}`},
		{400, "both", "POST", q + "?stale&leader", `{"sql":"select 1"}`},
		{405, "", "PUT", x, "{}"}, {405, "", "GET", x, ""}, {405, "", "DELETE", q, ""},
	} {
		r := s.do(c.method, c.path, c.body)
		if r.status != c.status || !strings.Contains(r.body, c.want) {
			t.Errorf("%s %s %.60s: %d %.300q, want %d with %q", c.method, c.path, c.body, r.status, r.body, c.status, c.want)
		}
		if r.status != 200 && !strings.Contains(r.body, `{"error":{"kind":`) {
			t.Errorf("%s %s: %s is not the error of our own routes", c.method, c.path, r.body)
		}
	}
	s.want(400, "form", "POST", x, `{"statements":["select 1"]}`, "Content-Type", "text/plain")
}

func TestSQLLevelsOfRqliteAreTakenByNativeRoutes(t *testing.T) {
	s := start(t, Config{})
	for word, want := range map[string]structs.Consistency{
		"none": structs.Stale, "weak": structs.Leader, "auto": structs.Leader, "linearizable": structs.Linearizable, "strong": structs.Linearizable, "": structs.Linearizable,
	} {
		r := s.want(200, "[1]", "POST", "/v1/sql/query?level="+word, `{"sql":"select 1"}`)
		s.b.mu.Lock()
		got := s.b.level
		s.b.mu.Unlock()
		if got != want {
			t.Errorf("level=%s is %v: %s", word, got, r.body)
		}
	}
}

func TestSQLDatabases(t *testing.T) {
	s := start(t, Config{})
	r := s.want(200, `{"name":"app","namespace":"default","page_bytes":1024,"create_index":`, "POST", "/v1/sql/databases", `{"name":"app","page_bytes":1024}`)
	if r.header.Get("X-Debros-Index") == "" || strings.Contains(r.body, "size_bytes") {
		t.Errorf("%v %s", r.header, r.body)
	}
	s.want(200, `"double_quoted_strings":true`, "POST", "/v1/sql/databases", `{"name":"old","double_quoted_strings":true}`)
	s.want(409, "exists", "POST", "/v1/sql/databases", `{"name":"app"}`)
	s.want(400, "power of two", "POST", "/v1/sql/databases", `{"name":"bad","page_bytes":1000}`)
	s.want(400, "names no database", "POST", "/v1/sql/databases", `{}`)
	s.want(400, `there is no field`, "POST", "/v1/sql/databases", `{"nam":"x"}`)
	s.want(400, "invalid database name", "POST", "/v1/sql/databases", `{"name":"Not Valid"}`)
	s.want(200, `"rows_affected":1`, "POST", "/v1/sql/execute?db=app", `{"statements":["create table t (x)","insert into t values (1)"]}`)
	s.want(400, "no such table", "POST", "/v1/sql/query?db=old", `{"sql":"select * from t"}`)
	s.want(200, `[1]`, "POST", "/v1/sql/query", `{"sql":"select * from t","database":"app"}`)
	r = s.want(200, `"applied_index":`, "GET", "/v1/sql/databases/app", "")
	if strings.Contains(r.body, `"size_bytes":0,`) || strings.Contains(r.body, `"schema_version":0}`) || r.header.Get("X-Debros-Index") == "" {
		t.Errorf("%s", r.body)
	}
	s.want(404, "does not exist", "GET", "/v1/sql/databases/none", "")
	s.want(400, "", "GET", "/v1/sql/databases/", "")

	var names []string
	next := ""
	for {
		r := s.want(200, "", "GET", "/v1/sql/databases?per_page=1"+next, "")
		var list []struct{ Name string }
		if err := json.Unmarshal([]byte(r.body), &list); err != nil || len(list) > 1 {
			t.Fatalf("%s: %v", r.body, err)
		}
		for _, d := range list {
			names = append(names, d.Name)
		}
		token := r.header.Get("X-Debros-NextToken")
		if token == "" {
			break
		}
		next = "&next_token=" + token
	}
	if got := strings.Join(names, " "); got != "app old" {
		t.Errorf("paged: %s", got)
	}
	s.want(200, `"name":"app"`, "DELETE", "/v1/sql/databases/app", "")
	s.want(404, "does not exist", "POST", "/v1/sql/query?db=app", `{"sql":"select 1"}`)
	s.want(404, "", "DELETE", "/v1/sql/databases/app", "")
}

func TestSQLNamespacesHaveTheirOwnDatabases(t *testing.T) {
	s := start(t, Config{})
	s.want(200, "", "PUT", "/v1/namespace", `{"Name":"team"}`)
	s.want(200, "{}", "POST", "/v1/sql/execute?ns=team", `{"statements":["create table t (x)"]}`)
	s.want(200, `"rows":0`, "POST", "/v1/sql/query", `{"sql":"select * from t"}`, "X-Debros-Namespace", "team")
	s.want(400, "no such table", "POST", "/v1/sql/query", `{"sql":"select * from t"}`)
}

// An endless result arrives as it is made, and its making ends when nobody reads on.
func TestSQLRowsStreamAndEndWithTheirReader(t *testing.T) {
	s := start(t, Config{})
	const endless = "with recursive c(n) as (select 1 union all select n + 1 from c) select n from c"
	for path, body := range map[string]string{
		"/v1/sql/query": `{"sql":"` + endless + `"}`, "/v1/sql/query?format=json&pretty": `{"sql":"` + endless + `"}`, "/db/query?associative": `["` + endless + `"]`,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 {
			t.Fatalf("%s: %d", path, res.StatusCode)
		}
		in := bufio.NewReader(res.Body)
		for read := 0; read < 1<<20; {
			n, err := in.Discard(64 << 10)
			if err != nil {
				t.Fatalf("%s: after %d bytes: %v", path, read, err)
			}
			read += n
		}
		if s.b.streaming() != 1 {
			t.Errorf("%s: the query has ended", path)
		}
		res.Body.Close()
		until(t, "the query of "+path+" ends", func() bool { return s.b.streaming() == 0 })
	}
}

func TestSQLErrorBehindRowsIsTold(t *testing.T) {
	s := start(t, Config{})
	const fails = "with recursive c(n) as (select 1 union all select n + 1 from c where n < 100000) select abs(case n when 99999 then -9223372036854775807 - 1 else n end) from c"
	r := s.want(200, "[99998]\n", "POST", "/v1/sql/query", `{"sql":"`+fails+`"}`)
	if !strings.HasSuffix(r.body, "[99998]\n"+`{"error":{"kind":"invalid","message":"integer overflow"}}`+"\n") {
		t.Errorf("…%s", r.body[len(r.body)-200:])
	}
	r = s.want(200, "[99998]]", "POST", "/v1/sql/query?format=json", `{"sql":"`+fails+`"}`)
	if !strings.HasSuffix(r.body, `[99998]],"error":{"kind":"invalid","message":"integer overflow"}}`) || !json.Valid([]byte(r.body)) {
		t.Errorf("…%s", r.body[len(r.body)-200:])
	}
	r = s.want(200, "[99998]]", "POST", "/db/query", `["`+fails+`","select 1 as n"]`)
	if !strings.HasSuffix(r.body, `[99998]],"error":"integer overflow"},{"columns":["n"],"types":["integer"],"values":[[1]]}]}`) || !json.Valid([]byte(r.body)) {
		t.Errorf("…%s", r.body[len(r.body)-200:])
	}
}

func TestSQLWithoutALeaderIsUnavailable(t *testing.T) {
	s := start(t, Config{})
	s.b.failWith(structs.Errorf(structs.KindNoLeader, "no cluster leader"))
	for path, body := range map[string]string{
		"/v1/sql/execute": `{"statements":["select 1"]}`, "/v1/sql/query": `{"sql":"select 1"}`,
		"/db/execute": `["insert into t values (1)"]`, "/db/query": `["select 1"]`, "/db/request": `["select 1"]`,
	} {
		r := s.want(503, "no cluster leader", "POST", path, body)
		if r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
}

func TestSQLBackupIsASQLiteFile(t *testing.T) {
	s := start(t, Config{})
	s.sql(`[{},{"rows_affected":1,"last_insert_id":1}]`, `{"statements":["create table t (a)","insert into t values ('kept')"]}`)
	r := s.want(200, "kept", "GET", "/v1/sql/backup", "")
	if !strings.HasPrefix(r.body, "SQLite format 3\x00") || r.header.Get("Content-Type") != "application/vnd.sqlite3" ||
		r.header.Get("Content-Disposition") != `attachment; filename="default.sqlite"` || r.header.Get("X-Debros-Index") == "" {
		t.Errorf("%v, %d bytes", r.header, len(r.body))
	}
	if r := s.want(200, "", "GET", "/v1/sql/backup?ns=default&db=default&stale", ""); !strings.HasPrefix(r.body, "SQLite format 3\x00") {
		t.Errorf("%d bytes", len(r.body))
	}
	s.want(404, "does not exist", "GET", "/v1/sql/backup?db=none", "")
	s.want(400, "invalid database name", "GET", "/v1/sql/backup?db=a%22%0d%0ax", "")
	s.want(400, "neither blocks", "GET", "/v1/sql/backup?index=1", "")
}

func TestSQLRestoreTakesASQLiteFile(t *testing.T) {
	s := start(t, Config{Limits: Limits{SnapshotBytesMax: 100_000}})
	s.sql(`[{},{"rows_affected":1,"last_insert_id":1}]`, `{"statements":["create table t (a)","insert into t values ('kept')"]}`)
	file := s.want(200, "kept", "GET", "/v1/sql/backup", "").body
	s.sql(`[{"rows_affected":1}]`, `{"statements":["update t set a = 'changed'"]}`)
	r := s.want(200, `"name":"default"`, "POST", "/v1/sql/restore", file)
	if r.header.Get("X-Debros-Index") == "" || !strings.Contains(r.body, `"page_bytes":4096`) {
		t.Errorf("%v %s", r.header, r.body)
	}
	s.want(200, "kept", "GET", "/v1/sql/query?q=select+a+from+t", "")
	s.want(200, `"name":"other"`, "POST", "/v1/sql/restore?db=other&double_quoted_strings", file)
	s.want(200, `"double_quoted_strings":true`, "GET", "/v1/sql/databases/other", "")
	s.want(200, "kept", "GET", "/v1/sql/query?db=other&q=select+a+from+t+where+%22x%22=%22x%22", "")
	for _, c := range []struct{ path, body, want string }{
		{"", "", "no file"}, {"", "create table t (a)", "no SQLite file"}, {"", file[:len(file)/2], "sound"}, {"?db=No", file, "invalid database name"}, {"", file[:60], "sound"},
	} {
		s.want(400, c.want, "POST", "/v1/sql/restore"+c.path, c.body)
	}
	s.want(413, "100000", "POST", "/v1/sql/restore", file+strings.Repeat("x", 100_000))
	s.want(404, "namespace", "POST", "/v1/sql/restore?ns=none", file)
	s.want(200, "kept", "GET", "/v1/sql/query?q=select+a+from+t", "")
	if up := s.b.State().SQLUploads(); len(up) > 0 {
		t.Errorf("left behind: %+v", up)
	}
}
