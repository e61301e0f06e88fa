package server

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metrics"

	"github.com/debros/debros/rpc"
	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// LogBackend names a Raft log store.
type LogBackend string

const (
	LogWAL    LogBackend = "wal"    // raft-wal: append-only segments; the default
	LogBoltDB LogBackend = "boltdb" // one B+tree file
)

// Config of a server; zero values mean the defaults named.
type Config struct {
	NodeID     structs.NodeID
	NodeName   string
	Datacenter string
	// Address is where other servers reach this one's server port, "host:port".
	Address string
	// DataDir holds raft/; "" keeps everything in memory (development).
	DataDir string

	// BootstrapExpect is the number of servers to wait for before the first election; 0 = join an existing cluster.
	BootstrapExpect int
	// Dev makes a one-server cluster at once.
	Dev bool

	LogBackend       LogBackend // "" = wal
	SegmentSizeBytes int        // raft-wal segment; 0 = 64 MiB
	NoFreelistSync   bool       // BoltDB
	DisableLogCache  bool       // do not keep the last entries in memory

	// RaftMultiplier scales Raft's timeouts: 1 (default) detects a dead leader in about a second.
	RaftMultiplier    int
	SnapshotThreshold uint64        // entries of up to 16 KiB between snapshots, at least (snapshotPolicy); 0 = 16384
	SnapshotInterval  time.Duration // how often that is looked at; 0 = 5 s
	TrailingLogs      uint64        // entries kept behind a snapshot, at most (trailingBytesMax); 0 = 10240 (raft issue 697)

	// HoldTimeout is how long a request waits for a leader; 0 = 7 s.
	HoldTimeout time.Duration
	// ReconcileInterval is how often all of membership is compared with the nodes table; 0 = 60 s.
	ReconcileInterval time.Duration
	// TombstoneTTL is how long deletions are remembered for blocking prefix queries; 0 = 15 min.
	TombstoneTTL time.Duration

	// EdgeFailAfter is how long an edge agent may be silent; 0 = 20 s.
	EdgeFailAfter time.Duration

	// VerifyInterval is how often the leader has all servers compare their states; 0 = only when it is asked to.
	VerifyInterval time.Duration

	// DiskFreeMin is how many bytes must be free on the disk of DataDir: with fewer on too many servers, writes are refused.
	// Below 0 = 2 % of the disk, at most 1 GiB; 0 = no bound.
	DiskFreeMin int64

	// Autopilot is what a new cluster starts with; later the replicated configuration rules.
	Autopilot structs.AutopilotConfig
	// AutopilotInterval is how often servers are examined; 0 = autopilot's own 10 s / 2 s.
	AutopilotInterval time.Duration

	// Abroad reaches other datacenters; nil: none.
	Abroad Abroad

	Limits rpc.Limits
	Logger *slog.Logger
	// WALMetrics receives raft-wal's figures; nil = nowhere.
	WALMetrics metrics.Collector

	// wrapLog puts something between us and the log store; for tests of failing disks. nil = nothing.
	wrapLog func(backend) backend
	// trailingBytes bounds the log behind a snapshot; 0 = trailingBytesMax.
	trailingBytes uint64
	// failFiles is asked before each operation on a file of a database; for the same tests. nil = nobody.
	failFiles state.FileFault
	// statfs measures a disk; for tests. nil = the file system is asked.
	statfs func(dir string) (room, error)
}

const (
	holdTimeoutDefault       = 7 * time.Second
	reconcileIntervalDefault = 60 * time.Second
	tombstoneTTLDefault      = 15 * time.Minute
	// segmentSizeBytesDefault is raft-wal's own choice.
	segmentSizeBytesDefault = 64 << 20
	// maxAppendEntries bounds one AppendEntries message. Entries are already batches of up to 1 MiB,
	// so raft's unit here is large: 64 of them are at most 64 MiB in memory for a lagging follower.
	maxAppendEntries         = 64
	snapshotThresholdDefault = 16384
	snapshotIntervalDefault  = 5 * time.Second
	trailingLogsDefault      = 10240
	snapshotsKept            = 2
	// logCacheEntries lets a follower that lags a little be served from memory.
	logCacheEntries = 512
)

// AutopilotDefaults is what a cluster starts with when its operator says nothing.
func AutopilotDefaults() structs.AutopilotConfig {
	return structs.AutopilotConfig{
		CleanupDeadServers:      true,
		LastContactThreshold:    200 * time.Millisecond,
		MaxTrailingLogs:         250,
		ServerStabilizationTime: 10 * time.Second,
	}
}

func (c *Config) check() error {
	if c.NodeID == "" {
		return errors.New("server: no node id")
	}
	if c.Address == "" {
		return errors.New("server: no address")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch c.LogBackend {
	case "":
		c.LogBackend = LogWAL
	case LogWAL, LogBoltDB:
	default:
		return fmt.Errorf("server: raft_logstore backend %q is neither \"wal\" nor \"boltdb\"", c.LogBackend)
	}
	setDefault(&c.SegmentSizeBytes, segmentSizeBytesDefault)
	setDefault(&c.RaftMultiplier, 1)
	setDefault(&c.SnapshotThreshold, snapshotThresholdDefault)
	setDefault(&c.SnapshotInterval, snapshotIntervalDefault)
	setDefault(&c.TrailingLogs, trailingLogsDefault)
	setDefault(&c.trailingBytes, trailingBytesMax)
	setDefault(&c.HoldTimeout, holdTimeoutDefault)
	setDefault(&c.ReconcileInterval, reconcileIntervalDefault)
	setDefault(&c.EdgeFailAfter, edgeFailAfter)
	setDefault(&c.TombstoneTTL, tombstoneTTLDefault)
	if c.statfs == nil {
		c.statfs = statfs
	}
	if c.Autopilot == (structs.AutopilotConfig{}) {
		c.Autopilot = AutopilotDefaults()
	}
	return nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// raftConfig is hashicorp/raft's configuration for ours. With a multiplier of 1 a follower that
// hears nothing for 1 s stands for election, so a killed leader is replaced in about 1–1.5 s.
func (c *Config) raftConfig(notifyCh chan<- bool) *raft.Config {
	m := time.Duration(c.RaftMultiplier)
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(c.NodeID)
	rc.HeartbeatTimeout = 500 * time.Millisecond * m
	rc.ElectionTimeout = 500 * time.Millisecond * m
	rc.LeaderLeaseTimeout = 350 * time.Millisecond * m
	rc.CommitTimeout = 50 * time.Millisecond
	rc.MaxAppendEntries = maxAppendEntries
	rc.BatchApplyCh = true
	rc.SnapshotThreshold = math.MaxUint64 // snapshotPolicy decides
	rc.TrailingLogs = c.TrailingLogs
	rc.ShutdownOnRemove = false
	rc.NoLegacyTelemetry = true
	rc.NotifyCh = notifyCh
	return rc
}

// transferTimeout is how long a stopping leader tries to hand over: two elections.
func (c *Config) transferTimeout() time.Duration {
	return 2 * time.Second * time.Duration(c.RaftMultiplier)
}
