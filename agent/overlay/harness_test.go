package overlay

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/debros/debros/internal/creds"
)

// patience is how long a test waits for what should take a second.
const patience = 30 * time.Second

func secretOf(word string) []byte {
	s := sha256.Sum256([]byte(word))
	return s[:]
}

// start runs an overlay on loopback that ends with the test.
func start(t *testing.T, change ...func(*Config)) *Overlay {
	t.Helper()
	o, err := tryStart(t, change...)
	if err != nil {
		t.Fatalf("start overlay: %v", err)
	}
	return o
}

func tryStart(t *testing.T, change ...func(*Config)) (*Overlay, error) {
	t.Helper()
	key, err := creds.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	port, err := FreePort("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("DEBROS_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("self", key.ID()[44:])
	}
	cfg := Config{
		Key: key.Private(), Secret: secretOf("one"), Listen: ListenAddrs(netip.MustParseAddr("127.0.0.1"), port),
		Server: true, DHT: true, DiscoveryInterval: 400 * time.Millisecond, PingInterval: 400 * time.Millisecond, RetryInterval: 400 * time.Millisecond,
		Logger: log,
	}
	for _, f := range change {
		f(&cfg)
	}
	o, err := Start(cfg)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Errorf("close overlay: %v", err)
		}
	})
	return o, nil
}

// knows makes others bootstrap peers.
func knows(others ...*Overlay) func(*Config) {
	return func(c *Config) {
		for _, o := range others {
			c.Bootstrap = append(c.Bootstrap, o.fullAddrs()...)
		}
	}
}

func withSecret(word string) func(*Config) {
	return func(c *Config) { c.Secret = secretOf(word) }
}

// fullAddrs end in /p2p/<id>.
func (o *Overlay) fullAddrs() []ma.Multiaddr {
	addrs, _ := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: o.ID(), Addrs: o.cfg.Listen})
	return addrs
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", d, what)
		}
	}
}

func ctxOf(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// whole waits until each of them has all others as members.
func whole(t *testing.T, all ...*Overlay) {
	t.Helper()
	for i, o := range all {
		eventually(t, "all to be members", func() bool {
			for j, p := range all {
				if i != j && !o.IsMember(p.ID()) {
					return false
				}
			}
			return true
		})
	}
}

func (c *Config) id() peer.ID {
	key, err := crypto.UnmarshalEd25519PrivateKey(c.Key)
	if err != nil {
		panic(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		panic(err)
	}
	return id
}

func ma2pid(s string) protocol.ID { return protocol.ID(s) }

// counts records refusals from now on and reads them by protocol.
func counts(t *testing.T) func(pid string) int {
	t.Helper()
	sink := metrics.NewInmemSink(time.Hour, time.Hour)
	cfg := metrics.DefaultConfig("")
	cfg.EnableHostname, cfg.EnableRuntimeMetrics = false, false
	if _, err := metrics.NewGlobal(cfg, sink); err != nil {
		t.Fatal(err)
	}
	return func(pid string) (n int) {
		for _, in := range sink.Data() {
			in.RLock()
			for name, c := range in.Counters {
				if strings.HasPrefix(name, "overlay.refused") && strings.Contains(name, "protocol="+pid) {
					n += c.Count
				}
			}
			in.RUnlock()
		}
		return n
	}
}
