package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/fakeagent"
)

// connect stands for api.New(api.DefaultConfig()): the examples run against an agent in the test.
func connect() (*api.Client, func()) {
	_, server := fakeagent.New()
	client, err := api.New(api.Config{Address: server.URL})
	if err != nil {
		panic(err)
	}
	return client, func() { client.Close(); server.CloseClientConnections(); server.Close() }
}

func ExampleNew() {
	_, server := fakeagent.New() // an agent
	defer server.Close()
	client, err := api.New(api.Config{Address: server.URL, Namespace: "default"})
	if err != nil {
		fmt.Println(err)
		return
	}
	leader, err := client.Status().Leader(context.Background(), nil)
	fmt.Println(leader, err)
	// Output: 10.0.0.1:7001 <nil>
}

func ExampleDefaultConfig() {
	cfg := api.DefaultConfig() // DEBROS_HTTP_ADDR, DEBROS_HTTP_TOKEN, …
	cfg.Address = "https://agent.example:5001"
	client, err := api.New(cfg)
	fmt.Println(client.Address(), err)
	// Output: https://agent.example:5001 <nil>
}

func ExampleClient_KV() {
	client, stop := connect()
	defer stop()
	ctx, kv := context.Background(), client.KV()

	w, err := kv.Put(ctx, &api.KVPair{Key: "config/colour", Value: []byte("blue")}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	// On any server, see at least that write.
	p, _, err := kv.Get(ctx, "config/colour", &api.QueryOptions{MinIndex: w.Index})
	fmt.Printf("%s %v\n", p.Value, err)
	missing, _, err := kv.Get(ctx, "config/none", nil)
	fmt.Println(missing == nil, err)
	found, _, _ := kv.Exists(ctx, "config/colour", nil)
	n, _, _ := kv.Count(ctx, "config/", nil)
	fmt.Println(found, n)
	// Output:
	// blue <nil>
	// true <nil>
	// true 1
}

func ExampleKV_CAS() {
	client, stop := connect()
	defer stop()
	ctx, kv := context.Background(), client.KV()
	// ModifyIndex 0: only if the key does not exist.
	made, _, _ := kv.CAS(ctx, &api.KVPair{Key: "counter", Value: []byte("1")}, nil)
	p, _, _ := kv.Get(ctx, "counter", nil)
	p.Value = []byte("2")
	changed, _, _ := kv.CAS(ctx, p, nil)
	again, _, _ := kv.CAS(ctx, p, nil) // p.ModifyIndex is old by now
	gone, _, _ := kv.DeleteCAS(ctx, p, nil)
	fmt.Println(made, changed, again, gone)
	// Output: true true false false
}

func ExampleKV_List() {
	client, stop := connect()
	defer stop()
	ctx, kv := context.Background(), client.KV()
	for _, k := range []string{"a/1", "a/2", "a/b/1", "c"} {
		kv.Put(ctx, &api.KVPair{Key: k, Value: []byte("v")}, nil)
	}
	pairs, _, _ := kv.List(ctx, "a/", nil)
	keys, _, _ := kv.Keys(ctx, "a/", "/", nil)
	fmt.Println(len(pairs), keys)
	kv.Delete(ctx, "c", nil)
	kv.DeleteTree(ctx, "a/b/", nil)
	keys, _, _ = kv.Keys(ctx, "", "", nil)
	fmt.Println(keys)
	// Output:
	// 3 [a/1 a/2 a/b/]
	// [a/1 a/2]
}

func ExampleKV_Pairs() {
	client, stop := connect()
	defer stop()
	ctx, kv := context.Background(), client.KV()
	for i := range 5 {
		kv.Put(ctx, &api.KVPair{Key: fmt.Sprintf("n/%d", i)}, nil)
	}
	for p, err := range kv.Pairs(ctx, "n/", &api.QueryOptions{PerPage: 2}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(p.Key, " ")
	}
	// Output: n/0 n/1 n/2 n/3 n/4
}

func ExampleKV_Watch() {
	client, stop := connect()
	defer stop()
	ctx, kv := context.Background(), client.KV()
	for p, err := range kv.Watch(ctx, "flag", nil) {
		switch {
		case err != nil: // go on to try again, or return
			fmt.Println(err)
			return
		case p == nil:
			fmt.Println("missing")
			kv.Put(ctx, &api.KVPair{Key: "flag", Value: []byte("on")}, nil)
		default:
			fmt.Printf("%s\n", p.Value)
			return
		}
	}
	// Output:
	// missing
	// on
}

func ExampleKV_WatchPrefix() {
	client, stop := connect()
	defer stop()
	ctx, kv := context.Background(), client.KV()
	for pairs, err := range kv.WatchPrefix(ctx, "jobs/", nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(pairs))
		if len(pairs) == 1 {
			return
		}
		kv.Put(ctx, &api.KVPair{Key: "jobs/1"}, nil)
	}
	// Output:
	// 0
	// 1
}

func ExampleKV_Acquire() {
	client, stop := connect()
	defer stop()
	ctx, kv := context.Background(), client.KV()
	id, _, _ := client.Session().Create(ctx, &api.SessionEntry{TTL: "15s"}, nil)
	ok, _, err := kv.Acquire(ctx, &api.KVPair{Key: "leader", Value: []byte("me"), Session: id}, nil)
	fmt.Println(ok, err)
	ok, _, err = kv.Release(ctx, &api.KVPair{Key: "leader", Session: id}, nil)
	fmt.Println(ok, err)
	// Output:
	// true <nil>
	// true <nil>
}

func ExampleClient_Txn() {
	client, stop := connect()
	defer stop()
	ops := []api.TxnOp{
		{KV: &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: "a"}},
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "a", Value: []byte("1")}},
	}
	for range 2 {
		ok, reply, err := client.Txn(context.Background(), ops, nil)
		fmt.Println(ok, reply.Errors, err)
	}
	// Output:
	// true [] <nil>
	// false [{0 key a exists}] <nil>
}

func ExampleClient_Session() {
	client, stop := connect()
	defer stop()
	ctx, s := context.Background(), client.Session()
	id, _, err := s.Create(ctx, &api.SessionEntry{Name: "worker", TTL: "30s", LockDelay: api.NoLockDelay}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	e, _, _ := s.Renew(ctx, id, nil)
	fmt.Println(e.Name, e.TTL, e.LockDelay)
	all, _, _ := s.List(ctx, nil)
	here, _, _ := s.Node(ctx, "n1", nil)
	s.Destroy(ctx, id, nil)
	e, _, _ = s.Info(ctx, id, nil)
	fmt.Println(len(all), len(here), e == nil)
	// Output:
	// worker 30s 0s
	// 1 1 true
}

func ExampleSession_RenewPeriodic() {
	client, stop := connect()
	defer stop()
	ctx := context.Background()
	id, _, _ := client.Session().Create(ctx, &api.SessionEntry{TTL: "50ms"}, nil) // real servers: 10s or more
	client.Session().Destroy(ctx, id, nil)                                        // somebody ends it
	err := client.Session().RenewPeriodic(ctx, id, 50*time.Millisecond, nil)
	fmt.Println(errors.Is(err, api.ErrNotFound))
	// Output: true
}

func ExampleClient_Lock() {
	client, stop := connect()
	defer stop()
	ctx := context.Background()
	lock := client.Lock("jobs/nightly", &api.LockOptions{TTL: 15 * time.Second})
	lost, fencing, err := lock.Lock(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lock.Destroy(ctx)
	defer lock.Unlock(ctx)
	fmt.Println("token", fencing > 0) // give it to whatever the work writes to
	_, _, err = client.Lock("jobs/nightly", nil).TryLock(ctx)
	fmt.Println(errors.Is(err, api.ErrLockTaken))
	select {
	case <-lost:
		return // stop at once: someone else may hold it
	default:
		fmt.Println("working")
	}
	// Output:
	// token true
	// true
	// working
}

func ExampleClient_Semaphore() {
	client, stop := connect()
	defer stop()
	ctx := context.Background()
	places := func() *api.Semaphore { return client.Semaphore("jobs/crawl", 2, nil) }
	a, b, c := places(), places(), places()
	_, _, err1 := a.Lock(ctx)
	_, _, err2 := b.Lock(ctx)
	_, _, err3 := c.TryLock(ctx)
	fmt.Println(err1, err2, errors.Is(err3, api.ErrLockTaken))
	a.Unlock(ctx)
	_, _, err3 = c.TryLock(ctx)
	fmt.Println(err3)
	b.Unlock(ctx)
	c.Unlock(ctx)
	// Output:
	// <nil> <nil> true
	// <nil>
}

func ExampleClient_Namespaces() {
	client, stop := connect()
	defer stop()
	ctx, ns := context.Background(), client.Namespaces()
	ns.Create(ctx, &api.Namespace{Name: "shop", Description: "the web shop"}, nil)
	ns.Update(ctx, &api.Namespace{Name: "shop", Description: "the shop"}, nil)
	n, _, _ := ns.Read(ctx, "shop", nil)
	all, _, _ := ns.List(ctx, nil)
	_, err := ns.Delete(ctx, "shop", nil)
	fmt.Println(n.Description, len(all), err)
	// Output: the shop 2 <nil>
}

func ExampleClient_Agent() {
	client, stop := connect()
	defer stop()
	ctx, a := context.Background(), client.Agent()
	members, _ := a.Members(ctx, nil)
	for _, m := range members {
		fmt.Println(m.Name, m.Status, m.Role)
	}
	self, _ := a.Self(ctx)
	version, _ := a.Version(ctx)
	fmt.Println(self["Config"]["NodeName"], version.HumanVersion)
	fmt.Println(a.Join(ctx, "10.0.0.3"), a.ForceLeave(ctx, "s2", true), a.Maintenance(ctx, true, "disk"), a.Leave(ctx, false))
	report, _ := a.Reload(ctx)
	fmt.Println(report.Changed, report.NeedsRestart)
	host, _ := a.Host(ctx)
	metrics, _ := a.Metrics(ctx)
	fmt.Println(len(host), metrics.Gauges[0].Value)
	// Output:
	// s2 failed server
	// s1 alive server
	// s1 0.1.0
	// <nil> <nil> <nil> <nil>
	// [log_level] [data_dir]
	// 1 12
}

func ExampleAgent_Monitor() {
	client, stop := connect()
	defer stop()
	log, err := client.Agent().Monitor(context.Background(), "info", false)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	line, _ := io.ReadAll(log) // a real one does not end by itself
	fmt.Print(string(line))
	prom, _ := client.Agent().PrometheusMetrics(context.Background())
	text, _ := io.ReadAll(prom)
	prom.Close()
	heap, _ := client.Agent().Profile(context.Background(), "heap", 0)
	heap.Close()
	fmt.Print(string(text))
	// Output:
	// 2026-01-01T00:00:00Z INFO agent: started
	// debros_raft_apply 1
}

func ExampleClient_Catalog() {
	client, stop := connect()
	defer stop()
	ctx, c := context.Background(), client.Catalog()
	nodes, _, _ := c.Nodes(ctx, nil)
	node, _, _ := c.Node(ctx, "s1", nil)
	dcs, _ := c.Datacenters(ctx)
	fmt.Println(nodes[0].Node, node.Address, dcs)
	// Output: s1 10.0.0.1 [dc1]
}

func ExampleClient_Coordinates() {
	client, stop := connect()
	defer stop()
	all, _, _ := client.Coordinates().Nodes(context.Background(), nil)
	fmt.Println(all[0].Coord.Distance(all[1].Coord))
	// Output: 8ms
}

func ExampleClient_Status() {
	client, stop := connect()
	defer stop()
	leader, _ := client.Status().Leader(context.Background(), nil)
	peers, _ := client.Status().Peers(context.Background(), nil)
	fmt.Println(leader, peers)
	// Output: 10.0.0.1:7001 [10.0.0.1:7001 10.0.0.2:7001]
}

func ExampleClient_Operator() {
	client, stop := connect()
	defer stop()
	ctx, op := context.Background(), client.Operator()
	raft, _ := op.RaftConfiguration(ctx, nil)
	fmt.Println(raft.Servers[0].Node, raft.Servers[0].Leader)
	fmt.Println(op.RaftTransferLeader(ctx, "", nil), op.RaftRemovePeer(ctx, "12D3KooWb", nil), op.RaftRemovePeerByAddress(ctx, "10.0.0.2:7001", nil))
	cfg, _ := op.AutopilotConfig(ctx, nil)
	cfg.ServerStabilizationTime = api.Duration(20 * time.Second)
	ok, _ := op.CASAutopilotConfig(ctx, cfg, nil)
	fmt.Println(ok, op.SetAutopilotConfig(ctx, cfg, nil))
	health, _ := op.AutopilotHealth(ctx, nil)
	state, _ := op.AutopilotState(ctx, nil)
	fmt.Println(health.Healthy, health.Servers[0].LastContact, state.Leader)
	rings, _ := op.KeyringList(ctx, nil)
	fmt.Println(rings[0].NumNodes, op.KeyringInstall(ctx, "a2V5"), op.KeyringUse(ctx, "a2V5"), op.KeyringRemove(ctx, "b2xk"))
	// Output:
	// s1 true
	// <nil> <nil> <nil>
	// true <nil>
	// false 3s 12D3KooWa
	// 2 <nil> <nil> <nil>
}

func ExampleClient_Snapshot() {
	client, stop := connect()
	defer stop()
	ctx, s := context.Background(), client.Snapshot()
	archive, _, err := s.Save(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	data, _ := io.ReadAll(archive) // into a file, in real life
	archive.Close()
	_, err = s.Restore(ctx, strings.NewReader(string(data)), nil)
	fmt.Println(err)
	// Output: <nil>
}

func ExampleError() {
	client, stop := connect()
	defer stop()
	_, err := client.KV().Put(context.Background(), &api.KVPair{Key: "big", Value: make([]byte, 2000)}, nil)
	fmt.Println(errors.Is(err, api.ErrTooLarge))
	var e *api.Error
	if errors.As(err, &e) {
		fmt.Println(e.Kind, e.Status)
	}
	// Output:
	// true
	// too_large 413
}
