package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/debros/debros/structs"
	metrics "github.com/hashicorp/go-metrics"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// deadNodeReclaim is how long a failed node's name stays bound to its address. memberlist's zero
// means for ever; the ids in the tags protect the name better than time does.
const deadNodeReclaim = time.Millisecond

// userEventBytesMax is the size of a user event's name and payload together.
const userEventBytesMax = 512

// Gossip is this node's place in the pool. Its methods are safe for concurrent use.
type Gossip struct {
	cfg     Config
	log     *slog.Logger
	serf    *serf.Serf
	keyring *memberlist.Keyring // nil = plain text

	self        atomic.Pointer[structs.Member] // nil until serf runs
	bindPort    int
	established atomic.Bool  // another debros node was seen
	joining     atomic.Int32 // joins of ours that are under way
	announcing  atomic.Bool  // announce is under way

	roster       *roster
	selfSuspects selfSuspects
	serfCh       chan serf.Event
	suspectCh    chan suspicion
	conflictCh   chan Event
	saveCh       chan struct{} // capacity 1: members changed
	events       chan Event

	// counters; the same are in metrics as gossip.…
	rejected, wrongDC, conflicts, userDropped, foreignSeen, malformedSeen atomic.Uint64

	close  func() error // once
	doneMu sync.RWMutex // held to close done, and to add to wg while it is open
	done   chan struct{}
	wg     sync.WaitGroup
}

// Start opens the sockets and begins to gossip. Errors are *structs.Error of KindInvalid where the
// configuration is at fault. Nothing is left behind on an error.
func Start(cfg Config) (*Gossip, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	tags, err := encodeTags(&cfg)
	if err != nil {
		return nil, err
	}
	if err := probeBind(&cfg); err != nil {
		return nil, err
	}
	keyring, err := openKeyring(&cfg)
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		cfg: cfg, log: cfg.Logger, keyring: keyring, roster: newRoster(),
		serfCh: make(chan serf.Event, serfChCap), suspectCh: make(chan suspicion, suspectCap),
		conflictCh: make(chan Event), saveCh: make(chan struct{}, 1), events: make(chan Event), done: make(chan struct{}),
	}
	g.close = sync.OnceValue(g.shutdown)
	sc, err := g.serfConfig(tags)
	if err != nil {
		return nil, err
	}
	var previous []string
	if cfg.SnapshotPath != "" {
		previous = previousNodes(cfg.SnapshotPath, cfg.Name, cfg.RejoinAfterLeave)
		for _, saved := range readSaved(g.savedFile(), cfg.Name) {
			if !slices.Contains(previous, saved) {
				previous = append(previous, saved)
			}
		}
		if len(previous) > 0 {
			g.joining.Add(1) // until rejoin ends
		}
	}
	if g.serf, err = serf.Create(sc); err != nil {
		return nil, fmt.Errorf("start gossip on %s: %w", cfg.addr(), err)
	}
	g.begin(sc.MemberlistConfig.BindPort, previous)
	return g, nil
}

// begin starts our goroutines; serf runs already.
func (g *Gossip) begin(bindPort int, previous []string) {
	g.bindPort = bindPort
	self := g.Local()
	g.self.Store(&self)
	g.wg.Go(g.pump)
	g.wg.Go(g.verify)
	g.wg.Go(g.doubt)
	if g.keyring != nil && g.cfg.KeyringFile != "" {
		g.wg.Go(g.keepKeyring)
	}
	if g.cfg.SnapshotPath != "" {
		g.wg.Go(g.save)
	}
	if len(previous) > 0 {
		g.wg.Go(func() { g.rejoin(previous) })
	}
}

func (g *Gossip) serfConfig(tags map[string]string) (*serf.Config, error) {
	cfg := &g.cfg
	logger := newLogger(cfg.Logger, func() { g.count(&g.rejected, "rejected") })
	mc := memberlist.DefaultLANConfig()
	mc.BindAddr, mc.BindPort = or(cfg.BindAddr, "0.0.0.0"), cfg.BindPort
	mc.AdvertiseAddr, mc.AdvertisePort = cfg.AdvertiseAddr, or(cfg.AdvertisePort, cfg.BindPort)
	mc.Keyring = g.keyring
	mc.DeadNodeReclaimTime = deadNodeReclaim
	// A packet holds 1400 bytes before compression, so compression saves none; it took a third of the
	// processor time of a large cluster's start, in tables made anew for each packet.
	mc.EnableCompression = false
	mc.Transport = cfg.Transport
	mc.Logger, mc.LogOutput = logger, nil
	cfg.Tuning.apply(mc)

	sc := serf.DefaultConfig()
	sc.NodeName, sc.Tags, sc.MemberlistConfig = cfg.Name, tags, mc
	sc.Logger, sc.LogOutput = logger, nil
	sc.ProtocolVersion = serf.ProtocolVersionMax
	sc.EventCh = g.serfCh
	sc.Merge = gate{g}
	sc.EnableNameConflictResolution = false // conflict.go
	sc.UserEventSizeLimit = userEventBytesMax
	sc.ReconnectTimeout = or(cfg.ReconnectTimeout, reconnectTimeoutDefault)
	sc.TombstoneTimeout = or(cfg.TombstoneTimeout, tombstoneTimeoutDefault)
	sc.ReapInterval = or(cfg.Tuning.ReapInterval, sc.ReapInterval)
	sc.ReconnectInterval = or(cfg.Tuning.ReconnectInterval, sc.ReconnectInterval)
	sc.BroadcastTimeout = or(cfg.Tuning.BroadcastTimeout, sc.BroadcastTimeout)
	sc.LeavePropagateDelay = or(cfg.Tuning.LeavePropagateDelay, sc.LeavePropagateDelay)
	// Intents grow with the pool; a fixed depth drops messages in large ones.
	sc.MinQueueDepth = 4096
	sc.RejoinAfterLeave = cfg.RejoinAfterLeave
	if cfg.SnapshotPath != "" {
		if err := os.MkdirAll(filepath.Dir(cfg.SnapshotPath), 0o700); err != nil {
			return nil, fmt.Errorf("make directory for the gossip snapshot: %w", err)
		}
		sc.SnapshotPath = cfg.SnapshotPath
	}
	if g.keyring != nil && cfg.KeyringFile != "" {
		sc.KeyringFile = cfg.KeyringFile + keyringPending
	}
	return sc, nil
}

// probeBind finds out that the port is taken while the error still says so: memberlist's is text only.
func probeBind(cfg *Config) error {
	if cfg.BindPort == 0 || cfg.Transport != nil {
		return nil
	}
	addr := net.JoinHostPort(or(cfg.BindAddr, "0.0.0.0"), strconv.Itoa(cfg.BindPort))
	l, err := net.Listen("tcp", addr)
	if err == nil {
		_ = l.Close()
		var p net.PacketConn
		if p, err = net.ListenPacket("udp", addr); err == nil {
			_ = p.Close()
			return nil
		}
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return structs.Errorf(structs.KindInvalid, "gossip port %s is taken by another process", addr).
			WithHint("set ports { serf_lan = … } or bind_addr")
	}
	return structs.Errorf(structs.KindInvalid, "gossip cannot listen on %s: %v", addr, err).
		WithHint("set bind_addr to an address of this machine")
}

func (g *Gossip) count(c *atomic.Uint64, name string) {
	c.Add(1)
	metrics.IncrCounter([]string{"gossip", name}, 1)
}

// member reads a member; false when it is not a debros node. joined is set once for each arrival.
func (g *Gossip) member(m serf.Member, joined bool) (structs.Member, bool) {
	if !isDebros(m) {
		if joined {
			g.count(&g.foreignSeen, "foreign")
			g.log.Info("ignoring a member of another program", "node", m.Name, "address", m.Addr)
		}
		return structs.Member{}, false
	}
	out, err := parseMember(m)
	if err != nil {
		if joined {
			g.count(&g.malformedSeen, "malformed")
			g.log.Warn("ignoring a member with malformed tags", "node", m.Name, "address", m.Addr, "error", err)
		}
		return structs.Member{}, false
	}
	if joined && m.Name != g.cfg.Name {
		g.established.Store(true)
	}
	return out, true
}

// Members are the debros nodes that are known now, this one included, by name.
func (g *Gossip) Members() []structs.Member {
	all := g.serf.Members()
	out := make([]structs.Member, 0, len(all))
	for _, m := range all {
		if m, ok := g.member(m, false); ok {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b structs.Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Local is this node, with the address that others are told.
func (g *Gossip) Local() structs.Member {
	m, _ := parseMember(g.serf.LocalMember()) // checked in encodeTags
	return m
}

// Events delivers what happens, in order, until Shutdown closes it. A reader that falls behind by
// more than 1024 events gets EventResync for the membership events it missed and loses user events.
func (g *Gossip) Events() <-chan Event { return g.events }

// Coordinates are the network coordinates of the debros nodes, as far as they are known, by name.
func (g *Gossip) Coordinates() []structs.Coordinate {
	var out []structs.Coordinate
	for _, m := range g.Members() {
		if c, ok := g.serf.GetCachedCoordinate(m.Name); ok {
			out = append(out, structs.Coordinate{Node: m.Name, Coord: c.Clone()})
		}
	}
	return out
}

// Stats are figures for people: serf's, and the counts of what was ignored.
func (g *Gossip) Stats() map[string]string {
	s := g.serf.Stats()
	for name, c := range map[string]*atomic.Uint64{
		"rejected": &g.rejected, "wrong_datacenter": &g.wrongDC, "conflicts": &g.conflicts,
		"user_events_dropped": &g.userDropped, "foreign": &g.foreignSeen, "malformed": &g.malformedSeen,
	} {
		s[name] = strconv.FormatUint(c.Load(), 10)
	}
	return s
}
