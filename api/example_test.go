package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// connect stands for api.New(api.DefaultConfig()): the examples run against a real agent, s1, and each
// has a namespace of its own there.
func connect() (*api.Client, func()) {
	client, err := api.New(api.Config{Address: shared.Node().API.Address(), Namespace: shared.Namespace()})
	if err != nil {
		panic(err)
	}
	return client, client.Close
}

// cluster runs servers s1, s2, … and client agents c1, c2, … for an example that changes them.
func cluster(servers, clients int) (*agenttest.C, func()) {
	s := &agenttest.Scope{}
	return agenttest.Cluster(s, servers, clients), s.Close
}

func ExampleNew() {
	address := shared.Node().API.Address() // such as http://127.0.0.1:5001
	client, err := api.New(api.Config{Address: address, Namespace: "default"})
	if err != nil {
		fmt.Println(err)
		return
	}
	leader, err := client.Status().Leader(context.Background(), nil)
	fmt.Println(leader != "", err)
	// Output: true <nil>
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
	// false [{0 key "a" exists}] <nil>
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
	here, _, _ := s.Node(ctx, "s1", nil)
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
	id, _, _ := client.Session().Create(ctx, &api.SessionEntry{TTL: "10s"}, nil)
	client.Session().Destroy(ctx, id, nil) // somebody ends it
	// Renews at a third of the time given, which may be less than the TTL but not more.
	err := client.Session().RenewPeriodic(ctx, id, time.Second, nil)
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
	fmt.Println(n.Description, all[0].Name, err)
	// Output: the shop default <nil>
}

func ExampleClient_Agent() {
	agents, stop := cluster(1, 1) // s1, a server, and c1, a client
	defer stop()
	ctx, a := context.Background(), agents.Servers[0].API.Agent()
	fmt.Println(a.Join(ctx, agents.Clients[0].GossipAddr()))
	members, _ := a.Members(ctx, nil)
	for _, m := range members {
		fmt.Println(m.Name, m.Status, m.Role)
	}
	self, _ := a.Self(ctx)
	version, _ := a.Version(ctx)
	fmt.Println(self["Config"]["NodeName"], version.HumanVersion != "")
	host, _ := a.Host(ctx)
	metrics, _ := a.Metrics(ctx)
	fmt.Println(len(host) > 0, len(metrics.Gauges) > 0)
	report, _ := a.Reload(ctx) // nothing was changed in its files
	fmt.Println(report.Changed, report.NeedsRestart)
	fmt.Println(a.Maintenance(ctx, true, "a new disk"), a.Maintenance(ctx, false, ""))
	fmt.Println(agents.Clients[0].API.Agent().Leave(ctx, false))
	fmt.Println(a.ForceLeave(ctx, "c1", true)) // forgotten at once
	// Output:
	// <nil>
	// c1 alive client
	// s1 alive server
	// s1 true
	// true true
	// [] []
	// <nil> <nil>
	// <nil>
	// <nil>
}

func ExampleAgent_Monitor() {
	client, stop := connect()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // the stream does not end by itself
	log, err := client.Agent().Monitor(ctx, "info", false)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	line, err := bufio.NewReader(log).ReadString('\n') // what was logged before comes first
	fmt.Println(strings.Contains(line, "INFO"), err)
	// Output: true <nil>
}

func ExampleAgent_Profile() {
	client, stop := connect()
	defer stop()
	heap, err := client.Agent().Profile(context.Background(), "heap", 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer heap.Close()
	data, err := io.ReadAll(heap) // for "go tool pprof"
	fmt.Println(len(data) > 0, err)
	// Output: true <nil>
}

func ExampleAgent_PrometheusMetrics() {
	client, stop := connect()
	defer stop()
	metrics, err := client.Agent().PrometheusMetrics(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer metrics.Close()
	text, err := io.ReadAll(metrics)
	fmt.Println(strings.Contains(string(text), "debros_raft_apply"), err)
	// Output: true <nil>
}

func ExampleClient_Catalog() {
	client, stop := connect()
	defer stop()
	ctx, c := context.Background(), client.Catalog()
	nodes, _, _ := c.Nodes(ctx, nil)
	node, _, _ := c.Node(ctx, "s1", nil)
	dcs, _ := c.Datacenters(ctx)
	fmt.Println(nodes[0].Node, node.Address, dcs)
	// Output: s1 127.0.0.1 [dc1]
}

func ExampleClient_Coordinates() {
	client, stop := connect()
	defer stop()
	all, _, err := client.Coordinates().Nodes(context.Background(), nil)
	fmt.Println(all[0].Node, all[0].Coord.Distance(all[0].Coord) < time.Millisecond, err)
	// Output: s1 true <nil>
}

func ExampleClient_Network() {
	client, stop := connect()
	defer stop()
	peers, err := client.Network().Peers(context.Background())
	// The agent of this example runs without the overlay.
	fmt.Println(len(peers), errors.Is(err, api.ErrUnsupported))
	// Output: 0 true
}

func ExampleClient_Status() {
	client, stop := connect()
	defer stop()
	leader, _ := client.Status().Leader(context.Background(), nil)
	peers, _ := client.Status().Peers(context.Background(), nil)
	fmt.Println(len(peers), peers[0] == leader)
	// Output: 1 true
}

func ExampleClient_Operator() {
	client, stop := connect()
	defer stop()
	ctx, op := context.Background(), client.Operator()
	cfg, _ := op.AutopilotConfig(ctx, nil)
	cfg.ServerStabilizationTime = api.Duration(20 * time.Second)
	ok, _ := op.CASAutopilotConfig(ctx, cfg, nil)
	fmt.Println(ok, op.SetAutopilotConfig(ctx, cfg, nil))
	health, _ := op.AutopilotHealth(ctx, nil)
	state, _ := op.AutopilotState(ctx, nil)
	fmt.Println(health.Healthy, state.Leader == health.Servers[0].ID)
	// Output:
	// true <nil>
	// true true
}

func ExampleOperator_RaftConfiguration() {
	servers, stop := cluster(3, 0)
	defer stop()
	ctx, op := context.Background(), servers.Servers[0].API.Operator()
	raft, _ := op.RaftConfiguration(ctx, nil)
	var followers []*api.RaftServer
	for _, s := range raft.Servers {
		if !s.Leader {
			followers = append(followers, s)
		}
	}
	fmt.Println(op.RaftTransferLeader(ctx, followers[0].ID, nil)) // "": to any of them
	fmt.Println(op.RaftRemovePeer(ctx, followers[1].ID, nil))
	err := op.RaftRemovePeerByAddress(ctx, "10.0.0.9:7001", nil) // where no server is
	fmt.Println(errors.Is(err, api.ErrNotFound))
	// Output:
	// <nil>
	// <nil>
	// true
}

func ExampleOperator_KeyringInstall() {
	agents, stop := cluster(1, 1)
	defer stop()
	ctx, op := context.Background(), agents.Servers[0].API.Operator()
	rings, _ := op.KeyringList(ctx, nil)
	var old string
	for key := range rings[0].PrimaryKeys {
		old = key
	}
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)) // of crypto/rand, in real life
	fmt.Println(op.KeyringInstall(ctx, key), op.KeyringUse(ctx, key), op.KeyringRemove(ctx, old))
	rings, _ = op.KeyringList(ctx, nil)
	fmt.Println(rings[0].NumNodes, rings[0].PrimaryKeys[key])
	// Output:
	// <nil> <nil> <nil>
	// 2 2
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
	_, err = s.Restore(ctx, bytes.NewReader(data), nil)
	fmt.Println(err)
	// Output: <nil>
}

func ExampleError() {
	client, stop := connect()
	defer stop()
	_, err := client.KV().Put(context.Background(), &api.KVPair{Key: "big", Value: make([]byte, 1<<20)}, nil)
	fmt.Println(errors.Is(err, api.ErrTooLarge))
	var e *api.Error
	if errors.As(err, &e) {
		fmt.Println(e.Kind, e.Status)
	}
	// Output:
	// true
	// too_large 413
}
