package pubsub

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

// logger says what happens when DEBROS_TEST_LOG is set.
var logger = func() *slog.Logger {
	if os.Getenv("DEBROS_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}()

const patience = time.Minute

// node is a host with a bus, without an agent around it.
type node struct {
	*Bus
	host host.Host
	key  ed25519.PrivateKey
}

// newHost is a host on loopback. Every host is a member here: that others do not exist for us is the overlay's work.
func newHost(t testing.TB, key ed25519.PrivateKey) host.Host {
	t.Helper()
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.Identity(k), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(),
		libp2p.ResourceManager(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func startNode(t testing.TB, key ed25519.PrivateKey, epoch uint64) *node {
	t.Helper()
	h := newHost(t, key)
	b, err := Start(Config{Host: h, Key: key, Epoch: epoch, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &node{b, h, key}
}

// cluster is n nodes, each connected to each.
func cluster(t testing.TB, n int) []*node {
	t.Helper()
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = startNode(t, newKey(t), 1)
		for _, o := range nodes[:i] {
			connect(t, nodes[i], o)
		}
	}
	return nodes
}

func connect(t testing.TB, a, b *node) {
	t.Helper()
	if err := a.host.Connect(t.Context(), peer.AddrInfo{ID: b.host.ID(), Addrs: b.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
	for _, x := range [][2]*node{{a, b}, {b, a}} {
		eventually(t, "the nodes know each other", func() bool {
			for _, p := range x[0].peers() {
				if p == x[1].self {
					return true
				}
			}
			return false
		})
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (n *node) sub(t testing.TB, opts structs.SubscribeOptions) *Subscription {
	t.Helper()
	s, err := n.Subscribe(t.Context(), "default", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (n *node) to(t testing.TB, patterns ...string) *Subscription {
	t.Helper()
	return n.sub(t, structs.SubscribeOptions{Patterns: patterns})
}

func (n *node) pub(t testing.TB, topic string, data ...string) {
	t.Helper()
	list := make([]*structs.Message, len(data))
	for i, d := range data {
		list[i] = &structs.Message{Topic: topic, Data: []byte(d)}
	}
	if err := n.Publish(t.Context(), "default", list); err != nil {
		t.Fatal(err)
	}
}

// take waits for n items.
func take(t testing.TB, s *Subscription, n int) (out []structs.MessageItem) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(out) < n {
		items, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("%d of %d items, %v, then: %v", len(out), n, texts(out), err)
		}
		out = append(out, items...)
	}
	return out
}

// texts are what items say, in short.
func texts(items []structs.MessageItem) (out []string) {
	for _, it := range items {
		out = append(out, text(it))
	}
	return out
}

func text(it structs.MessageItem) string {
	switch {
	case it.Message != nil && it.Message.Retained:
		return "last " + string(it.Message.Data)
	case it.Message != nil:
		return string(it.Message.Data)
	case it.Gap != nil:
		return fmt.Sprintf("gap %d-%d", it.Gap.From, it.Gap.To)
	case it.Presence != nil && it.Presence.Joined:
		return "joined " + it.Presence.Pattern
	case it.Presence != nil:
		return "left " + it.Presence.Pattern
	}
	return fmt.Sprintf("overflow %d", it.Overflow)
}

// nothing checks that nothing more comes: what is published after it would come first.
func nothing(t testing.TB, s *Subscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if items, err := s.Next(ctx); err == nil {
		t.Errorf("came too: %v", texts(items))
	}
}
