// Package server is a debros server: one voter of the Raft group that holds the cluster's state.
//
// It owns the Raft node with its log and snapshots, packs writes into entries (batcher), answers
// how far a linearizable read must wait (read index), and, while it leads, keeps the replicated
// state true: nodes from membership, sessions and keys past their TTL, dead servers, tombstones.
// It implements rpc.Backend; it speaks no HTTP and opens no socket. DESIGN.md has the arguments.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/debros/debros/rpc"
	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/state"
	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/structs"
)

// Membership is what a server needs to know from gossip.
type Membership interface {
	Members() []structs.Member
	RemoveFailed(ctx context.Context, name string, prune bool) error
}

// Server is one server of the cluster. Its zero value is of no use; New, then Start.
type Server struct {
	cfg    Config
	log    *slog.Logger
	store  *state.Store
	fsm    *fsm.FSM
	pool   *transport.Pool
	table  map[string]transport.Method
	stream map[string]transport.StreamMethod

	members   Membership
	raft      *raft.Raft
	running   atomic.Pointer[raft.Raft] // the same, for what raft itself calls while it starts
	gone      goneBook
	edges     edgeBook
	trans     *pipelineTransport
	logs      *logStore // nil in memory
	guard     *logGuard
	snaps     raft.SnapshotStore
	snapshots *snapshotPolicy
	autopilot *autopilot.Autopilot
	batch     *batcher
	reads     *readIndexer
	pulse     *pulse
	ttl       *sessionTimers
	claims    claimBook
	water     watermark
	// comparer hashes this server's state, compare judges all of them while this one leads, quarantine is when this one's is wrong.
	comparer     *comparer
	compare      compareOffice
	quarantine   quarantine
	snapshotting snapshotCount
	replica      replicaGuard
	reinstalling sync.Mutex    // held while a state is sent to another server
	healCh       chan struct{} // capacity 1: look again how to get out of quarantine
	strangers    strangerBook
	trouble      map[structs.NodeID]string // of members, as last logged; owned by reconcileAll

	// configIndex is where in the log the Raft configuration stands that was applied last; 0 = none yet.
	configIndex atomic.Uint64
	// leadingTerm is the Raft term in which this server leads and has brought the state up to date; 0 = it does not lead.
	leadingTerm atomic.Uint64
	limits      atomic.Pointer[rpc.Limits]
	scratch     *scratch // where a server without a data directory keeps databases; nil with one
	autoState   atomic.Pointer[autopilot.State]
	reconcileCh chan struct{} // capacity 1: membership changed, look again
	reloadCh    chan struct{} // capacity 1: state was replaced by a restore
	bootstrapCh chan struct{} // capacity 1: membership changed, try to bootstrap
	fatalCh     chan error    // capacity 1: the node must stop

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	closed atomic.Bool
	// keepLeader: Close does not hand leadership over.
	keepLeader atomic.Bool
}

// New checks the configuration and builds a server that is not running yet. pool reaches the other servers.
func New(cfg Config, pool *transport.Pool) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	store := state.New()
	s := &Server{
		cfg: cfg, log: cfg.Logger.With("component", "server"), store: store, pool: pool,
		fsm:         fsm.New(store, cfg.Logger),
		reconcileCh: make(chan struct{}, 1),
		reloadCh:    make(chan struct{}, 1),
		bootstrapCh: make(chan struct{}, 1),
		fatalCh:     make(chan error, 1),
		healCh:      make(chan struct{}, 1),
		compare:     compareOffice{soonCh: make(chan struct{}, 1), newCh: make(chan struct{}, 1)},
		ctx:         ctx, cancel: cancel,
	}
	s.snapshots = newSnapshotPolicy(&s.cfg)
	s.comparer = newComparer(s.log)
	s.quarantine.began = make(chan struct{})
	s.replica = replicaGuard{quarantine: &s.quarantine, snapshotting: &s.snapshotting, comparer: s.comparer, running: func() bool { return s.running.Load() != nil }}
	s.SetLimits(cfg.Limits)
	s.reads = newReadIndexer(ctx.Done(), s.fetchReadIndex)
	s.ttl = newSessionTimers(s.expireSession)
	s.table = make(map[string]transport.Method)
	for _, m := range s.Methods() {
		s.table[m.Name] = m
	}
	s.stream = make(map[string]transport.StreamMethod)
	for _, m := range s.Streams() {
		s.stream[m.Name] = m
	}
	return s, nil
}

// Methods and Streams are what the transport must serve for this server.
func (s *Server) Methods() []transport.Method {
	return append(append(rpc.Methods(s), s.claimMethod(), s.clusterClaimMethod()), s.replicaMethods()...)
}

// Streams: see Methods.
func (s *Server) Streams() []transport.StreamMethod { return rpc.Streams(s) }

// Start opens the log and runs Raft over layer. On an error everything begun is undone.
func (s *Server) Start(layer raft.StreamLayer, m Membership) (err error) {
	s.members = m
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := s.claims.openCluster(s.cfg.DataDir); err != nil {
		return err
	}
	if err := s.quarantine.open(s.cfg.DataDir); err != nil {
		return err
	}
	if why := s.quarantine.reason(); why != "" {
		s.log.Error("the state of this server was found wrong before it stopped: it answers no reads until it has taken the state of another server",
			"reason", why, "file", s.quarantine.file)
	}
	s.quarantineGauge()
	if err := s.sweepRestores(); err != nil {
		return err
	}
	if err := s.openDatabases(); err != nil {
		return err
	}
	notifyCh := make(chan bool, 16)
	if err := s.openRaft(layer, notifyCh); err != nil {
		return err
	}
	s.batch = newBatcher(s.raft, s.log, s.fsyncTime)
	s.newAutopilot()
	s.pulse = newPulse(s.cfg.raftConfig(nil).LeaderLeaseTimeout)
	s.wg.Go(func() { s.pulse.run(s.ctx) })
	s.wg.Go(func() { s.measureDatabases(s.ctx) })
	s.wg.Go(func() { s.watchDisk(s.ctx) })
	s.wg.Go(func() { s.batch.run(s.ctx) })
	s.wg.Go(func() { s.reads.run(s.ctx) })
	s.wg.Go(func() { s.followLeadership(notifyCh) })
	s.wg.Go(func() { s.bootstrap(s.ctx) })
	s.wg.Go(func() { s.followClusterID(s.ctx) })
	s.wg.Go(func() { s.followSnapshots(s.ctx) })
	s.wg.Go(func() { s.comparer.run(s.ctx) })
	s.wg.Go(func() { s.healWhenWrong(s.ctx) })
	return nil
}

// MembershipChanged tells the server to look at the members again. It never blocks.
func (s *Server) MembershipChanged() {
	poke(s.reconcileCh)
	poke(s.bootstrapCh)
}

// Fatal delivers the reason for which this node must stop: its disk failed, so what it says could fork the replicas.
func (s *Server) Fatal() <-chan error { return s.fatalCh }

func (s *Server) fail(err error) {
	select {
	case s.fatalCh <- err:
	default:
	}
}

// LeaderKnown reports whether this server knows a leader now.
func (s *Server) LeaderKnown() bool {
	_, id := s.raft.LeaderWithID()
	return id != ""
}

// IsLeader reports whether this server leads and is ready to serve as leader.
func (s *Server) IsLeader() bool {
	return s.leadingTerm.Load() != 0 && s.raft.State() == raft.Leader && s.quarantine.reason() == ""
}

// KeepLeadership makes Close look like a crash to the other servers: nothing is handed over. For tests.
func (s *Server) KeepLeadership() { s.keepLeader.Store(true) }

// Close hands leadership over if it can, stops Raft and waits for every goroutine. Idempotent.
func (s *Server) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var errs []error
	if s.raft != nil {
		if !s.keepLeader.Load() && s.raft.State() == raft.Leader && s.voters() > 1 {
			if err := waitFuture(s.raft.LeadershipTransfer(), s.cfg.transferTimeout()); err != nil {
				s.log.Warn("leadership was not handed over before stopping", "error", err)
			}
		}
		s.cancel()
		s.trans.endHeartbeats()
		stopped := s.raft.Shutdown()
		s.trans.closePipelines()
		if err := stopped.Error(); err != nil {
			errs = append(errs, fmt.Errorf("stop raft: %w", err))
		}
		if s.batch != nil {
			s.batch.abandon()
		}
	}
	s.cancel()
	s.wg.Wait()
	s.ttl.stop()
	if s.trans != nil {
		s.trans.Close()
	}
	if s.logs != nil {
		if err := s.logs.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close raft log: %w", err))
		}
	}
	if err := s.closeDatabases(); err != nil {
		errs = append(errs, fmt.Errorf("close databases: %w", err))
	}
	return errors.Join(errs...)
}

// poke puts a token into a channel of capacity 1; one that is there already says the same.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// errNoAnswer: a Raft future is still open; what it stands for may yet happen.
var errNoAnswer = errors.New("no answer")

// waitFuture waits for a Raft future, at most d.
func waitFuture(f raft.Future, d time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		return fmt.Errorf("%w within %s", errNoAnswer, d)
	}
}
