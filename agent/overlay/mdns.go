package overlay

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// startMDNS finds peers by multicast on the LAN and is found so.
func (o *Overlay) startMDNS() error {
	if !o.cfg.MDNS {
		return nil
	}
	s := mdns.NewMdnsService(o.host, "_debros-"+o.cfg.Network+"._udp", found{o})
	if err := s.Start(); err != nil {
		return fmt.Errorf("overlay: start mDNS: %w", err)
	}
	o.closers = append(o.closers, s.Close)
	return nil
}

// found takes what mDNS finds: anybody on the LAN may say anything there.
type found struct{ o *Overlay }

// HandlePeerFound implements mdns.Notifee.
func (f found) HandlePeerFound(info peer.AddrInfo) {
	info.Addrs = f.o.rule.filter(info.Addrs)
	if len(info.Addrs) > 0 {
		f.o.keeper.add(info, fromLearned)
	}
}
