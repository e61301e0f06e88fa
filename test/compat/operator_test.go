package compat

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func TestOperatorRaft(t *testing.T) {
	client, _ := sharedClient(t)
	config, err := client.Operator().RaftGetConfiguration(nil)
	must(t, err)
	if len(config.Servers) != 1 {
		t.Fatalf("configuration %+v", config)
	}
	s := config.Servers[0]
	if s.ID == "" || s.Node != shared.node || s.Address != shared.server || !s.Leader || !s.Voter || s.ProtocolVersion == "" {
		t.Errorf("server %+v", s)
	}
	if err := client.Operator().RaftRemovePeerByID("nobody", nil); err == nil {
		t.Error("removed an unknown peer")
	}
	if err := client.Operator().RaftRemovePeerByAddress("127.0.0.1:1", nil); err == nil {
		t.Error("removed an unknown address")
	}
	if _, err := client.Operator().RaftLeaderTransfer("", nil); err == nil {
		t.Error("handed leadership to nobody")
	}
}

func TestOperatorAutopilot(t *testing.T) {
	client, _ := sharedClient(t)
	op := client.Operator()
	config, err := op.AutopilotGetConfiguration(nil)
	must(t, err)
	if !config.CleanupDeadServers || config.LastContactThreshold.Duration() != 200*time.Millisecond || config.ServerStabilizationTime.Duration() != 10*time.Second || config.MaxTrailingLogs != 250 {
		t.Errorf("configuration %+v", config)
	}
	config.MaxTrailingLogs = 300
	must(t, op.AutopilotSetConfiguration(config, nil))
	config, err = op.AutopilotGetConfiguration(nil)
	if must(t, err); config.MaxTrailingLogs != 300 || config.ModifyIndex == 0 {
		t.Errorf("after set: %+v", config)
	}
	stale := *config
	stale.ModifyIndex--
	for ok, c := range map[bool]*api.AutopilotConfiguration{false: &stale, true: config} {
		if done, err := op.AutopilotCASConfiguration(c, nil); err != nil || done != ok {
			t.Errorf("cas %d: %v %v", c.ModifyIndex, done, err)
		}
	}
	eventually(t, 2*deadline, "autopilot sees a healthy server", func() bool {
		health, err := op.AutopilotServerHealth(nil)
		must(t, err)
		return health.Healthy && len(health.Servers) == 1 && health.Servers[0].Leader && health.Servers[0].Name == shared.node
	})
	state, err := op.AutopilotState(nil)
	must(t, err)
	if len(state.Servers) != 1 || state.Servers[state.Leader].Status != api.AutopilotServerLeader || len(state.Voters) != 1 {
		t.Errorf("state %+v", state)
	}
}

func TestOperatorKeyring(t *testing.T) {
	key := func() string {
		b := make([]byte, 32)
		rand.Read(b)
		return base64.StdEncoding.EncodeToString(b)
	}
	_, client := startAgent(t, "keyring", "-cluster-key="+key())
	op := client.Operator()
	list := func() *api.KeyringResponse {
		t.Helper()
		rings, err := op.KeyringList(nil)
		must(t, err)
		if len(rings) != 1 || rings[0].NumNodes != 1 || rings[0].Datacenter != "dc1" || rings[0].WAN {
			t.Fatalf("rings %+v", rings)
		}
		return rings[0]
	}
	first := list()
	if len(first.Keys) != 1 || len(first.PrimaryKeys) != 1 {
		t.Fatalf("ring %+v", first)
	}
	next := key()
	must(t, op.KeyringInstall(next, nil))
	must(t, op.KeyringUse(next, nil))
	if r := list(); r.PrimaryKeys[next] != 1 || len(r.Keys) != 2 {
		t.Errorf("after use: %+v", r)
	}
	if err := op.KeyringRemove(next, nil); err == nil {
		t.Error("removed the key in use")
	}
	for old := range first.Keys {
		must(t, op.KeyringRemove(old, nil))
	}
	if r := list(); len(r.Keys) != 1 || r.Keys[next] != 1 {
		t.Errorf("after remove: %+v", r)
	}
}

// Row 15: a restore brings back indexes and held locks, and wakes blocked queries.
func TestSnapshot(t *testing.T) {
	_, client := startAgent(t, "snapshot")
	kv := client.KV()
	session := newSession(t, client, &api.SessionEntry{Name: "holder"})
	put(t, kv, "a", "before")
	_, _, err := kv.Acquire(&api.KVPair{Key: "lock", Value: []byte("held"), Session: session}, nil)
	must(t, err)
	a, lock := get(t, kv, "a"), get(t, kv, "lock")

	in, meta, err := client.Snapshot().Save(nil)
	must(t, err)
	archive, err := io.ReadAll(in)
	must(t, err)
	must(t, in.Close())
	if len(archive) == 0 || meta.LastIndex == 0 {
		t.Fatalf("%d bytes at %d", len(archive), meta.LastIndex)
	}

	changed := put(t, kv, "a", "after")
	put(t, kv, "new", "after")
	_, err = client.Session().Destroy(session, nil)
	must(t, err)
	ch := await(t, watchKey(kv, "a"), changed.ModifyIndex)
	mustSleep(t, ch)

	must(t, client.Snapshot().Restore(nil, bytes.NewReader(archive)))
	if w := mustWake(t, ch); w.pair == nil || string(w.pair.Value) != "before" {
		t.Errorf("woken with %+v", w)
	}
	if got := get(t, kv, "a"); string(got.Value) != "before" || got.ModifyIndex != a.ModifyIndex || got.CreateIndex != a.CreateIndex {
		t.Errorf("restored %+v, was %+v", got, a)
	}
	if got := get(t, kv, "lock"); got.Session != session || got.LockIndex != lock.LockIndex || got.ModifyIndex != lock.ModifyIndex {
		t.Errorf("restored %+v, was %+v", got, lock)
	}
	if s := info(t, client, session); s == nil || s.Name != "holder" {
		t.Errorf("restored session %+v", s)
	}
	if got := get(t, kv, "new"); got != nil {
		t.Errorf("the restore kept %+v", got)
	}
	put(t, kv, "new", "again") // and it goes on
}

func TestSnapshotRestoreRefusesDamage(t *testing.T) {
	_, client := startAgent(t, "damage")
	put(t, client.KV(), "a", "1")
	in, _, err := client.Snapshot().Save(nil)
	must(t, err)
	archive, err := io.ReadAll(in)
	must(t, err)
	put(t, client.KV(), "a", "2")
	flipped := bytes.Clone(archive)
	flipped[len(flipped)/2] ^= 1
	for name, b := range map[string][]byte{"truncated": archive[:len(archive)/2], "flipped": flipped, "empty": nil, "nonsense": []byte(strings.Repeat("x", 1000))} {
		if err := client.Snapshot().Restore(nil, bytes.NewReader(b)); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
	if got := get(t, client.KV(), "a"); string(got.Value) != "2" {
		t.Errorf("a refused restore left %+v", got)
	}
}
