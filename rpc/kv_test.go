package rpc

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/debros/debros/structs"
)

func TestKVWritesAndReads(t *testing.T) {
	b := newTestBackend(t)
	put := mustAsk[structs.KVReply](t, b, "KV.Apply", &structs.KVRequest{
		Op: structs.KVSet, KV: structs.KVPair{Key: "a/b", Value: []byte("v"), Flags: 7, LockIndex: 99, CreateIndex: 5, FencingToken: 3, ExpiresAt: 1},
	})
	if !put.OK || put.Index == 0 {
		t.Fatalf("put: %+v", put)
	}
	got := mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: "a/b"})
	if e := got.Entry; e == nil || string(e.Value) != "v" || e.Flags != 7 || e.CreateIndex != put.Index || e.ModifyIndex != put.Index ||
		e.LockIndex != 0 || e.FencingToken != 0 || e.ExpiresAt != 0 || e.Namespace != "default" {
		t.Errorf("get: %+v, want the pair with nothing that the store alone may set", got.Entry)
	}
	if got.Index != put.Index {
		t.Errorf("index %d, want %d", got.Index, put.Index)
	}
	cas := mustAsk[structs.KVReply](t, b, "KV.Apply", &structs.KVRequest{Op: structs.KVCAS, KV: structs.KVPair{Key: "a/b", ModifyIndex: 1}})
	if cas.OK || cas.Index == 0 {
		t.Errorf("cas with a wrong index: %+v", cas)
	}
	if n := mustAsk[structs.KVCountReply](t, b, "KV.Count", &structs.KVListRequest{Prefix: "a/"}).Count; n != 1 {
		t.Errorf("count %d, want 1", n)
	}
	mustAsk[structs.KVReply](t, b, "KV.Apply", &structs.KVRequest{Op: structs.KVDeleteTree})
	missing := mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: "a/b"})
	if missing.Entry != nil || missing.Index <= put.Index {
		t.Errorf("after the tree was deleted: %+v at %d", missing.Entry, missing.Index)
	}
}

func TestNamespacesAreApart(t *testing.T) {
	b := newTestBackend(t)
	mustAsk[structs.NamespaceReply](t, b, "Namespace.Apply", &structs.NamespaceRequest{
		Op: structs.NamespaceCreate, Namespace: structs.NamespaceInfo{Name: "team"},
	})
	in := structs.WriteOptions{Namespace: "team"}
	mustAsk[structs.KVReply](t, b, "KV.Apply", &structs.KVRequest{WriteOptions: in, Op: structs.KVSet, KV: structs.KVPair{Key: "a", Namespace: "default"}})
	if mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: "a"}).Entry != nil {
		t.Error("a key of namespace team is in namespace default")
	}
	got := mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: "a", QueryOptions: structs.QueryOptions{Namespace: "team"}})
	if got.Entry == nil || got.Entry.Namespace != "team" {
		t.Errorf("got %+v", got.Entry)
	}
	_, err := ask[structs.KVReply](context.Background(), b, "KV.Apply", &structs.KVRequest{
		WriteOptions: structs.WriteOptions{Namespace: "nobody"}, Op: structs.KVSet, KV: structs.KVPair{Key: "a"},
	})
	wantKind(t, err, structs.KindNotFound)
}

func TestBadKVWritesAreRefusedBeforeTheLog(t *testing.T) {
	b := newTestBackend(t)
	b.limits.ValueBytesMax = 100
	big := make([]byte, 101)
	for name, c := range map[string]struct {
		req  structs.KVRequest
		want structs.Kind
	}{
		"no key":                 {structs.KVRequest{Op: structs.KVSet}, structs.KindInvalid},
		"nul in the key":         {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a\x00b"}}, structs.KindInvalid},
		"newline in the key":     {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a\nb"}}, structs.KindInvalid},
		"delete in the key":      {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a\x7f"}}, structs.KindInvalid},
		"invalid UTF-8":          {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a\xff"}}, structs.KindInvalid},
		"line separator":         {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a\u2028b"}}, structs.KindInvalid},
		"64 KiB key":             {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: strings.Repeat("k", 64<<10)}}, structs.KindTooLarge},
		"key one too long":       {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: strings.Repeat("k", structs.KeyBytesMax+1)}}, structs.KindTooLarge},
		"value one too long":     {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a", Value: big}}, structs.KindTooLarge},
		"no verb":                {structs.KVRequest{KV: structs.KVPair{Key: "a"}}, structs.KindInvalid},
		"verb of a transaction":  {structs.KVRequest{Op: structs.KVGet, KV: structs.KVPair{Key: "a"}}, structs.KindInvalid},
		"unknown verb":           {structs.KVRequest{Op: "conquer", KV: structs.KVPair{Key: "a"}}, structs.KindInvalid},
		"lock without a session": {structs.KVRequest{Op: structs.KVLock, KV: structs.KVPair{Key: "a"}}, structs.KindInvalid},
		"unlock without session": {structs.KVRequest{Op: structs.KVUnlock, KV: structs.KVPair{Key: "a"}}, structs.KindInvalid},
		"absurd session":         {structs.KVRequest{Op: structs.KVLock, KV: structs.KVPair{Key: "a", Session: strings.Repeat("s", 1000)}}, structs.KindInvalid},
		"negative ttl":           {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a"}, TTL: -1}, structs.KindInvalid},
		"ttl beyond time":        {structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a"}, TTL: 1<<63 - 1}, structs.KindInvalid},
		"ttl of a delete":        {structs.KVRequest{Op: structs.KVDelete, KV: structs.KVPair{Key: "a"}, TTL: int64(time.Hour)}, structs.KindInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			b.applied = nil
			_, err := ask[structs.KVReply](context.Background(), b, "KV.Apply", &c.req)
			wantKind(t, err, c.want)
			if len(b.applied) != 0 {
				t.Error("it was proposed all the same")
			}
		})
	}
}

func TestGoodKeysAreAccepted(t *testing.T) {
	b := newTestBackend(t)
	b.limits.ValueBytesMax = 100
	for _, key := range []string{"a", " ", "/", "a//b", "../a", "%2e%2e", "ключ/鍵/🔑", "\ufffd", strings.Repeat("k", structs.KeyBytesMax)} {
		mustAsk[structs.KVReply](t, b, "KV.Apply", &structs.KVRequest{
			Op: structs.KVSet, KV: structs.KVPair{Key: key, Value: make([]byte, 100)}, TTL: int64(keyTTLMax),
		})
		got := mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: key}).Entry
		if got == nil || got.Key != key || got.ExpiresAt <= time.Now().UnixNano() {
			t.Errorf("key %.20q: got %+v", key, got)
		}
	}
}

func TestLimitsAreNamedInTheMessage(t *testing.T) {
	b := newTestBackend(t)
	b.limits = Limits{ValueBytesMax: 12345, TxnOpsMax: 67, TxnBytesMax: 8901}
	ops := func(n, size int) *structs.TxnRequest {
		r := &structs.TxnRequest{}
		for range n {
			r.Ops = append(r.Ops, structs.TxnOp{KV: &structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "a", Value: make([]byte, size)}}})
		}
		return r
	}
	for name, c := range map[string]struct {
		method, limit string
		req           any
	}{
		"value":       {"KV.Apply", "12345", &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a", Value: make([]byte, 12346)}}},
		"key":         {"KV.Get", "8192", &structs.KeyRequest{Key: strings.Repeat("a", 8193)}},
		"operations":  {"Txn.Apply", "67", ops(68, 1)},
		"transaction": {"Txn.Apply", "8901", ops(10, 900)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask[struct{}](context.Background(), b, c.method, c.req)
			wantKind(t, err, structs.KindTooLarge)
			if !strings.Contains(err.Error(), c.limit) {
				t.Errorf("the limit %s is not in %q", c.limit, err)
			}
		})
	}
}

func TestListInputIsChecked(t *testing.T) {
	b := newTestBackend(t)
	for name, c := range map[string]struct {
		method string
		req    structs.KVListRequest
		want   structs.Kind
	}{
		"prefix does not print":    {"KV.List", structs.KVListRequest{Prefix: "a\x01"}, structs.KindInvalid},
		"prefix too long":          {"KV.Count", structs.KVListRequest{Prefix: strings.Repeat("a", 9000)}, structs.KindTooLarge},
		"separator does not print": {"KV.Keys", structs.KVListRequest{Separator: "\x00"}, structs.KindInvalid},
		"separator too long":       {"KV.Keys", structs.KVListRequest{Separator: strings.Repeat("/", 300)}, structs.KindInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask[struct{}](context.Background(), b, c.method, &c.req)
			wantKind(t, err, c.want)
		})
	}
}

// TestMessagesDoNotRepeatWhatIsHuge: an error of 64 KiB would go to a log and a terminal.
func TestMessagesDoNotRepeatWhatIsHuge(t *testing.T) {
	b := newTestBackend(t)
	huge := strings.Repeat("x", 64<<10)
	b.may = denyAll{}
	_, err := ask[struct{}](context.Background(), b, "KV.Get", &structs.KeyRequest{Key: huge})
	wantKind(t, err, structs.KindDenied)
	if len(err.Error()) > 300 {
		t.Errorf("the message has %d bytes", len(err.Error()))
	}
}

func FuzzKey(f *testing.F) {
	for _, s := range []string{"", "a", "../a", "a//b", "a\x00", "a\n", "\xff\xfe", "ключ", "\u200b", strings.Repeat("k", structs.KeyBytesMax+1)} {
		f.Add(s)
	}
	b := newTestBackend(f)
	f.Fuzz(func(t *testing.T, key string) {
		_, err := ask[structs.KVReply](context.Background(), b, "KV.Apply", &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: key, Value: []byte(key)}})
		if err != nil {
			if k := structs.KindOf(err); k != structs.KindInvalid && k != structs.KindTooLarge {
				t.Fatalf("key %q: kind %s: %v", key, k, err)
			}
			if checkKey(key) == nil && len(key) > 0 {
				t.Fatalf("key %q was refused for another reason than itself: %v", key, err)
			}
			return
		}
		if !utf8.ValidString(key) || key == "" || len(key) > structs.KeyBytesMax || strings.ContainsAny(key, "\x00\n\r\t\x1b\x7f") {
			t.Fatalf("key %q was accepted", key)
		}
		got := mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: key}).Entry
		if got == nil || got.Key != key {
			t.Fatalf("key %q: read back %+v", key, got)
		}
		for _, e := range mustAsk[structs.KVListReply](t, b, "KV.List", &structs.KVListRequest{Prefix: key}).Entries {
			if !strings.HasPrefix(e.Key, key) {
				t.Fatalf("prefix %q lists %q", key, e.Key)
			}
		}
		mustAsk[structs.KVReply](t, b, "KV.Apply", &structs.KVRequest{Op: structs.KVDelete, KV: structs.KVPair{Key: key}})
	})
}
