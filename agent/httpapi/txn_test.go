package httpapi

import (
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

func TestTxnDoesAllOrNothing(t *testing.T) {
	s := start(t, Config{})
	s.put("have", "old")
	r := s.want(200, "", "PUT", "/v1/txn", `[
		{"kv":{"VERB":"set","key":"a","value":"aGVsbG8=","Flags":9007199254740993}},
		{"KV":{"Verb":"get","Key":"a"}},
		{"KV":{"Verb":"check-not-exists","Key":"none"}},
		{"KV":{"Verb":"delete","Key":"have"}},
		{"KV":{"Verb":"set","Key":"empty","Value":null}}]`)
	for _, want := range []string{`"Value":"aGVsbG8="`, `"Flags":9007199254740993`, `"Errors":null`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("no %s in %s", want, r.body)
		}
	}
	if n := strings.Count(r.body, `"KV":`); n != 3 { // two sets and a get
		t.Errorf("%d results in %s", n, r.body)
	}
	if r.header.Get("X-Consul-Index") == "" {
		t.Error("no index")
	}
	s.want(404, "", "GET", "/v1/kv/have", "")

	r = s.want(409, `"Results":null`, "PUT", "/v1/txn", `[
		{"KV":{"Verb":"set","Key":"b","Value":""}},
		{"KV":{"Verb":"cas","Key":"a","Index":1,"Value":"eA=="}},
		{"KV":{"Verb":"check-index","Key":"none","Index":0}}]`)
	if !strings.Contains(r.body, `"OpIndex":1`) || !strings.Contains(r.body, `"OpIndex":2`) {
		t.Errorf("not every failing operation is named: %s", r.body)
	}
	s.want(404, "", "GET", "/v1/kv/b", "")
}

func TestTxnRefusals(t *testing.T) {
	s := start(t, Config{})
	ops := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`{"KV":{"Verb":"get","Key":"k"}},`, n), ",") + "]"
	}
	for _, c := range []struct {
		status     int
		want, body string
	}{
		{409, `"OpIndex":0`, `[{"KV":{"Verb":"explode","Key":"a"}}]`},
		{409, `"OpIndex":1`, `[{"KV":{"Verb":"set","Key":"a"}},{"KV":{"Verb":"set","Key":""}}]`},
		{409, `"OpIndex":0`, `[{"KV":{"Verb":"get","Key":""}}]`},
		{409, `"OpIndex":0`, `[{"KV":{"Verb":"get","Key":"missing"}}]`},
		{413, "128", ops(129)},
		{413, "128", "[" + strings.Repeat(`{"KV":{}},`, 100_000) + "{}]"},
		{413, "524288", `[{"KV":{"Verb":"set","Key":"a","Value":"` + strings.Repeat("AAAA", 200_000) + `"}}]`},
		{400, "JSON list", ``},
		{400, "JSON list", `{}`},
		{400, "goes on", `null []`},
		{400, "JSON list", `[{"KV":{"Verb":"set","Key":"a"}}`},
		{400, "JSON list", `[{"KV":{"Verb":"set","Key":"a","Flags":-1}}]`},
		{400, "JSON list", `[{"KV":{"Verb":"set","Key":"a","Flags":1.5}}]`},
		{400, "goes on", ops(1) + "x"},
		{400, "goes on", ops(1) + ops(1)},
		{400, "base64", `[{"KV":{"Verb":"set","Key":"a","Value":"***"}}]`},
		{400, "no KV, SQL or Publish", `[{}]`},
		{400, "no KV, SQL or Publish", `[null]`},
		{400, "Node", `[{"Node":{"Verb":"set"}}]`},
		{400, "namespace", `[{"KV":{"Verb":"set","Key":"a","Namespace":"n1"}},{"KV":{"Verb":"set","Key":"a","Namespace":"n2"}}]`},
		{400, "JSON list", strings.Repeat("[", 20_000)},
		{400, "JSON list", `[` + strings.Repeat(`{"x":`, 20_000)},
	} {
		r := s.do("PUT", "/v1/txn", c.body)
		if len(c.body) > 100 {
			c.body = c.body[:100] + "…"
		}
		if r.status != c.status || !strings.Contains(r.body, c.want) {
			t.Errorf("%s: %d %q, want %d with %q", c.body, r.status, shorten(r.body), c.status, c.want)
		}
	}
	s.want(404, "", "GET", "/v1/kv/a", "")
	s.want(404, "", "GET", "/v1/kv/?recurse", "")
}

// Terraform's backend splits a state in pieces on these words, and on nothing else.
func TestTooLargeSaysSo(t *testing.T) {
	s := start(t, Config{})
	s.want(413, "too large", "PUT", "/v1/kv/a", strings.Repeat("v", structs.ValueBytesMaxDefault+1))
	for _, size := range []int{structs.ValueBytesMaxDefault + 3, 2 << 20, 8 << 20} { // a multiple of 3: base64 without padding
		size -= size % 3
		s.want(413, "too large", "PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":"`+strings.Repeat("QUFB", size/3)+`"}}]`)
	}
}

func TestTransactionsOfReadsStayOutOfTheLog(t *testing.T) {
	s := start(t, Config{})
	s.put("a", "1")
	before := s.b.State().Index()
	s.want(200, `"MQ=="`, "PUT", "/v1/txn?stale", `[{"KV":{"Verb":"get","Key":"a"}},{"KV":{"Verb":"get-tree","Key":"a"}},{"KV":{"Verb":"get-or-empty","Key":"z"}},{"KV":{"Verb":"check-not-exists","Key":"z"}}]`)
	for _, none := range []string{"[]", "null", " null\n"} { // Consul's Go client sends null for an empty list
		s.wantJSON(200, `{"Results":null,"Errors":null}`, "PUT", "/v1/txn", none)
	}
	if s.b.count("Txn.Apply") != 0 || s.b.count("Txn.Read") != 4 || s.b.State().Index() != before {
		t.Errorf("calls %v, index %d to %d", s.b.calls, before, s.b.State().Index())
	}
}

func FuzzTxnDecoder(f *testing.F) {
	for _, seed := range []string{
		`[]`, `[{"KV":{"Verb":"set","Key":"a","Value":"aGk=","Flags":1,"Index":2,"Session":"s","TTL":"5s"}}]`,
		`[{"kv":{"verb":"get","KEY":"a","Namespace":"team"}}]`, `[{"Node":{}},null]`, `[{"KV":null}]`, `[[[[`, "[{},{},{}]",
		`[{"KV":{"Value":"=","TTL":-1}}]`, `[{"KV":{"TTL":1e99}}]`,
	} {
		f.Add(seed)
	}
	f.Add(`[{"SQL":{"Database":"d","Statements":["a",{"SQL":"b","Args":[1,{"blob":"aGk="}]}],"Guards":[{"SQL":"c","Rows":1,"First":[null],"Digest":"aGk="}]}}]`)
	f.Fuzz(func(t *testing.T, body string) {
		ns := structs.Namespace("")
		ops, err := decodeTxn(strings.NewReader(body), 4, &ns)
		if err != nil {
			if kind := structs.KindOf(err); kind != structs.KindInvalid && kind != structs.KindTooLarge {
				t.Fatalf("%v is no error for a user", err)
			}
			return
		}
		if len(ops) > 4 {
			t.Fatalf("%d operations", len(ops))
		}
		if ns != "" && !structs.ValidNamespace(ns) {
			t.Fatalf("namespace %q", ns)
		}
		for i, op := range ops {
			if op.KV == nil && op.SQL == nil {
				t.Fatalf("operation %d is empty", i)
			}
		}
		readOnly(ops)
	})
}

func TestTxnMixesKeysAndDatabases(t *testing.T) {
	s := start(t, Config{})
	r := s.want(200, "", "PUT", "/v1/txn", `[
		{"SQL":{"Statements":["create table t(a integer primary key, b)",{"SQL":"insert into t values(?, ?) returning a, b","Args":[9007199254740993,{"blob":"AP8="}]}]}},
		{"kv":{"Verb":"set","Key":"k","Value":"dg=="}},
		{"sql":{"DATABASE":"default","statements":[{"sql":"insert into t values(:Xx, 1.0)","args":{"xx":null,"Xx":2}}],"guards":[{"SQL":"select count(*) from t","First":[1]}]}}]`)
	sql := func(results string) string { return `{"SQL":{"Results":[` + results + `]}}` }
	first := sql(`{},{"rows_affected":1,"last_insert_id":9007199254740993,"columns":["a","b"],"types":["integer",""],"rows":[[9007199254740993,{"blob":"AP8="}]]}`)
	last := sql(`{"rows_affected":1,"last_insert_id":2}`)
	if !strings.HasPrefix(r.body, `{"Results":[`+first+`,{"KV":{`) || !strings.HasSuffix(r.body, `}},`+last+`],"Errors":null}`) {
		t.Errorf("%s", r.body)
	}
	r = s.want(409, `"Results":null`, "PUT", "/v1/txn", `[
		{"KV":{"Verb":"set","Key":"k","Value":"bm8="}},
		{"SQL":{"Statements":["insert into t values(3, 3)","insert into t values(2, 2)"]}}]`)
	if !strings.Contains(r.body, `"OpIndex":1`) || !strings.Contains(r.body, "statement 2: UNIQUE constraint failed: t.a") {
		t.Errorf("%s", r.body)
	}
	s.want(409, "guard 1 does not hold", "PUT", "/v1/txn", `[{"KV":{"Verb":"delete","Key":"k"}},{"SQL":{"Guards":[{"SQL":"select * from t","Rows":9}]}}]`)
	s.want(200, "dg==", "GET", "/v1/kv/k", "")
	s.want(200, `[[2,1.0],[9007199254740993,{"blob":"AP8="}]]`, "GET", "/v1/sql/query?format=json&q=select+*+from+t+order+by+a", "")
}

func TestTxnRequestIDMakesARepetitionHarmless(t *testing.T) {
	s := start(t, Config{})
	s.want(200, "", "PUT", "/v1/txn", `[{"SQL":{"Statements":["create table t(a)"]}}]`)
	body := `[{"SQL":{"Statements":["insert into t values(1) returning a"]}},{"KV":{"Verb":"set","Key":"k","Value":"dg=="}}]`
	first := s.want(200, `"rows":[[1]]`, "PUT", "/v1/txn?request_id=one", body)
	again := s.want(200, `"rows":[[1]]`, "PUT", "/v1/txn?request_id=one", body)
	if strings.Contains(first.body, "Replayed") || strings.TrimSuffix(strings.TrimSpace(first.body), "}")+`,"Replayed":true}` != strings.TrimSpace(again.body) || first.header.Get("X-Consul-Index") != again.header.Get("X-Consul-Index") {
		t.Errorf("%s\n%s", first.body, again.body)
	}
	s.want(200, `[[1]]`, "GET", "/v1/sql/query?format=json&q=select+count(*)+from+t", "")
	s.want(400, "another transaction", "PUT", "/v1/txn?request_id=one", `[{"KV":{"Verb":"set","Key":"k","Value":"eA=="}}]`)
	s.want(400, "at most 128 bytes", "PUT", "/v1/txn?request_id="+strings.Repeat("x", 129), body)
	s.want(400, "that print", "PUT", "/v1/txn?request_id=%00", body)
	failing := `[{"SQL":{"Statements":["insert into t values(2)"]}},{"KV":{"Verb":"check-not-exists","Key":"k"}}]`
	for range 2 { // it did nothing, and is tried again
		s.want(409, `"OpIndex":1`, "PUT", "/v1/txn?request_id=two", failing)
	}
}

func TestTxnRefusesBadSQL(t *testing.T) {
	s := start(t, Config{})
	for _, c := range []struct {
		status     int
		want, body string
	}{
		{400, `the SQL of operation 1 is not the JSON expected here: line 1, column 14: there is no field "statemens" here`, `[{"KV":{"Verb":"set","Key":"a"}},{"SQL":{"Statemens":["x"]}}]`},
		{400, "a list", `[{"SQL":{"Statements":"select 1"}}]`},
		{400, "an object", `[{"SQL":["select 1"]}]`},
		{400, "base64", `[{"SQL":{"Statements":[{"SQL":"select ?","Args":[{"blob":"*"}]}]}}]`},
		{400, "neither statements nor guards", `[{"SQL":{}}]`},
		{400, "no KV, SQL or Publish", `[{"SQL":null}]`},
		{400, "database name", `[{"SQL":{"Database":"a/b","Statements":["select 1"]}}]`},
		{409, "not more", `[{"SQL":{"Statements":["select 1"]},"KV":{"Verb":"set","Key":"a"}}]`},
		{409, "does not exist", `[{"SQL":{"Database":"none","Statements":["select 1"]}}]`},
		{413, "sql_bytes_max", `[{"SQL":{"Statements":["select '` + strings.Repeat("x", 5<<20) + `'"]}}]`},
		{413, "too large", `[{"SQL":{"Statements":["select '` + strings.Repeat("x", 16<<20) + `'"]}}]`},
	} {
		r := s.do("PUT", "/v1/txn", c.body)
		if r.status != c.status || !strings.Contains(r.body, c.want) {
			t.Errorf("%s: %d %q, want %d with %q", shorten(c.body), r.status, shorten(r.body), c.status, c.want)
		}
	}
}
