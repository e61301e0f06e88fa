package overlay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	kb "github.com/libp2p/go-libp2p-kbucket"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"

	"github.com/debros/debros/structs"
)

// Times of what is provided.
const (
	provideEvery    = 10 * time.Minute
	provideValid    = 30 * time.Minute
	provideAgain    = time.Minute      // when members came
	provideRetry    = 15 * time.Second // after a failure, or when nobody was there
	tableTimeout    = 30 * time.Second // of one question
	recordLife      = 24 * time.Hour
	advertLife      = provideValid
	advertName      = "node"
	providersMax    = 100
	tableRefresh    = 5 * time.Minute
	tableGCInterval = time.Minute
	offerGCInterval = 5 * time.Minute
)

// errNoTable is the answer of a node with overlay { dht = false }.
func errNoTable() error {
	return structs.Errorf(structs.KindUnsupported, "this agent takes no part in the distributed table").
		WithHint("set overlay { dht = true }")
}

// table is the Kademlia table of the members.
type table struct {
	o      *Overlay
	dht    *dht.IpfsDHT
	values *tableStore // records that this node keeps
	known  *tableStore // who offers what, as it was told

	mu     sync.Mutex // protects the following
	offers []string
	told   bool          // offers have been put since they changed
	pokeCh chan struct{} // capacity 1: offers or members changed
}

func newTable(o *Overlay) (*table, error) {
	mode := dht.ModeAuto
	if o.cfg.Server {
		mode = dht.ModeServer
	}
	t := &table{o: o, values: newValueStore(), known: newProviderStore(), pokeCh: make(chan struct{}, 1)}
	var err error
	t.dht, err = dht.New(o.gate,
		dht.ProtocolPrefix(tablePrefix(o.cfg.Network)),
		dht.ValueDatastore(t.values), dht.ProviderDatastore(t.known),
		dht.Mode(mode),
		dht.BootstrapPeersFunc(func() []peer.AddrInfo { return o.keeper.known() }), // never the public ones
		dht.Validator(record.NamespacedValidator{recordNamespace: recordValidator{now: time.Now}}),
		dht.AddressFilter(o.rule.filter),
		dht.RoutingTableRefreshPeriod(tableRefresh),
		dht.MaxRecordAge(recordLifeMax), dht.ValueGCInterval(tableGCInterval),
		dht.ProviderManagerOpts(records.ProvideValidity(provideValid), records.ProviderAddrTTL(provideValid), records.CleanupInterval(offerGCInterval)),
	)
	if err != nil {
		return nil, fmt.Errorf("overlay: start the table: %w", err)
	}
	return t, nil
}

func tablePrefix(network string) protocol.ID { return protocol.ID("/debros/" + network) }

// tableProtocol is the protocol of the table of a network.
func tableProtocol(network string) protocol.ID { return tablePrefix(network) + "/kad/1.0.0" }

// lonely reports whether this node takes part in the table and knows nobody who holds it.
func (t *table) lonely() bool { return t != nil && t.dht.RoutingTable().Size() == 0 }

// known are peers to begin with when the table knows nobody.
func (k *keeper) known() []peer.AddrInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []peer.AddrInfo
	for _, t := range k.targets {
		if t.source&lasting != 0 && len(out) < exchangeLimitMax {
			out = append(out, t.info)
		}
	}
	return out
}

// offerKey is where the providers of an offer are kept.
func (t *table) offerKey(offer string) (cid.Cid, error) {
	h, err := multihash.Sum([]byte("debros/"+t.o.cfg.Network+"/"+offer), multihash.SHA2_256, -1)
	return cid.NewCidV1(cid.Raw, h), err
}

// setOffers says what this node offers from now on.
func (t *table) setOffers(offers []string) {
	t.mu.Lock()
	t.offers, t.told = append([]string(nil), offers...), false
	t.mu.Unlock()
	t.poke()
}

func (t *table) poke() {
	select {
	case t.pokeCh <- struct{}{}:
	default:
	}
}

// advertise keeps the offers in the table until ctx ends.
func (t *table) advertise(ctx context.Context) {
	due := time.Now().Add(provideEvery)
	var done time.Time // the last round that succeeded
	next := time.NewTimer(time.Until(due))
	defer next.Stop()
	for {
		select {
		case <-t.pokeCh:
			// Members come in groups: one round for all of them. Those that come later keep what others put before,
			// once it is put again.
			soon := time.Now().Add(jitter(t.o.cfg.RetryInterval / 2))
			if t.isTold() && !done.IsZero() {
				soon = latest(soon, done.Add(jitter(provideAgain)+provideAgain/2))
			}
			if soon.Before(due) {
				due = soon
				next.Reset(time.Until(due))
			}
			continue
		case <-next.C:
		case <-ctx.Done():
			return
		}
		after := provideEvery
		switch reached, err := t.provide(ctx); {
		case err != nil && ctx.Err() == nil:
			t.o.log.Debug("overlay: provide", "error", err)
			after = provideRetry
		case reached:
			done = time.Now()
		default:
			after = provideRetry
		}
		if t.lonely() {
			after = t.o.cfg.RetryInterval // it costs nothing while there is nobody to ask
		}
		due = time.Now().Add(jitter(after) + after/4)
		next.Reset(time.Until(due))
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// isTold reports whether the offers of now have been put.
func (t *table) isTold() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.told
}

// provide puts the offers into the table; false when nobody was there to keep them.
func (t *table) provide(ctx context.Context) (reached bool, err error) {
	t.mu.Lock()
	offers := t.offers
	t.mu.Unlock()
	if len(offers) == 0 || len(t.o.members.list()) == 0 {
		return false, nil
	}
	data, err := encodeAdvert(advert{Offers: offers})
	if err != nil {
		return false, err
	}
	errs := []error{t.put(ctx, advertName, data, advertLife)}
	for _, offer := range offers {
		key, err := t.offerKey(offer)
		if err != nil {
			return false, err
		}
		ctx, cancel := context.WithTimeout(ctx, tableTimeout)
		errs = append(errs, t.dht.Provide(ctx, key, true))
		cancel()
	}
	if err = errors.Join(errs...); err != nil {
		return false, err
	}
	t.mu.Lock()
	t.told = slices.Equal(t.offers, offers)
	t.mu.Unlock()
	return t.dht.RoutingTable().Size() > 0, nil
}

// put signs data and keeps it under /debros/<this peer>/<name>.
func (t *table) put(ctx context.Context, name string, data []byte, life time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	key := RecordKey(t.o.host.ID(), name)
	now := time.Now()
	b, err := signRecord(t.o.cfg.Key, key, uint64(now.UnixNano()), now.Add(life), data)
	if err != nil {
		return structs.Errorf(structs.KindTooLarge, "%v", err)
	}
	err = t.dht.PutValue(ctx, key, b)
	if errors.Is(err, kb.ErrLookupFailure) {
		err = nil // nobody else is there: it is kept here
	}
	return err
}

// get reads and verifies a record.
func (t *table) get(ctx context.Context, key string) (*Record, error) {
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	b, err := t.dht.GetValue(ctx, key)
	switch {
	case errors.Is(err, routing.ErrNotFound), errors.Is(err, kb.ErrLookupFailure):
		return nil, structs.Errorf(structs.KindNotFound, "no record %s", key)
	case err != nil:
		return nil, err
	}
	return openRecord(key, b, time.Now())
}

// providers are members that offer something and say so themselves: a provider record can be made by
// anybody for anybody, so each provider's signed advertisement is asked for.
func (t *table) providers(ctx context.Context, offer string, limit int) ([]peer.AddrInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	key, err := t.offerKey(offer)
	if err != nil {
		return nil, err
	}
	out := []peer.AddrInfo{}
	for info := range t.dht.FindProvidersAsync(ctx, key, providersMax) {
		if len(out) == limit {
			break
		}
		if info.ID == t.o.host.ID() {
			if t.offersOwn(offer) {
				out = append(out, peer.AddrInfo{ID: info.ID, Addrs: t.o.host.Addrs()})
			}
			continue
		}
		r, err := t.get(ctx, RecordKey(info.ID, advertName))
		if err != nil {
			continue
		}
		if a, err := parseAdvert(r.Data); err != nil || !a.has(offer) {
			continue
		}
		if len(info.Addrs) == 0 {
			info.Addrs = t.o.host.Peerstore().Addrs(info.ID)
		}
		out = append(out, info)
	}
	return out, nil
}

func (t *table) offersOwn(offer string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return advert{Offers: t.offers}.has(offer)
}

func (t *table) findPeer(ctx context.Context, p peer.ID) (peer.AddrInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	info, err := t.dht.FindPeer(ctx, p)
	if errors.Is(err, routing.ErrNotFound) || errors.Is(err, kb.ErrLookupFailure) {
		return info, structs.Errorf(structs.KindNotFound, "no member knows the peer %s", p)
	}
	return info, err
}
