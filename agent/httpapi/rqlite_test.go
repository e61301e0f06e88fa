package httpapi

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// db wants the exact results of a request of the rqlite dialect.
func (s *harness) db(want, method, path, body string) reply {
	s.t.Helper()
	r := s.do(method, path, body)
	if r.status != 200 || r.body != `{"results":`+want+`}` || r.header.Get("Content-Type") != "application/json" {
		s.t.Errorf("%s %s %s: %d %s\nwant %s", method, path, body, r.status, r.body, want)
	}
	return r
}

// These tests hold what rqlite's clients depend on, as a real cluster of rqlite answers.
func TestRqliteErrorsAreResultsAndMalformedBodiesAreNot(t *testing.T) {
	s := start(t, Config{})
	s.db(`[{"error":"no such table: t"}]`, "POST", "/db/execute", `["insert into t values (1)"]`)
	s.db(`[{"error":"no such table: t"}]`, "POST", "/db/query", `["select * from t"]`)
	s.db(`[{"error":"no such table: t"},{"columns":["1"],"types":["integer"],"values":[[1]]}]`, "POST", "/db/request", `["select * from t", "select 1"]`)
	s.db(`[{"error":"near \"selec\": syntax error"}]`, "GET", "/db/query?q=selec", "")
	s.db(`[{"rows":[],"error":"no such table: t"}]`, "POST", "/db/query?associative", `["select * from t"]`)
	for _, path := range []string{"/db/execute", "/db/query", "/db/request"} {
		for _, body := range []string{``, `[]`, `{}`, `["a"`, `[["select ?", 9e999]]`, strings.Repeat("[", 100_000)} {
			s.want(400, "", "POST", path, body)
		}
		s.want(404, "does not exist", "POST", path+"?db=none", `["select 1"]`)
		s.want(413, "4194304", "POST", path, `["`+strings.Repeat("x", 5<<20)+`"]`)
	}
	s.want(400, "", "GET", "/db/query", "")
	s.want(400, "", "GET", "/db/query?q=", "")
	s.want(405, "", "GET", "/db/execute?q=select+1", "")
	r := s.want(200, "", "POST", "/db/query?level=none&freshness=1ms", `["select 1"]`)
	if r.body != `{"results":[],"error":"stale read"}` {
		t.Error(r.body)
	}
	s.db(`[{"columns":["1"],"types":["integer"],"values":[[1]]}]`, "POST", "/db/query?level=none&freshness=1h", `["select 1"]`)
	s.db(`[{"columns":["1"],"types":["integer"],"values":[[1]]}]`, "POST", "/db/query?level=weak&freshness=1ms", `["select 1"]`)
	s.db(`[{"columns":["1"],"types":["integer"],"values":[[1]]}]`, "POST", "/db/query?level=none&freshness=1h&freshness_strict", `["select 1"]`)
	s.b.behind = true
	for time.Since(s.b.State().Time()) < 20*time.Millisecond {
		time.Sleep(time.Millisecond) // the last entry grows old
	}
	s.db(`[{"columns":["1"],"types":["integer"],"values":[[1]]}]`, "POST", "/db/query?level=none&freshness=20ms", `["select 1"]`)
	if r := s.do("POST", "/db/query?level=none&freshness=20ms&freshness_strict", `["select 1"]`); r.body != `{"results":[],"error":"stale read"}` {
		t.Error(r.body)
	}
}

func TestRqliteLeavesOutWhatIsZero(t *testing.T) {
	s := start(t, Config{})
	s.db(`[{}]`, "POST", "/db/execute", `["create table t (id integer primary key, n)"]`)
	s.db(`[{"last_insert_id":1,"rows_affected":1},{}]`, "POST", "/db/execute", `["insert into t (n) values (5)", "update t set n = 1 where id = 9"]`)
	s.db(`[{"rows":null},{"last_insert_id":2,"rows_affected":1,"rows":null}]`, "POST", "/db/execute?associative", `["-- nothing", "insert into t (n) values (6)"]`)
	s.db(`[{}]`, "POST", "/db/execute", `["-- a comment"]`)
	s.db(`[{}]`, "POST", "/db/query", `["/* a comment */"]`)
	s.db(`[]`, "POST", "/db/execute", `[""]`)
	s.db(`[]`, "POST", "/db/query", `[""]`)
	s.db(`[{"rows_affected":1}]`, "POST", "/db/execute", `["", "delete from t where id = 2", ""]`)
	s.db(`[{"columns":["n"],"types":[""]}]`, "POST", "/db/query", `["select n from t where 0"]`)
	s.db(`[{"types":{"n":""},"rows":[]}]`, "POST", "/db/query?associative", `["select n from t where 0"]`)
}

func TestRqliteTypesAndDates(t *testing.T) {
	s := start(t, Config{})
	s.db(`[{},{"last_insert_id":1,"rows_affected":1}]`, "POST", "/db/execute",
		`["create table t (v VARCHAR(10), d DATE, dt DateTime, ts TIMESTAMP, b BOOLEAN, x)", "insert into t values ('a', '2024-02-29', 1, 1700000000123, 1, x'00ff')"]`)
	s.db(`[{"columns":["v","d","dt","ts","b","x"],"types":["varchar(10)","date","datetime","timestamp","boolean","blob"],`+
		`"values":[["a","2024-02-29T00:00:00Z","1970-01-01T00:00:01Z","2023-11-14T22:13:20.123Z",true,"AP8="]]}]`, "POST", "/db/query", `["select * from t"]`)
	s.db(`[{"columns":["dt+0","max(b)","n","upper(v)"],"types":["integer","integer","","text"],"values":[[1,1,null,"A"]]}]`, "POST", "/db/query", `["select dt+0, max(b), null as n, upper(v) from t"]`)
	s.db(`[{"columns":["x"],"types":["blob"],"values":[[[0,255]]]}]`, "POST", "/db/query?blob_array", `["select x from t"]`)
	s.db(`[{"types":{"b":"boolean","d":"date"},"rows":[{"b":true,"d":"2024-02-29T00:00:00Z"}]}]`, "POST", "/db/request?associative", `["select b, d from t"]`)
	s.db(`[{"columns":["x"],"types":["text"],"values":[["hi"]]}]`, "POST", "/db/request", `[["insert into t (x) values (?) returning cast(x as text) as x", [104,105]]]`)
}

func TestRqliteTransactions(t *testing.T) {
	s := start(t, Config{})
	s.db(`[{}]`, "POST", "/db/execute", `["create table t (id integer primary key)"]`)
	failing := `["insert into t values (1)", "insert into t values (1)", "insert into t values (2)"]`
	for _, path := range []string{"/db/execute", "/db/request"} {
		s.db(`[{"last_insert_id":1,"rows_affected":1},{"error":"UNIQUE constraint failed: t.id"}]`, "POST", path+"?transaction", failing)
		s.db(`[{"last_insert_id":1,"rows_affected":1},{"error":"near \"insrt\": syntax error"}]`, "POST", path+"?transaction", `["insert into t values (1)", "insrt into t values (2)", "insert into t values (3)"]`)
		s.db(`[{"columns":["n"],"types":["integer"],"values":[[0]]}]`, "POST", "/db/query", `["select count(*) as n from t"]`)
	}
	s.db(`[{"last_insert_id":1,"rows_affected":1},{"error":"UNIQUE constraint failed: t.id"},{"last_insert_id":2,"rows_affected":1}]`, "POST", "/db/execute", failing)
	for _, sql := range []string{"begin", "commit", "rollback", "attach 'x' as y", "vacuum into 'x'", "pragma query_only=1", "savepoint a"} {
		for _, path := range []string{"/db/execute", "/db/execute?transaction", "/db/query", "/db/request", "/db/request?transaction"} {
			s.want(200, `"error":"`, "POST", path, `["`+sql+`"]`)
		}
	}
	s.want(200, `"error":"a query cannot write`, "POST", "/db/query", `["insert into t values (7)"]`)
	s.want(200, `"error":"a query cannot write`, "GET", "/db/query?q=delete+from+t", "")
	s.db(`[{"columns":["n"],"types":["integer"],"values":[[2]]}]`, "POST", "/db/query", `["select count(*) as n from t"]`)
}

func TestRqliteRowsOfWrites(t *testing.T) {
	s := start(t, Config{})
	s.db(`[{}]`, "POST", "/db/execute", `["create table t (id integer primary key, n text)"]`)
	s.db(`[{"columns":["id","n"],"types":["integer","text"],"values":[[1,"a"],[2,"b"]]}]`, "POST", "/db/execute", `["insert into t (n) values ('a'), ('b') returning *"]`)
	s.db(`[{},{"error":"no such column: x"}]`, "POST", "/db/execute", `["select * from t", "select x from t"]`)
	s.db(`[{"columns":["n"],"types":["text"],"values":[["a"]]},{"last_insert_id":3,"rows_affected":1},{"columns":["n"],"types":["integer"],"values":[[3]]}]`,
		"POST", "/db/request", `["select n from t where id = 1", "insert into t (n) values ('c')", "select count(*) as n from t"]`)
	s.db(`[{"types":{"n":"text"},"rows":[{"n":"a"}]},{"rows_affected":1,"rows":null}]`, "POST", "/db/request?associative", `["select n from t where id = 1", "delete from t where id = 3"]`)
	s.db(`[{"columns":["2"],"types":["integer"],"values":[[2]]}]`, "POST", "/db/query", `["select 1; select 2"]`)
	s.db(`[{"columns":["n"],"types":["integer"],"values":[[3]]}]`, "POST", "/db/request", `["insert into t (n) values ('d'); select count(*) as n from t"]`)
}

func TestRqliteParameters(t *testing.T) {
	s := start(t, Config{})
	s.db(`[{"columns":["a","b"],"types":["integer","text"],"values":[[1,"x"]]}]`, "POST", "/db/query", `[["select ? as a, ? as b", 1, "x", "surplus"]]`)
	s.db(`[{"error":"not enough args to execute query: want 2 got 1"}]`, "POST", "/db/query", `[["select ?, ?", 1]]`)
	s.db(`[{"error":"not enough args to execute query: want 1 got 0"}]`, "POST", "/db/execute", `[["create table t as select ?"]]`)
	s.db(`[{"columns":["a","b"],"types":["integer","text"],"values":[[1,"x"]]}]`, "POST", "/db/query", `[["select :a as a, $b as b", {"b": "x", "a": 1}]]`)
	s.db(`[{"columns":["a","b","c","d"],"types":["integer","integer","real","integer"],"values":[[9223372036854775807,-9223372036854775808,9223372036854776000,1]]}]`,
		"POST", "/db/query", `[["select ? as a, ? as b, ? as c, ? as d", 9223372036854775807, -9223372036854775808, 9223372036854775808, true]]`)
	s.db(`[{"columns":["a"],"types":["text"],"values":[["blob"]]}]`, "POST", "/db/query", `[["select typeof(?) as a", [1, 2]]]`)
}

func TestRqliteLevels(t *testing.T) {
	s := start(t, Config{})
	for _, level := range []string{"", "none", "weak", "linearizable", "strong", "auto", "whatever"} {
		for _, path := range []string{"/db/query", "/db/request"} {
			s.db(`[{"columns":["1"],"types":["integer"],"values":[[1]]}]`, "POST", path+"?level="+level, `["select 1"]`)
		}
	}
	for word, want := range map[string]structs.Consistency{
		"none": structs.Stale, "weak": structs.Leader, "auto": structs.Leader, "": structs.Leader, "x": structs.Leader, "strong": structs.Linearizable, "linearizable": structs.Linearizable,
	} {
		if got := level(word); got != want {
			t.Errorf("%q is %v", word, got)
		}
	}
	if s.b.count("SQL.Execute") != 0 {
		t.Error("a read went through the log")
	}
	for _, query := range []string{"freshness=x&level=none", "db_timeout=x", "db_timeout=-1s"} {
		s.want(400, "duration", "POST", "/db/query?"+query, `["select 1"]`)
	}
	s.db(`[{"columns":["1"],"types":["integer"],"values":[[1]]}]`, "POST", "/db/query?db_timeout=1m", `["select 1"]`)
	s.want(200, `"error":"query timeout"`, "POST", "/db/query?db_timeout=50ms", `["with recursive c(n) as (select 1 union all select n + 1 from c) select max(n) from c", "select 1"]`)
}

func TestRqliteTimingsAndQueue(t *testing.T) {
	s := start(t, Config{})
	r := s.want(200, `[{"time":`, "POST", "/db/execute?timings", `["create table t (x)"]`)
	if strings.Count(r.body, `"time":`) != 2 || r.header.Get("X-Debros-Index") == "" {
		t.Errorf("%s", r.body)
	}
	r = s.want(200, `"values":[[1]],"time":`, "POST", "/db/query?timings", `["select 1"]`)
	if strings.Count(r.body, `"time":`) != 2 {
		t.Errorf("%s", r.body)
	}
	r = s.want(200, "", "POST", "/db/execute?queue&wait&timeout=10s", `["insert into t values (1)"]`)
	if want := fmt.Sprintf(`{"results":[],"sequence_number":%s}`, r.header.Get("X-Debros-Index")); r.body != want {
		t.Errorf("%s, want %s", r.body, want)
	}
	s.db(`[{"columns":["n"],"types":["integer"],"values":[[1]]}]`, "GET", "/db/query?level=strong&q=select+count(*)+as+n+from+t", "")
}

func TestRqliteLoadTakesADump(t *testing.T) {
	s := start(t, Config{})
	const dump = `PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, n TEXT);
INSERT INTO t VALUES(7,'a;b');
CREATE TABLE log(n);
CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.n); INSERT INTO log VALUES (';'); END;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('t',41);
COMMIT;
`
	plain, octets := []string{"Content-Type", "text/plain"}, []string{"Content-Type", "application/octet-stream"}
	if r := s.want(200, "", "POST", "/db/load", dump, plain...); r.body != `{"results":[{"last_insert_id":1,"rows_affected":1}]}` || r.header.Get("X-Debros-Index") == "" {
		t.Errorf("%v %s", r.header, r.body)
	}
	s.db(`[{"last_insert_id":42,"rows_affected":1}]`, "POST", "/db/execute", `["insert into t (n) values ('c')"]`)
	s.db(`[{"columns":["n"],"types":["integer"],"values":[[2]]}]`, "POST", "/db/query", `["select count(*) as n from log"]`)

	s.db(`[{}]`, "POST", "/db/load", "create table u (x)")
	s.db(`[{"last_insert_id":2,"rows_affected":2}]`, "POST", "/db/load", "insert into u values (1), (2); drop table u; PRAGMA foreign_keys=OFF;")
	s.db(`[{"error":"table t already exists"}]`, "POST", "/db/load", "insert into log values (1); create table t (x); insert into log values (2);")
	s.db(`[{"error":"near \"insrt\": syntax error"}]`, "POST", "/db/load", "BEGIN; insert into log values (1); insrt into t; COMMIT;")
	s.db(`[{"columns":["n"],"types":["integer"],"values":[[2]]}]`, "POST", "/db/query", `["select count(*) as n from log"]`)
	s.want(400, "sound database", "POST", "/db/load", "SQLite format 3\x00 and more", octets...)
	file := s.want(200, "", "GET", "/v1/sql/backup", "").body
	s.db(`[{"rows_affected":2}]`, "POST", "/db/execute", `["delete from log"]`)
	if r := s.want(200, "", "POST", "/db/load", file, octets...); r.body != `{"results":[]}` || r.header.Get("X-Debros-Index") == "" {
		t.Errorf("%v %s", r.header, r.body)
	}
	s.db(`[{"columns":["n"],"types":["integer"],"values":[[2]]}]`, "POST", "/db/query", `["select count(*) as n from log"]`)
	s.want(400, "no statements", "POST", "/db/load", "-- nothing")
	s.want(413, "4194304", "POST", "/db/load", strings.Repeat("x", 5<<20))
	for _, browser := range [][]string{{"Origin", "http://" + strings.TrimPrefix(s.url, "http://")}, {"Sec-Fetch-Site", "same-origin"}, {"Referer", "http://evil.example/"}} {
		s.want(400, "form", "POST", "/db/load", "drop table t", append(browser, plain...)...)
	}
	s.want(400, "form", "POST", "/db/execute", `["drop table t"]`, plain...)
}

// The statements are those of rqlite's shell, old and new, for .tables, .indexes and .schema.
func TestRqliteShellDoesNotSeeOurTables(t *testing.T) {
	s := start(t, Config{})
	s.db(`[{},{}]`, "POST", "/db/execute", `["create table t (a)", "create index i on t (a)"]`)
	for _, path := range []string{"/db/query", "/db/request"} {
		for _, quote := range []string{`\"`, `'`} {
			s.db(`[{"columns":["name"],"types":["text"],"values":[["t"]]}]`, "POST", path, `["SELECT name FROM sqlite_master WHERE type=`+quote+`table`+quote+`"]`)
			s.db(`[{"columns":["sql"],"types":["text"],"values":[["CREATE INDEX i on t (a)"]]}]`, "POST", path, `["SELECT sql FROM sqlite_master WHERE type=`+quote+`index`+quote+`"]`)
		}
		s.db(`[{"columns":["sql"],"types":["text"],"values":[["CREATE TABLE t (a)"],["CREATE INDEX i on t (a)"]]}]`, "POST", path, `["SELECT sql FROM sqlite_master"]`)
		s.want(200, `"values":[["t"]]`, "GET", "/db/query?q=SELECT+name+FROM+sqlite_master+WHERE+type=%22table%22", "")
		s.want(200, "_debros_meta", "POST", path, `["select name from sqlite_master"]`) // any other statement is run as it is
	}
}

func TestRqliteClusterRoutes(t *testing.T) {
	s := start(t, Config{})
	const node = `{"id":"12D3KooWtest","api_addr":"http://10.0.0.1:5001","addr":"10.0.0.1:7001","version":"1.0.0","voter":true,"reachable":true,"leader":true}`
	s.wantJSON(200, `{"12D3KooWtest":`+node+`}`, "GET", "/nodes", "")
	s.wantJSON(200, `{"nodes":[`+node+`]}`, "GET", "/nodes?ver=2&nonvoters", "")
	s.wantJSON(200, node, "GET", "/leader", "")
	s.want(200, `"leader":{"node_id":"12D3KooWtest","addr":"10.0.0.1:7001"}`, "GET", "/status", "")
	s.want(200, `"sqlite3":{"fk_constraints":"disabled"}`, "GET", "/status", "")
	s.db(`[{}]`, "POST", "/db/execute", `["create table t (a)"]`)
	file := s.want(200, "", "GET", "/v1/sql/backup", "").body
	s.want(200, "", "POST", "/v1/sql/restore?db=strict&foreign_keys", file, "Content-Type", "application/vnd.sqlite3")
	s.want(200, `"sqlite3":{"fk_constraints":"enabled"}`, "GET", "/status?db=strict", "")
	s.want(200, `"sqlite3":{"fk_constraints":"disabled"}`, "GET", "/status?db=none", "")
	s.want(200, "[+]node ok\n[+]leader ok\n[+]store ok\n", "GET", "/readyz", "")
	s.want(200, "[+]store ok\n[+]sync ok\n", "GET", "/readyz?sync", "")
	s.want(200, "[+]node ok\n[+]sync ok\n", "GET", "/readyz?noleader&sync&timeout=5s", "")
	s.want(400, "not a duration", "GET", "/readyz?sync&timeout=soon", "")
	if r := s.want(200, "", "POST", "/leader", `{"id":"12D3KooWtest"}`); r.body != "" {
		t.Error(r.body)
	}
	s.want(200, "", "POST", "/leader", "")
	s.want(400, "not the JSON", "POST", "/leader", "{")
	s.b.failWith(structs.Errorf(structs.KindUnavailable, "no server answers"))
	s.want(503, "[-]sync no server answers\n", "GET", "/readyz?noleader&sync", "")
	s.want(503, "no server answers", "POST", "/leader", "")
	s.want(200, "[+]node ok\n", "GET", "/readyz?noleader", "")
	s.want(503, "[-]leader", "GET", "/readyz", "")
}

func TestBasicAuthenticationIsForRqlitesRoutes(t *testing.T) {
	for path, want := range map[string]string{"/db/query": "secret", "/nodes": "secret", "/v1/sql/query": "", "/v1/kv/a": ""} {
		r, _ := http.NewRequest("GET", path, nil)
		r.SetBasicAuth("anybody", "secret")
		res, _ := start(t, Config{}).h.table.find(path)
		got := &call{r: r, basic: res.basic}
		if err := got.readManners(); err != nil || got.token != want {
			t.Errorf("%s: token %q, %v", path, got.token, err)
		}
		r.Header.Set("X-Debros-Token", "other")
		if err := got.readManners(); err != nil || got.token != "other" {
			t.Errorf("%s: token %q, %v", path, got.token, err)
		}
	}
}

func TestRqliteBackup(t *testing.T) {
	s := start(t, Config{})
	s.db(`[{},{"last_insert_id":1,"rows_affected":1},{}]`, "POST", "/db/execute", `["create table t (a)", "insert into t values ('kept')", "create table u (b)"]`)
	for _, path := range []string{"/db/backup", "/v1/sql/backup"} {
		if r := s.want(200, "kept", "GET", path, ""); !strings.HasPrefix(r.body, sqliteMagic) || r.header.Get("Content-Type") != "application/vnd.sqlite3" {
			t.Error(r.header)
		}
		if r := s.want(200, "kept", "GET", path+"?fmt=delete&vacuum", ""); !strings.HasPrefix(r.body, sqliteMagic) || strings.Contains(r.body, "_debros_") {
			t.Error(len(r.body))
		}
		want := "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t (a);\nCREATE TABLE u (b);\nINSERT INTO \"t\" VALUES('kept');\nCOMMIT;\n"
		if r := s.want(200, "", "GET", path+"?fmt=sql", ""); r.body != want || r.header.Get("Content-Type") != "application/sql" {
			t.Errorf("%v %s", r.header, r.body)
		}
		if r := s.want(200, "", "GET", path+"?fmt=sql&tables=u,%20", ""); strings.Contains(r.body, "kept") || !strings.Contains(r.body, "CREATE TABLE u") {
			t.Error(r.body)
		}
		zipped, err := gzip.NewReader(strings.NewReader(s.want(200, "", "GET", path+"?fmt=sql&compress", "").body))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(zipped); err != nil || string(text) != want {
			t.Errorf("%q, %v", text, err)
		}
		s.want(400, "unknown backup format", "GET", path+"?fmt=xml", "")
		s.want(400, "no such table: none", "GET", path+"?fmt=sql&tables=none", "")
		s.want(400, "whole database", "GET", path+"?tables=t", "")
		s.want(404, "does not exist", "GET", path+"?db=none", "")
	}
	s.want(200, "kept", "GET", "/db/backup?noleader", "")
}
