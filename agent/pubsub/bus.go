package pubsub

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ps "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/debros/debros/structs"
)

// Config is what a Bus needs. Zero values of optional fields mean the defaults beside them.
type Config struct {
	Host host.Host          // with members only; it stays open
	Key  ed25519.PrivateKey // the host's
	// Epoch is a number higher than at any start before.
	Epoch           uint64
	MessageBytesMax int // topic, headers and data of a message, 1 MiB
	NamespacesMax   int // that are in use at a time, 1024

	Logger *slog.Logger
}

const (
	messageBytesDefault = 1 << 20
	namespacesDefault   = 1024
	// queueFrames: GossipSub's own queues of 32 lose most of a burst. Deep ones hide that a receiver is behind until what it lost
	// is no longer kept: all queues together hold less than publishers keep.
	queueFrames = 64
	// housekeeping is how often old messages and idle namespaces are looked for.
	housekeeping = 15 * time.Second
)

// Bus is this agent's part in the messages of the cluster. Its methods are safe for concurrent use.
type Bus struct {
	cfg    Config
	log    *slog.Logger
	self   peer.ID
	node   structs.NodeID // self, as others write it
	mesh   *ps.PubSub
	served chan struct{} // a token for each question that is being answered
	ctx    context.Context
	cancel context.CancelFunc
	events event.Subscription
	close  func() // once
	// kept is how many bytes of this agent's own messages are in rings, and dropped how often GossipSub had no room for a peer.
	kept, dropped atomic.Int64
	// lose has frames of others get lost on their way; for tests.
	lose func(*frame) bool

	mu     sync.Mutex // protects the following
	spaces map[structs.Namespace]*space
	// numbers are the last that were given in namespaces which are not in use.
	numbers map[structs.Namespace]numbers

	life   sync.Mutex // protects the following; it is taken last, carriers begin goroutines with their own locks held
	closed bool
	wg     sync.WaitGroup // Add under life
}

// Start takes part in the mesh. Nothing is joined until somebody subscribes.
func Start(cfg Config) (*Bus, error) {
	cfg.MessageBytesMax = cmp.Or(cfg.MessageBytesMax, messageBytesDefault)
	cfg.NamespacesMax = cmp.Or(cfg.NamespacesMax, namespacesDefault)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Bus{
		cfg: cfg, log: cfg.Logger.With("component", "pubsub"), self: cfg.Host.ID(), node: structs.NodeID(cfg.Host.ID().String()),
		served: make(chan struct{}, servedMax), spaces: map[structs.Namespace]*space{},
		numbers: map[structs.Namespace]numbers{},
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.close = sync.OnceFunc(b.shutdown)
	var err error
	b.events, err = cfg.Host.EventBus().Subscribe(
		[]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated), new(event.EvtPeerConnectednessChanged)},
		eventbus.Name("debros/pubsub"), eventbus.BufSize(256))
	if err != nil {
		b.cancel()
		return nil, err
	}
	b.mesh, err = ps.NewGossipSub(b.ctx, cfg.Host,
		// Frames are signed by us, so that they can be passed on outside the mesh too.
		ps.WithMessageSignaturePolicy(ps.StrictNoSign), ps.WithNoAuthor(),
		ps.WithMessageIdFn(frameID), ps.WithGossipSubParams(meshParams()),
		ps.WithMaxMessageSize(b.frameBytesMax()+frameBytesSlack),
		ps.WithPeerOutboundQueueSize(queueFrames), ps.WithValidateQueueSize(queueFrames),
		ps.WithSubscriptionFilter(newFilter(b)),
		ps.WithDefaultValidator(b.validate, ps.WithValidatorInline(true)),
		ps.WithRawTracer(tracer{b: b}),
		ps.WithLogger(slog.New(slog.DiscardHandler)), ps.WithRPCLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		b.cancel()
		_ = b.events.Close()
		return nil, err
	}
	cfg.Host.SetStreamHandler(protoMessages, b.serve)
	b.spawn(b.follow)
	b.spawn(b.housekeep)
	return b, nil
}

// meshParams are GossipSub's own, but it keeps messages for three seconds instead of five: what is missed longer, our rings have.
func meshParams() ps.GossipSubParams {
	p := ps.DefaultGossipSubParams()
	p.HistoryLength, p.HistoryGossip = 3, 2
	return p
}

// frameID is unforgeable: a made-up frame cannot take the place of a real one among those that GossipSub has seen.
func frameID(m *pb.Message) string {
	sum := sha256.Sum256(m.GetData())
	return string(sum[:20])
}

// validate opens what others send before the mesh passes it on.
func (b *Bus) validate(_ context.Context, from peer.ID, m *ps.Message) ps.ValidationResult {
	if from == b.self {
		return ps.ValidationAccept // our own, with its frame beside it
	}
	f, err := openFrame(m.GetTopic(), m.GetData())
	if err != nil {
		count("rejected", 1)
		b.log.Debug("a frame is refused", "from", from, "error", err)
		return ps.ValidationReject
	}
	m.ValidatorData = f
	return ps.ValidationAccept
}

// frameBytesMax is the length of a frame with the largest message, or with as many as share one.
func (b *Bus) frameBytesMax() int {
	return b.cfg.MessageBytesMax + messageOverhead*structs.MessageHeadersMax + frameSlack + max(frameBytes, groupBytesFree)
}

// spawn runs f in a goroutine that Close waits for; false when it is closed.
func (b *Bus) spawn(f func()) bool {
	b.life.Lock()
	defer b.life.Unlock()
	if b.closed {
		return false
	}
	b.wg.Go(f)
	return true
}

// pause waits, but not beyond the end.
func (b *Bus) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-b.ctx.Done():
	}
}

func errClosed() error {
	return structs.Errorf(structs.KindUnavailable, "the agent is shutting down")
}

// Close takes leave of the others, ends every subscription and waits for everything. It may be called twice.
func (b *Bus) Close() { b.close() }

func (b *Bus) shutdown() {
	for _, s := range b.list() {
		s.leave()
	}
	b.cfg.Host.RemoveStreamHandler(protoMessages)
	b.life.Lock()
	b.closed = true
	b.life.Unlock()
	b.cancel()
	_ = b.events.Close()
	b.wg.Wait()
}

// acquire gives the namespace's space, to be released after use. One that is taking its leave does so first: others would hear of it
// after they have heard of the new user.
func (b *Bus) acquire(ctx context.Context, ns structs.Namespace) (*space, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.spaces[ns]
	for s != nil && s.leaving != nil {
		left := s.leaving
		b.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
		}
		b.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s = b.spaces[ns]
	}
	switch {
	case b.ctx.Err() != nil:
		return nil, errClosed()
	case s != nil:
	case !structs.ValidNamespace(ns):
		return nil, structs.Errorf(structs.KindInvalid, "invalid namespace %q", string(ns))
	case len(b.spaces) >= b.cfg.NamespacesMax:
		return nil, structs.Errorf(structs.KindRateLimited, "messages of %d namespaces pass this agent already, the limit", len(b.spaces)).
			WithHint("a namespace that is not used is forgotten after %s", idleSpace)
	default:
		s = newSpace(b, ns, b.numbers[ns])
		b.spaces[ns] = s
	}
	s.users++
	return s, nil
}

func (b *Bus) release(s *space) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.users--
	s.used = time.Now()
}

// tidy takes its leave of namespaces that nobody uses any more, and forgets them when that is done. The numbers that were given go on
// if they are used again: others know them.
func (b *Bus) tidy(now time.Time) {
	var idle []*space
	b.mu.Lock()
	for ns, s := range b.spaces {
		switch requesting := s.requests.open(); {
		case now.Sub(s.used) <= idleSpace || s.users > 1 || s.users == 1 && !requesting:
		case requesting || s.presence.entered():
			s.leaving = make(chan struct{})
			idle = append(idle, s)
		case s.rests():
			b.numbers[ns] = s.numbers()
			delete(b.spaces, ns)
		}
	}
	b.mu.Unlock()
	for _, s := range idle {
		s.requests.close()
		s.presence.leave()
		b.mu.Lock()
		close(s.leaving)
		s.leaving = nil
		b.mu.Unlock()
	}
}

func (b *Bus) list() (out []*space) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.spaces {
		out = append(out, s)
	}
	return out
}

// known is the carrier of a name, if it is in use here.
func (b *Bus) known(wire string) *carrier {
	ns, _, ok := strings.Cut(wire, ".")
	if !ok {
		return nil
	}
	b.mu.Lock()
	s := b.spaces[structs.Namespace(ns)]
	b.mu.Unlock()
	if s == nil {
		return nil
	}
	i := slices.IndexFunc(s.carriers[:], func(c *carrier) bool { return c.wire == wire })
	if i < 0 {
		return nil
	}
	return s.carriers[i]
}
