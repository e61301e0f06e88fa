// Package fakeagent answers as an agent does, from a map: enough to test the client and the command line
// against faults that a real agent does not show on demand (no answer, chosen statuses, an index that
// goes back). Only tests import it; what a real agent does is tested with a real one.
package fakeagent

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Agent keeps the index, blocking, lock and session rules that a client depends on. It forgets nothing and checks no
// token. Its fields are read and changed within Set.
type Agent struct {
	mux *http.ServeMux

	mu       sync.Mutex // protects the following
	Index    uint64
	Pairs    map[string]map[string]any // the JSON of each pair
	Sessions map[string]map[string]any
	Spaces   map[string]map[string]any
	changed  chan struct{} // closed and replaced at every change
	Stalled  bool          // answer nothing
	Fail     []int         // statuses to answer next, before anything is done
	Requests []string      // "METHOD path?query" of everything asked
	Archive  string        // what a snapshot is
}

// New starts one on a port of its own. Close the server when done.
func New() (*Agent, *httptest.Server) {
	f := &Agent{
		mux: http.NewServeMux(), Index: 10, Pairs: map[string]map[string]any{}, Sessions: map[string]map[string]any{},
		Spaces: map[string]map[string]any{}, changed: make(chan struct{}), Archive: "not really an archive",
	}
	f.Spaces["default"] = f.Space("default", "", nil)
	f.routes()
	return f, httptest.NewServer(f)
}

func (f *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	stalled, status := f.Stalled, 0
	f.Requests = append(f.Requests, r.Method+" "+r.URL.RequestURI())
	if len(f.Fail) > 0 {
		status, f.Fail = f.Fail[0], f.Fail[1:]
	}
	f.mu.Unlock()
	if stalled {
		<-r.Context().Done()
		return
	}
	if status != 0 {
		http.Error(w, "No cluster leader\nhint: wait", status)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v1/kv/") { // the mux would redirect keys with "//"
		f.kv(w, r, strings.TrimPrefix(r.URL.Path, "/v1/kv/"))
		return
	}
	f.mux.ServeHTTP(w, r)
}

// Set does something to the agent and wakes what is blocked.
func (f *Agent) Set(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// bump makes a change; the lock is held.
func (f *Agent) Bump() uint64 {
	f.Index++
	close(f.changed)
	f.changed = make(chan struct{})
	return f.Index
}

func (f *Agent) reply(w http.ResponseWriter, index uint64, v any) {
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	w.Header().Set("X-Debros-Index", strconv.FormatUint(index, 10))
	w.Header().Set("X-Consul-KnownLeader", "true")
	w.Header().Set("X-Consul-LastContact", "3")
	w.Header().Set("Content-Type", "application/json")
	if v == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	json.NewEncoder(w).Encode(v)
}

func (f *Agent) kv(w http.ResponseWriter, r *http.Request, key string) {
	if strings.Contains(key, "//") || strings.HasPrefix(key, "/") {
		w.Header().Set("Location", "/v1/kv/cleaned")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	switch r.Method {
	case http.MethodGet:
		f.kvGet(w, r, key)
	case http.MethodPut:
		f.kvPut(w, r, key)
	case http.MethodDelete:
		f.kvDelete(w, r, key)
	}
}

// indexOf is the newest index below the prefix, or of the key; the lock is held.
func (f *Agent) indexOf(match func(string) bool) uint64 {
	var newest uint64
	for k, p := range f.Pairs {
		if match(k) {
			newest = max(newest, p["ModifyIndex"].(uint64))
		}
	}
	if newest == 0 {
		newest = f.Index
	}
	return newest
}

func (f *Agent) kvGet(w http.ResponseWriter, r *http.Request, key string) {
	q := r.URL.Query()
	tree := q.Has("recurse") || q.Has("keys") || q.Has("count")
	match := func(k string) bool { return k == key || tree && strings.HasPrefix(k, key) }
	wait, _ := time.ParseDuration(q.Get("wait"))
	if wait == 0 {
		wait = 5 * time.Minute
	}
	after, _ := strconv.ParseUint(q.Get("index"), 10, 64)
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for waited := false; after > 0 && !waited && f.indexOf(match) <= after; {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-timeout.C:
			waited = true
		case <-r.Context().Done():
			waited = true
		}
		f.mu.Lock()
	}
	var keys []string
	for k := range f.Pairs {
		if match(k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	index := f.indexOf(match)
	switch {
	case q.Has("count"):
		f.reply(w, index, map[string]int{"Count": len(keys)})
		return
	case len(keys) == 0:
		f.reply(w, index, nil)
		return
	case q.Has("keys"):
		f.reply(w, index, grouped(keys, key, q.Get("separator")))
		return
	}
	if per, _ := strconv.Atoi(q.Get("per_page")); per > 0 {
		keys = slices.DeleteFunc(keys, func(k string) bool { return k <= q.Get("next_token") })
		if len(keys) > per {
			keys = keys[:per]
			w.Header().Set("X-Debros-NextToken", keys[per-1])
		}
	}
	out := []any{}
	for _, k := range keys {
		out = append(out, f.Pairs[k])
	}
	f.reply(w, index, out)
}

func grouped(keys []string, prefix, sep string) []string {
	out := []string{}
	for _, k := range keys {
		if i := strings.Index(k[len(prefix):], sep); sep != "" && i >= 0 {
			k = k[:len(prefix)+i+len(sep)]
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

func (f *Agent) kvPut(w http.ResponseWriter, r *http.Request, key string) {
	value, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if len(value) > 1000 {
		http.Error(w, "the request body is larger than the limit of 1000 bytes", http.StatusRequestEntityTooLarge)
		return
	}
	q := r.URL.Query()
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.Pairs[key]
	ok := true
	if q.Has("cas") {
		var have uint64
		if old != nil {
			have = old["ModifyIndex"].(uint64)
		}
		ok = q.Get("cas") == strconv.FormatUint(have, 10)
	}
	holder, _ := old["Session"].(string)
	session, releases := q.Get("acquire"), q.Get("release")
	switch {
	case session != "" && f.Sessions[session] == nil:
		http.Error(w, fmt.Sprintf("invalid session %q", session), http.StatusInternalServerError)
		return
	case session != "":
		ok = holder == "" || holder == session
	case releases != "":
		ok = holder == releases
	default:
		session = holder
	}
	if !ok {
		f.reply(w, f.Index, false)
		return
	}
	index := f.Bump()
	p := map[string]any{"Key": key, "Value": value, "Flags": json.Number("0"), "CreateIndex": index, "ModifyIndex": index, "LockIndex": 0}
	if len(value) == 0 {
		p["Value"] = nil
	}
	if fl := q.Get("flags"); fl != "" {
		p["Flags"] = json.Number(fl)
	}
	if old != nil {
		p["CreateIndex"], p["FencingToken"] = old["CreateIndex"], old["FencingToken"]
	}
	if q.Get("acquire") != "" && holder == "" {
		p["FencingToken"] = index
	}
	if p["FencingToken"] == nil {
		delete(p, "FencingToken")
	}
	if session != "" {
		p["Session"] = session
	}
	if ttl, err := time.ParseDuration(q.Get("ttl")); err == nil {
		p["ExpiresAt"] = time.Now().Add(ttl).UnixNano()
	}
	f.Pairs[key] = p
	f.reply(w, index, true)
}

func (f *Agent) kvDelete(w http.ResponseWriter, r *http.Request, key string) {
	q := r.URL.Query()
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.Pairs[key]; q.Has("cas") && p != nil && q.Get("cas") != strconv.FormatUint(p["ModifyIndex"].(uint64), 10) {
		f.reply(w, f.Index, false)
		return
	}
	for k := range f.Pairs {
		if k == key || q.Has("recurse") && strings.HasPrefix(k, key) {
			delete(f.Pairs, k)
		}
	}
	f.reply(w, f.Bump(), true)
}

// endSession ends a session and unlocks its keys; the lock is held.
func (f *Agent) EndSession(id string) {
	delete(f.Sessions, id)
	index := f.Bump()
	for k, p := range f.Pairs {
		if p["Session"] == id {
			n := map[string]any{}
			for name, v := range p {
				n[name] = v
			}
			delete(n, "Session")
			n["ModifyIndex"] = index
			f.Pairs[k] = n
		}
	}
}

// Space is the JSON of a namespace.
func (f *Agent) Space(name, description string, meta map[string]string) map[string]any {
	return map[string]any{"Name": name, "Description": description, "Meta": meta, "CreateIndex": f.Index, "ModifyIndex": f.Index}
}

func (f *Agent) routes() {
	handle := func(pattern string, h func(r *http.Request, body []byte) any) {
		f.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.reply(w, f.Index, h(r, body))
		})
	}
	handle("PUT /v1/session/create", func(_ *http.Request, body []byte) any {
		var in struct{ Name, Node, LockDelay, Behavior, TTL string }
		json.Unmarshal(body, &in)
		b := make([]byte, 16)
		rand.Read(b)
		id := hex.EncodeToString(b)
		delay, err := time.ParseDuration(in.LockDelay)
		if err != nil {
			delay = 15 * time.Second
		}
		index := f.Bump()
		f.Sessions[id] = map[string]any{"ID": id, "Name": in.Name, "Node": "n1", "LockDelay": delay, "Behavior": "release", "TTL": in.TTL, "CreateIndex": index, "ModifyIndex": index}
		return map[string]string{"ID": id}
	})
	handle("PUT /v1/session/destroy/{id}", func(r *http.Request, _ []byte) any { f.EndSession(r.PathValue("id")); return true })
	session := func(r *http.Request, missing any) any {
		if s := f.Sessions[r.PathValue("id")]; s != nil {
			return []any{s}
		}
		return missing
	}
	handle("PUT /v1/session/renew/{id}", func(r *http.Request, _ []byte) any { return session(r, nil) })
	handle("GET /v1/session/info/{id}", func(r *http.Request, _ []byte) any { return session(r, []any{}) })
	all := func(*http.Request, []byte) any {
		out := []any{}
		for _, s := range f.Sessions {
			out = append(out, s)
		}
		return out
	}
	handle("GET /v1/session/list", all)
	handle("GET /v1/session/node/{node}", all)
	put := func(r *http.Request, body []byte) any {
		var in struct {
			Name, Description string
			Meta              map[string]string
		}
		json.Unmarshal(body, &in)
		f.Bump()
		f.Spaces[in.Name] = f.Space(in.Name, in.Description, in.Meta)
		return f.Spaces[in.Name]
	}
	handle("PUT /v1/namespace", put)
	handle("PUT /v1/namespace/{name}", put)
	handle("GET /v1/namespace/{name}", func(r *http.Request, _ []byte) any {
		if s := f.Spaces[r.PathValue("name")]; s != nil {
			return s
		}
		return nil
	})
	handle("DELETE /v1/namespace/{name}", func(r *http.Request, _ []byte) any { delete(f.Spaces, r.PathValue("name")); f.Bump(); return true })
	handle("GET /v1/namespaces", func(*http.Request, []byte) any {
		out := []any{}
		for _, name := range []string{"default", "shop"} {
			if s := f.Spaces[name]; s != nil {
				out = append(out, s)
			}
		}
		return out
	})
	f.mux.HandleFunc("PUT /v1/txn", f.txn)
	f.fixed()
}

// txn does set and check-not-exists.
func (f *Agent) txn(w http.ResponseWriter, r *http.Request) {
	var ops []struct {
		KV struct {
			Verb, Key string
			Value     []byte
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&ops); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	errs, results := []any{}, []any{}
	for i, op := range ops {
		if op.KV.Verb == "check-not-exists" && f.Pairs[op.KV.Key] != nil {
			errs = append(errs, map[string]any{"OpIndex": i, "What": "key " + op.KV.Key + " exists"})
		}
	}
	if len(errs) > 0 {
		w.WriteHeader(http.StatusConflict)
		json.NewEncoder(w).Encode(map[string]any{"Results": nil, "Errors": errs})
		return
	}
	index := f.Bump()
	for _, op := range ops {
		if op.KV.Verb == "set" {
			p := map[string]any{"Key": op.KV.Key, "Value": op.KV.Value, "Flags": json.Number("0"), "CreateIndex": index, "ModifyIndex": index, "LockIndex": 0}
			f.Pairs[op.KV.Key] = p
			results = append(results, map[string]any{"KV": map[string]any{"Key": op.KV.Key, "CreateIndex": index, "ModifyIndex": index}})
		}
	}
	f.reply(w, index, map[string]any{"Results": results, "Errors": nil})
}

// fixed answers what needs no state.
func (f *Agent) fixed() {
	answers := map[string]string{
		"GET /v1/agent/self":                       `{"Config":{"NodeName":"s1","Datacenter":"dc1"},"DebugConfig":{"ClusterKey":"abc","BindAddr":"127.0.0.1"},"Stats":{"raft":{"state":"Leader","term":"2"}}}`,
		"GET /v1/agent/members":                    `[{"Name":"s2","Addr":"10.0.0.2","Port":7946,"Status":4,"Tags":{"role":"server","dc":"dc1","id":"12D3KooWbbbbbbbbbbbbbbbb","build":"0.1.0"}},{"Name":"s1","Addr":"10.0.0.1","Port":7946,"Status":1,"Tags":{"role":"server","dc":"dc1","id":"12D3KooWaaaaaaaaaaaaaaaa","build":"0.1.0"},"ID":"12D3KooWaaaaaaaaaaaaaaaa","Role":"server"}]`,
		"PUT /v1/agent/join/{addr}":                `null`,
		"PUT /v1/agent/leave":                      `null`,
		"PUT /v1/agent/force-leave/{node}":         `null`,
		"PUT /v1/agent/maintenance":                `null`,
		"PUT /v1/agent/reload":                     `{"Changed":["log_level"],"NeedsRestart":["data_dir"]}`,
		"GET /v1/agent/host":                       `{"Host":{"os":"linux"}}`,
		"GET /v1/agent/version":                    `{"HumanVersion":"0.1.0","SHA":"abc"}`,
		"GET /v1/catalog/nodes":                    `[{"ID":"12D3KooWa","Node":"s1","Address":"10.0.0.1","Datacenter":"dc1","CreateIndex":5,"ModifyIndex":5}]`,
		"GET /v1/catalog/node/{name}":              `{"Node":{"ID":"12D3KooWa","Node":"s1","Address":"10.0.0.1"},"Services":{}}`,
		"GET /v1/catalog/datacenters":              `["dc1"]`,
		"GET /v1/coordinate/nodes":                 `[{"Node":"s1","Coord":{"Vec":[0,0],"Height":0.001}},{"Node":"s2","Coord":{"Vec":[0.003,0.004],"Height":0.002}}]`,
		"GET /v1/status/leader":                    `"10.0.0.1:7001"`,
		"GET /v1/status/peers":                     `["10.0.0.1:7001","10.0.0.2:7001"]`,
		"GET /v1/operator/raft/configuration":      `{"Servers":[{"ID":"12D3KooWa","Node":"s1","Address":"10.0.0.1:7001","Leader":true,"Voter":true,"ProtocolVersion":"3","LastIndex":42},{"ID":"12D3KooWb","Node":"s2","Address":"10.0.0.2:7001","Voter":true,"LastIndex":40}],"Index":3}`,
		"DELETE /v1/operator/raft/peer":            `null`,
		"POST /v1/operator/raft/transfer-leader":   `{"Success":true}`,
		"GET /v1/operator/autopilot/configuration": `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":0,"ServerStabilizationTime":"10s","CreateIndex":4,"ModifyIndex":4}`,
		"PUT /v1/operator/autopilot/configuration": `true`,
		"GET /v1/operator/autopilot/state":         `{"Healthy":true,"FailureTolerance":1,"Servers":{"12D3KooWa":{"ID":"12D3KooWa","Name":"s1","Status":"leader","Healthy":true}},"Leader":"12D3KooWa","Voters":["12D3KooWa"]}`,
		"GET /v1/operator/keyring":                 `[{"Datacenter":"dc1","Keys":{"a2V5":2},"PrimaryKeys":{"a2V5":2},"NumNodes":2}]`,
		"POST /v1/operator/keyring":                `null`,
		"PUT /v1/operator/keyring":                 `null`,
		"DELETE /v1/operator/keyring":              `null`,
		"PUT /v1/snapshot":                         `null`,
	}
	for pattern, body := range answers {
		f.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { f.reply(w, 7, json.RawMessage(body)) })
	}
	text := map[string]string{
		"GET /v1/agent/monitor":   "2026-01-01T00:00:00Z INFO agent: started\n",
		"GET /debug/pprof/{name}": "profile",
	}
	for pattern, body := range text {
		f.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
	}
	f.mux.HandleFunc("GET /v1/snapshot", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, f.Archive) })
	f.mux.HandleFunc("GET /v1/agent/metrics", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("format") == "prometheus" {
			io.WriteString(w, "debros_raft_apply 1\n")
			return
		}
		f.reply(w, 1, json.RawMessage(`{"Timestamp":"t","Gauges":[{"Name":"debros.runtime.num_goroutines","Value":12}],"Counters":[],"Samples":[]}`))
	})
	f.mux.HandleFunc("GET /v1/operator/autopilot/health", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"Healthy":false,"FailureTolerance":0,"Servers":[{"ID":"12D3KooWb","Name":"s2","SerfStatus":"failed","LastContact":"3s","Healthy":false}]}`)
	})
}

// Asked is "METHOD path?query" of everything asked so far.
func (f *Agent) Asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.Requests)
}
