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
		{400, "no KV", `[{}]`},
		{400, "no KV", `[null]`},
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
			if op.KV == nil {
				t.Fatalf("operation %d is empty", i)
			}
		}
		readOnly(ops)
	})
}
