package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestKVAnswersAsConsulDoes(t *testing.T) {
	s := start(t, Config{})
	s.want(404, "", "GET", "/v1/kv/?recurse", "") // an empty root
	s.wantJSON(200, "[]", "GET", "/v1/kv/?keys", "")
	s.want(404, "", "GET", "/v1/kv/none?keys", "")
	r := s.want(404, "", "GET", "/v1/kv/a", "")
	if r.body != "" || r.header.Get("X-Consul-Index") == "" {
		t.Errorf("a missing key: body %q, index %q", r.body, r.header.Get("X-Consul-Index"))
	}
	s.want(200, "true", "PUT", "/v1/kv/a/b?flags=18446744073709551615", "hello")
	s.put("a/empty", "")
	s.put("a/c/d", "x")

	r = s.want(200, `"Value":"aGVsbG8="`, "GET", "/v1/kv/a/b", "")
	if !strings.Contains(r.body, `"Flags":18446744073709551615`) {
		t.Errorf("flags are not exact: %s", r.body)
	}
	if strings.Contains(r.body, "Session") {
		t.Errorf("a free key shows a session: %s", r.body)
	}
	s.want(200, `"Value":null`, "GET", "/v1/kv/a/empty", "")
	s.wantJSON(200, `["a/b","a/c/d","a/empty"]`, "GET", "/v1/kv/a?keys", "")
	s.wantJSON(200, `["a/b","a/c/","a/empty"]`, "GET", "/v1/kv/a/?keys&separator=/", "")
	s.wantJSON(200, `["a/"]`, "GET", "/v1/kv/?keys&separator=/", "")
	s.wantJSON(200, `{"Count":3}`, "GET", "/v1/kv/a?count", "")
	s.want(200, `[{`, "GET", "/v1/kv/a?recurse&raw", "")

	s.want(200, "false", "PUT", "/v1/kv/a/b?cas=0", "y")
	s.want(200, "true", "PUT", "/v1/kv/new?cas=0", "y")
	s.want(200, "true", "DELETE", "/v1/kv/missing?cas=7", "")
	s.want(200, "true", "DELETE", "/v1/kv/a/b", "")
	s.want(404, "", "GET", "/v1/kv/a/b", "")
	s.want(200, "true", "DELETE", "/v1/kv/a/?recurse", "")
	s.wantJSON(200, `["new"]`, "GET", "/v1/kv/?keys", "")
	s.want(200, "true", "DELETE", "/v1/kv/new?recurse=false", "") // a plain delete, not of a tree
}

func TestKVRefusesContradictions(t *testing.T) {
	s := start(t, Config{})
	for _, c := range []struct {
		method, path, want string
	}{
		{"GET", "/v1/kv/", "Missing key name"},
		{"PUT", "/v1/kv/", "Missing key name"},
		{"DELETE", "/v1/kv/", "Missing key name"},
		{"PUT", "/v1/kv/a?cas=1&acquire=x", "Conflicting flags"},
		{"PUT", "/v1/kv/a?acquire=x&release=x", "Conflicting flags"},
		{"DELETE", "/v1/kv/a?recurse&cas=1", "Conflicting flags"},
		{"PUT", "/v1/kv/a?acquire=", "missing session"},
		{"PUT", "/v1/kv/a?cas=-1", "cas"},
		{"PUT", "/v1/kv/a?flags=1.5", "flags"},
		{"PUT", "/v1/kv/a?flags=18446744073709551616", "flags"},
		{"DELETE", "/v1/kv/a?cas=NaN", "cas"},
		{"PUT", "/v1/kv/a?ttl=-1s", "ttl"},
		{"PUT", "/v1/kv/a?ttl=0s", "ttl"},
		{"PUT", "/v1/kv/a?ttl=forever", "ttl"},
		{"PUT", "/v1/kv/a?release=x&ttl=5s", "ttl"},
	} {
		s.want(400, c.want, c.method, c.path, "")
	}
}

func TestRawValuesAreInertBytes(t *testing.T) {
	s := start(t, Config{})
	s.put("page", "<script>alert(1)</script>")
	r := s.want(200, "<script>alert(1)</script>", "GET", "/v1/kv/page?raw", "")
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "sandbox", "Content-Length": "25",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAcquireGivesTheFencingToken(t *testing.T) {
	s := start(t, Config{})
	id := s.session("")
	r := s.want(200, "true", "PUT", "/v1/kv/lock?acquire="+id, "me")
	first, err := strconv.ParseUint(r.header.Get("X-Debros-Fencing-Token"), 10, 64)
	if err != nil || first == 0 {
		t.Fatalf("fencing token %q", r.header.Get("X-Debros-Fencing-Token"))
	}
	s.want(200, `"Session":"`+id+`"`, "GET", "/v1/kv/lock", "")
	other := s.session("")
	if r := s.want(200, "false", "PUT", "/v1/kv/lock?acquire="+other, "you"); r.header.Get("X-Debros-Fencing-Token") != "" {
		t.Error("a refused acquire gave a fencing token")
	}
	s.want(200, "true", "PUT", "/v1/kv/lock?release="+id, "me")
	r = s.want(200, "true", "PUT", "/v1/kv/lock?acquire="+other, "you")
	if second, _ := strconv.ParseUint(r.header.Get("X-Debros-Fencing-Token"), 10, 64); second <= first {
		t.Errorf("the fencing token went from %d to %d", first, second)
	}
}

func TestPagingReachesEveryKeyOnce(t *testing.T) {
	s := start(t, Config{})
	for i := range 7 {
		s.put(fmt.Sprintf("p/%d", i), "v")
	}
	var got []string
	token := ""
	for pages := 0; ; pages++ {
		if pages > 4 {
			t.Fatal("the pages do not end")
		}
		r := s.want(200, "", "GET", "/v1/kv/p/?keys&per_page=3&next_token="+token, "")
		var keys []string
		if err := json.Unmarshal([]byte(r.body), &keys); err != nil {
			t.Fatal(err)
		}
		got = append(got, keys...)
		if token = r.header.Get("X-Debros-NextToken"); token == "" {
			break
		}
	}
	if len(got) != 7 || got[0] != "p/0" || got[6] != "p/6" {
		t.Errorf("got %v", got)
	}
	s.want(400, "next_token", "GET", "/v1/kv/p/?keys&per_page=3&next_token=nonsense", "")
}

func TestLongListsAreWholeAndInOrder(t *testing.T) {
	s := start(t, Config{})
	const n = 2*listPageRows + 17
	fill(t, s, n, 10)
	r := s.want(200, "", "GET", "/v1/kv/t/?recurse", "")
	var pairs []structs.KVPair
	if err := json.Unmarshal([]byte(r.body), &pairs); err != nil {
		t.Fatal(err)
	}
	if len(pairs) != n || pairs[0].Key != "t/000000" || pairs[n-1].Key != fmt.Sprintf("t/%06d", n-1) {
		t.Errorf("%d pairs", len(pairs))
	}
	if got := s.b.count("KV.List"); got != 3 {
		t.Errorf("%d pages were fetched, want 3", got)
	}
	if r.header.Get("X-Debros-NextToken") != "" {
		t.Error("a whole list has a next token")
	}
	r = s.want(200, "", "GET", "/v1/kv/t/?recurse&pretty", "")
	if err := json.Unmarshal([]byte(r.body), &pairs); err != nil || len(pairs) != n {
		t.Errorf("pretty: %d pairs, %v", len(pairs), err)
	}
}

// fill writes n keys t/000000… with values of size bytes, many in a transaction.
func fill(t *testing.T, s *harness, n, size int) {
	t.Helper()
	value := []byte(strings.Repeat("v", size))
	for i := 0; i < n; {
		var ops []structs.TxnOp
		for ; i < n && len(ops) < 500; i++ {
			ops = append(ops, structs.TxnOp{KV: &structs.TxnKVOp{
				Verb: structs.KVSet, Pair: structs.KVPair{Key: fmt.Sprintf("t/%06d", i), Value: value, Namespace: "default"},
			}})
		}
		req := &structs.TxnRequest{Ops: ops, WriteOptions: structs.WriteOptions{Namespace: "default"}}
		rep, _, err := s.b.Apply(t.Context(), structs.CommandTxn, req)
		if err != nil || len(rep.(*structs.TxnReply).Errors) > 0 {
			t.Fatal(err, rep)
		}
	}
}

// A write between two pages must not be half seen: while the list fits the bound, it is read again.
func TestAListThatChangesBetweenPagesIsReadAgain(t *testing.T) {
	s := start(t, Config{})
	fill(t, s, listPageRows+5, 1)
	once := false
	s.b.after["KV.List"] = func() {
		if once {
			return
		}
		once = true
		// Two keys change together: one on the page that was read, one on the next.
		ops := []structs.TxnOp{
			{KV: &structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "t/000000", Value: []byte("both"), Namespace: "default"}}},
			{KV: &structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: fmt.Sprintf("t/%06d", listPageRows+2), Value: []byte("both"), Namespace: "default"}}},
		}
		if _, _, err := s.b.Apply(t.Context(), structs.CommandTxn, &structs.TxnRequest{Ops: ops, WriteOptions: structs.WriteOptions{Namespace: "default"}}); err != nil {
			t.Error(err)
		}
	}
	r := s.want(200, "", "GET", "/v1/kv/t/?recurse", "")
	if n := strings.Count(r.body, `"Value":"Ym90aA=="`); n != 2 {
		t.Errorf("%d of the two values that changed together are in the list", n)
	}
}

func TestAListOverTheBoundIsStreamedAndSaysWhetherItChanged(t *testing.T) {
	s := start(t, Config{})
	fill(t, s, 3*listPageRows, 6000) // 18 MB
	res, err := s.c.Get(s.url + "/v1/kv/t/?recurse&stale")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var pairs []json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&pairs); err != nil || len(pairs) != 3*listPageRows {
		t.Fatalf("%d pairs, %v", len(pairs), err)
	}
	io.Copy(io.Discard, res.Body)
	if got, want := res.Trailer.Get(indexEnd), res.Header.Get("X-Consul-Index"); got != want {
		t.Errorf("trailer %q, index %q", got, want)
	}
}

func TestABlockedQuerySleepsUntilTheKeyChanges(t *testing.T) {
	s := start(t, Config{})
	s.put("w", "1")
	index := s.want(200, "", "GET", "/v1/kv/w", "").header.Get("X-Consul-Index")
	done := make(chan reply, 1)
	go func() { done <- s.do("GET", "/v1/kv/w?wait=1m&index="+index, "") }()
	until(t, "the query blocks", func() bool { return s.h.watches.total() == 1 })
	s.put("other", "x")
	s.put("w", "2")
	select {
	case r := <-done:
		if !strings.Contains(r.body, `"Value":"Mg=="`) || r.header.Get("X-Consul-Index") == index {
			t.Errorf("woke with %s at %s", r.body, r.header.Get("X-Consul-Index"))
		}
	case <-time.After(patience):
		t.Fatal("the query was not woken")
	}
	until(t, "the watch is given back", func() bool { return s.h.watches.total() == 0 })
}

func TestReadMetaIsOnEveryRead(t *testing.T) {
	s := start(t, Config{})
	s.put("a", "1")
	for _, path := range []string{"/v1/kv/a", "/v1/kv/?recurse", "/v1/kv/?keys", "/v1/kv/none", "/v1/session/list", "/v1/catalog/nodes", "/v1/namespaces", "/v1/status/leader", "/v1/operator/raft/configuration"} {
		r := s.do("GET", path, "")
		if i, err := strconv.ParseUint(r.header.Get("X-Consul-Index"), 10, 64); err != nil || i == 0 || r.header.Get("X-Debros-Index") != r.header.Get("X-Consul-Index") {
			t.Errorf("%s: index %q and %q", path, r.header.Get("X-Consul-Index"), r.header.Get("X-Debros-Index"))
		}
		if r.header.Get("X-Consul-KnownLeader") != "true" || r.header.Get("X-Consul-LastContact") != "3" {
			t.Errorf("%s: leader %q, contact %q", path, r.header.Get("X-Consul-KnownLeader"), r.header.Get("X-Consul-LastContact"))
		}
	}
	if r := s.do("PUT", "/v1/kv/a", "2"); r.header.Get("X-Consul-Index") == "" {
		t.Error("a write has no index")
	}
}
