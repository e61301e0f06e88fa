package overlay

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

func savingIn(path string) func(*Config) { return func(c *Config) { c.PeersFile = path } }

// saved are the peers in a file; none when there is no file.
func saved(t *testing.T, path string) map[peer.ID]bool {
	t.Helper()
	out := map[peer.ID]bool{}
	list, err := readPeers(path, addrRule{loopback: true})
	if err != nil && !os.IsNotExist(err) {
		t.Errorf("saved peers: %v", err)
	}
	for _, info := range list {
		out[info.ID] = true
	}
	return out
}

func TestAPeerComesBackWhenItsBootstrapPeerIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.json")
	hub := start(t)
	b := start(t, knows(hub))
	a := start(t, knows(hub), savingIn(path))
	whole(t, a, b, hub)
	eventually(t, "both members to be saved", func() bool { s := saved(t, path); return s[b.ID()] && s[hub.ID()] })
	for _, o := range []*Overlay{a, hub} {
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// At another port, where nobody looks for it.
	again := start(t, knows(hub), savingIn(path), func(c *Config) { c.Key = a.cfg.Key })
	eventually(t, "the member that is left", func() bool { return again.IsMember(b.ID()) })
}

func TestOnlyMembersAreSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.json")
	a := start(t, savingIn(path))
	stranger := start(t, withSecret("two"))
	stranger.gater.name(a.ID(), a.cfg.Listen)
	if err := stranger.host.Connect(ctxOf(t), peer.AddrInfo{ID: a.ID(), Addrs: a.cfg.Listen}); err != nil {
		t.Fatal(err)
	}
	b := start(t, knows(a))
	whole(t, a, b)
	eventually(t, "the member to be saved", func() bool { return saved(t, path)[b.ID()] })
	if saved(t, path)[stranger.ID()] || len(saved(t, path)) != 1 {
		t.Errorf("saved: %v", saved(t, path))
	}
	// Nobody is left: what was saved stays.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss to be noticed", func() bool { return !a.IsMember(b.ID()) })
	if !saved(t, path)[b.ID()] {
		t.Error("the last member that was known is forgotten")
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
}

// The file may have been written by anybody; whatever is in it, the node starts and goes on.
func TestAFileOfSavedPeersIsNotBelieved(t *testing.T) {
	many := exchangeReply{}
	for i := range 200 {
		_, id := testKey(t, byte(i))
		many.Peers = append(many.Peers, exchangePeer{ID: id.String(), Addrs: []string{"/ip4/10.0.0.1/tcp/4001"}})
	}
	manyJSON, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	rule := newAddrRule(ListenAddrs(netip.MustParseAddr("10.0.0.1"), 4001))
	for name, c := range map[string]struct {
		content string
		peers   int // -1: an error
	}{
		"empty":     {"", -1},
		"nonsense":  {"\x00\x01", -1},
		"cut off":   {string(manyJSON[:len(manyJSON)/2]), -1},
		"no peers":  {"{}", 0},
		"too large": {strings.Repeat(" ", exchangeReplyMax) + string(manyJSON), -1},
		"too many":  {string(manyJSON), savedMax},
		"loopback":  {`{"peers":[{"id":"` + pid + `","addrs":["/ip4/127.0.0.1/tcp/5001","/ip4/169.254.169.254/tcp/80","/dns4/localhost/tcp/1"]}]}`, 0},
	} {
		path := filepath.Join(t.TempDir(), "peers.json")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := readPeers(path, rule)
		if c.peers < 0 && err == nil || c.peers >= 0 && (err != nil || len(list) != c.peers) {
			t.Errorf("%s: %d peers, %v", name, len(list), err)
		}
		start(t, savingIn(path))
	}
}

// A node that is cut off for longer than it tries a peer must find back to whom it knew.
func TestPeersAreNotForgottenWhileNobodyIsReached(t *testing.T) {
	a, b := start(t), start(t)
	_, ghost := testKey(t, 9)
	info := peer.AddrInfo{ID: ghost, Addrs: HostAddrs(netip.MustParseAddr("127.0.0.1"), 1)[1:]}
	fails := func() int {
		a.keeper.mu.Lock()
		defer a.keeper.mu.Unlock()
		t := a.keeper.targets[ghost]
		if t == nil {
			return -1
		}
		t.fails = max(t.fails, learnedFails-1) // as if it had been tried for minutes
		t.next = t.next.Add(-backoffMax)
		return t.fails
	}
	a.keeper.add(info, fromLearned)
	eventually(t, "it to have failed more often than learned peers may", func() bool { return fails() > learnedFails })
	if _, err := a.Connect(ctxOf(t), b.fullAddrs()[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to be forgotten beside a member", func() bool { return fails() < 0 })
}
