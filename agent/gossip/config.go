package gossip

import (
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/debros/debros/structs"
	"github.com/hashicorp/memberlist"
)

// Config says who this node is and how it gossips.
type Config struct {
	Name       string // unique among living nodes; letters, digits, '.', '-' and '_', at most 128 bytes
	ID         structs.NodeID
	Role       structs.Role
	Datacenter string
	Build      string         // build version, e.g. "1.2.3"
	SQLite     string         // version of the SQLite library; "" while there is none
	Expect     int            // bootstrap_expect; 0 = none
	Ports      map[string]int // advertised ports by name ("http", "server", "overlay"); gossip's own port is known without

	BindAddr      string // IP; "" = 0.0.0.0
	BindPort      int    // TCP and UDP; 0 = any free port
	AdvertiseAddr string // IP; "" = what the bind address says
	AdvertisePort int    // 0 = BindPort

	// Keys encrypt the pool, 16, 24 or 32 bytes each, the primary one first; none = plain text.
	Keys [][]byte
	// KeyringFile keeps the keys over restarts; where it exists its keys are used instead of Keys.
	// "" = in memory only.
	KeyringFile string
	// SnapshotPath is where serf remembers the members, so that a restarted node finds them without
	// retry_join. "" = forget.
	SnapshotPath string
	// RejoinAfterLeave: rejoin from the snapshot even after a graceful leave.
	RejoinAfterLeave bool

	// ReconnectTimeout is how long a failed node is kept and called; 0 = 72 h.
	ReconnectTimeout time.Duration
	// TombstoneTimeout is how long a node that left is remembered; 0 = 24 h.
	TombstoneTimeout time.Duration

	Tuning    Tuning
	Logger    *slog.Logger         // nil = slog.Default()
	Transport memberlist.Transport // nil = TCP and UDP; tests give a memberlist.MockNetwork's
}

// Tuning is gossip_lan{}. A zero field means the default, which suits a LAN of thousands of nodes.
type Tuning struct {
	GossipInterval time.Duration // between gossip messages; 200 ms
	GossipNodes    int           // nodes per gossip message; 3
	ProbeInterval  time.Duration // between failure probes; 1 s
	ProbeTimeout   time.Duration // of one probe; 500 ms
	SuspicionMult  int           // suspicion lasts SuspicionMult*log10(N+1)*ProbeInterval, at least SuspicionMult*ProbeInterval; 4
	RetransmitMult int           // messages are sent RetransmitMult*log10(N+1) times; 4
	PushPull       time.Duration // between full exchanges with one node; 30 s

	ReapInterval        time.Duration // between looks for members to forget; 15 s
	ReconnectInterval   time.Duration // between calls to failed members; 30 s
	BroadcastTimeout    time.Duration // longest wait for a leave to be sent; 5 s
	LeavePropagateDelay time.Duration // a leaving node answers this much longer; 1 s
}

const (
	reconnectTimeoutDefault = 72 * time.Hour // a long weekend
	tombstoneTimeoutDefault = 24 * time.Hour
	nameBytesMax            = 128
)

var (
	nameRE = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	// idRE also takes the short ids of tests; a peer id is base58.
	idRE = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	dcRE = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
)

func (c *Config) check() error {
	switch {
	case !nameRE.MatchString(c.Name):
		return structs.Errorf(structs.KindInvalid, "node name %q must be 1 to %d letters, digits, '.', '-' or '_'", c.Name, nameBytesMax).
			WithHint("set node_name")
	case !idRE.MatchString(string(c.ID)):
		return structs.Errorf(structs.KindInvalid, "node id %q is malformed", c.ID)
	case c.Role != structs.RoleServer && c.Role != structs.RoleClient:
		return structs.Errorf(structs.KindInvalid, "role %q is neither server nor client", c.Role)
	case !dcRE.MatchString(c.Datacenter):
		return structs.Errorf(structs.KindInvalid, "datacenter %q must be 1 to 64 lower-case letters, digits, '-' or '_'", c.Datacenter).
			WithHint("set datacenter")
	case c.Expect < 0:
		return structs.Errorf(structs.KindInvalid, "bootstrap_expect is %d", c.Expect)
	}
	for i, k := range c.Keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return structs.Errorf(structs.KindInvalid, "gossip key %d has %d bytes, not 16, 24 or 32", i, len(k))
		}
	}
	for name, p := range c.Ports {
		if p < 0 || p > 65535 {
			return structs.Errorf(structs.KindInvalid, "port %s is %d", name, p)
		}
	}
	_, err := encodeTags(c)
	return err
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (t *Tuning) apply(m *memberlist.Config) {
	m.GossipInterval = or(t.GossipInterval, m.GossipInterval)
	m.GossipNodes = or(t.GossipNodes, m.GossipNodes)
	m.ProbeInterval = or(t.ProbeInterval, m.ProbeInterval)
	m.ProbeTimeout = or(t.ProbeTimeout, m.ProbeTimeout)
	m.SuspicionMult = or(t.SuspicionMult, m.SuspicionMult)
	m.RetransmitMult = or(t.RetransmitMult, m.RetransmitMult)
	m.PushPullInterval = or(t.PushPull, m.PushPullInterval)
}

func (c *Config) addr() string { return fmt.Sprintf("%s:%d", or(c.BindAddr, "0.0.0.0"), c.BindPort) }
