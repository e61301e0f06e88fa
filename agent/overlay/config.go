package overlay

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
)

// Config says who this node is and how it takes part. Zero values of optional fields mean the defaults
// beside them.
type Config struct {
	Key ed25519.PrivateKey // the node key; the peer id is made of it
	// Secret is what members share, derived from the cluster key, 32 bytes. nil: anybody can prove to be a
	// member, as in a cluster without a key.
	Secret  []byte
	Network string // names the table, /debros/<network>; "" = default
	Build   string // version that peers see

	Listen    []ma.Multiaddr // none: this node dials only
	Announce  []ma.Multiaddr // told to others in place of what was found out
	Bootstrap []ma.Multiaddr // with /p2p/<id>
	// PeersFile keeps some members for the next start, which may find the bootstrap peers gone; "" = none does.
	PeersFile string

	Server       bool // serve the table, and be kept connected by others
	DHT          bool
	Relay        bool // relay for members
	PortMapping  bool // ask the router by UPnP or NAT-PMP
	MDNS         bool
	Reachability Reachability
	Limits       Limits

	DiscoveryInterval time.Duration // 10 s
	PingInterval      time.Duration // 5 s
	RetryInterval     time.Duration // 5 s, between the tries of one address
	PeersTarget       int           // members to look for, 16
	WriteTimeout      time.Duration // 30 s, in which a peer must read what it was sent on a stream that is open to anyone

	Logger *slog.Logger
	// Conflict is called once when a member says that this node's key is in use by another agent that
	// lives. It must not block.
	Conflict func()
}

// Reachability is what the operator knows about the way to this node.
type Reachability string

// What may be known.
const (
	ReachabilityAuto    Reachability = ""
	ReachabilityPublic  Reachability = "public"
	ReachabilityPrivate Reachability = "private"
)

// Limits bound what others may take.
type Limits struct {
	ConnsMax          int   // connections in all, 1024; strangers are let go first
	ConnsPerIPMax     int   // of one IP address, 256: many agents may stand behind one NAT
	StreamsPerPeerMax int   // 1024
	MemoryBytesMax    int64 // of buffers, 256 MiB
	Reservations      int   // of a relay, 128
	CircuitsPerPeer   int   // of a relay, 64
	// Streams that others may open of a protocol, where that is fewer than StreamsPerPeerMax.
	Protocols map[protocol.ID]ProtocolLimit
}

// ProtocolLimit bounds the streams of one protocol that others have open.
type ProtocolLimit struct{ PerPeer, Total int }

// SecretBytes is the length of Config.Secret.
const SecretBytes = 32

// peerExchangeMax bounds how many learned addresses are held; members of the LAN and those that the
// operator names come beside them.
const learnedMax = 512

var networkRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (c *Config) complete() error {
	if len(c.Key) != ed25519.PrivateKeySize {
		return errors.New("overlay: no node key")
	}
	if c.Secret != nil && len(c.Secret) != SecretBytes {
		return fmt.Errorf("overlay: the secret has %d bytes, not %d", len(c.Secret), SecretBytes)
	}
	if c.Secret == nil {
		c.Secret = make([]byte, SecretBytes)
	}
	def(&c.Network, "default")
	if !networkRE.MatchString(c.Network) {
		return fmt.Errorf("overlay: %q is no name of a network", c.Network)
	}
	def(&c.DiscoveryInterval, 10*time.Second)
	def(&c.PingInterval, 5*time.Second)
	def(&c.RetryInterval, 5*time.Second)
	def(&c.PeersTarget, 16)
	def(&c.WriteTimeout, 30*time.Second)
	l := &c.Limits
	def(&l.ConnsMax, 1024)
	def(&l.ConnsPerIPMax, 256)
	def(&l.StreamsPerPeerMax, 1024)
	def(&l.MemoryBytesMax, 256<<20)
	def(&l.Reservations, 128)
	def(&l.CircuitsPerPeer, 64)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Conflict == nil {
		c.Conflict = func() {}
	}
	_, err := bootstrapPeers(c.Bootstrap)
	return err
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// bootstrapPeers gathers the addresses of each peer.
func bootstrapPeers(addrs []ma.Multiaddr) ([]peer.AddrInfo, error) {
	infos, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil, fmt.Errorf("overlay: bootstrap: %w: an address ends in /p2p/ and the peer's id", err)
	}
	return infos, nil
}
