package overlay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
)

// protoExchange is peer exchange (N73): {"limit":n} is answered by {"peers":[{"id","addrs":[…]}]}.
const protoExchange protocol.ID = "/debros/peer-exchange/1.0.0"

// Bounds of peer exchange.
const (
	exchangeDefault  = 10
	exchangeLimitMax = 64
	exchangeAddrsMax = 16
	exchangeTimeout  = 10 * time.Second
	exchangeReqMax   = 1 << 10
	exchangeReplyMax = exchangeLimitMax * exchangeAddrsMax * 256
)

type exchangeRequest struct {
	Limit int `json:"limit"`
}

type exchangePeer struct {
	ID    string   `json:"id"`
	Addrs []string `json:"addrs"`
}

type exchangeReply struct {
	Peers []exchangePeer `json:"peers"`
}

// serveExchange names some members to another.
func (o *Overlay) serveExchange(s network.Stream) {
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(exchangeTimeout))
	var req exchangeRequest
	if err := json.NewDecoder(io.LimitReader(s, exchangeReqMax)).Decode(&req); err != nil {
		_ = s.Reset()
		return
	}
	limit := req.Limit
	if limit <= 0 {
		limit = exchangeDefault
	}
	if err := json.NewEncoder(s).Encode(o.exchangeReply(s.Conn().RemotePeer(), min(limit, exchangeLimitMax))); err != nil {
		_ = s.Reset()
	}
}

func (o *Overlay) exchangeReply(to peer.ID, limit int) exchangeReply {
	list := slices.DeleteFunc(o.worthNaming(limit/2), func(p peer.ID) bool { return p == to })
	return o.describeAll(list, limit)
}

// describeAll says where the first peers of a list are, at most limit of those that can be dialled.
func (o *Overlay) describeAll(list []peer.ID, limit int) exchangeReply {
	reply := exchangeReply{Peers: []exchangePeer{}}
	for _, p := range list {
		if len(reply.Peers) == limit {
			break
		}
		addrs := o.rule.filter(o.host.Peerstore().Addrs(p))
		if len(addrs) == 0 {
			continue
		}
		e := exchangePeer{ID: p.String()}
		for _, a := range addrs[:min(len(addrs), exchangeAddrsMax)] {
			e.Addrs = append(e.Addrs, a.String())
		}
		reply.Peers = append(reply.Peers, e)
	}
	return reply
}

// worthNaming are the members in a random order, after as many as wanted of those that hold the table: few
// do, and without one of them a newcomer finds and says nothing.
func (o *Overlay) worthNaming(holders int) []peer.ID {
	list := o.MembersWith(tableProtocol(o.cfg.Network))
	shuffle(list)
	list = list[:min(len(list), holders)]
	rest := slices.DeleteFunc(o.members.list(), func(p peer.ID) bool { return slices.Contains(list, p) })
	shuffle(rest)
	return append(list, rest...)
}

func shuffle[E any](list []E) {
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// parseExchange reads a reply; malformed entries are left out.
func parseExchange(b []byte, rule addrRule) ([]peer.AddrInfo, error) {
	var reply exchangeReply
	if err := json.Unmarshal(b, &reply); err != nil {
		return nil, fmt.Errorf("peer exchange: %w", err)
	}
	var out []peer.AddrInfo
	for _, e := range reply.Peers[:min(len(reply.Peers), exchangeLimitMax)] {
		id, err := peer.Decode(e.ID)
		if err != nil {
			continue
		}
		var addrs []ma.Multiaddr
		for _, text := range e.Addrs[:min(len(e.Addrs), exchangeAddrsMax)] {
			if a, err := ParseAddr(text); err == nil && rule.usable(a) {
				addrs = append(addrs, a)
			}
		}
		if len(addrs) > 0 {
			out = append(out, peer.AddrInfo{ID: id, Addrs: addrs})
		}
	}
	return out, nil
}

// askPeers asks a member for others.
func (o *Overlay) askPeers(ctx context.Context, p peer.ID) ([]peer.AddrInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	s, err := o.gate.NewStream(network.WithAllowLimitedConn(ctx, "peer exchange"), p, protoExchange)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(exchangeTimeout))
	if err := json.NewEncoder(s).Encode(exchangeRequest{Limit: exchangeDefault}); err != nil {
		_ = s.Reset()
		return nil, err
	}
	_ = s.CloseWrite()
	b, err := io.ReadAll(io.LimitReader(s, exchangeReplyMax))
	if err != nil {
		_ = s.Reset()
		return nil, err
	}
	return parseExchange(b, o.rule)
}

// discover looks for more members while there are fewer than wanted (N46).
func (o *Overlay) discover(ctx context.Context) {
	for {
		if err := sleep(ctx, jitter(o.cfg.DiscoveryInterval)); err != nil {
			return
		}
		list := o.members.list()
		if len(list) == 0 || len(list) >= o.peersWanted() {
			continue
		}
		found, err := o.askPeers(ctx, list[rand.IntN(len(list))])
		if err != nil {
			o.log.Debug("overlay: peer exchange", "error", err)
		}
		for _, info := range found {
			o.keeper.add(info, fromLearned)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
