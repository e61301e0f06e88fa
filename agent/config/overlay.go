package config

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/debros/debros/agent/config/settings"
)

// completeOverlay fills in what depends on what the agent is.
func (c *Config) completeOverlay() {
	o := &c.origins
	if !o.IsSet("overlay.enabled") {
		c.Overlay.Enabled = c.DataDir != "" || c.Dev
	}
	if !o.IsSet("overlay.relay") {
		c.Overlay.Relay = c.Server
	}
	if c.Dev && !o.IsSet("ports.overlay") {
		c.Ports.Overlay = 0 // several may run on one machine
	}
}

// OverlayOn reports whether the agent takes part in the overlay.
func (c *Config) OverlayOn() bool { return c.Overlay.Enabled && c.Ports.Overlay >= 0 }

// Values of overlay.http.
const (
	HTTPOff     = "off"
	HTTPMembers = "members"
	HTTPAll     = "all"
)

// OverlayHTTP is who may use the HTTP API on streams.
func (c *Config) OverlayHTTP() string {
	switch {
	case c.Overlay.HTTP != "":
		return c.Overlay.HTTP
	case c.Overlay.onLoopback(c.Addrs.Bind):
		return HTTPAll // as on TCP, where whoever is on this machine may
	default:
		return HTTPMembers
	}
}

// onLoopback reports whether only this machine reaches the overlay.
func (o *Overlay) onLoopback(bind netip.Addr) bool {
	if len(o.Listen) == 0 {
		return bind.IsLoopback()
	}
	return !slices.ContainsFunc(o.Listen, func(s string) bool {
		a, err := parseMultiaddr(s)
		return err != nil || !manet.IsIPLoopback(a)
	})
}

var overlayNetworkRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (v *validator) overlay() {
	c, o := v.c, &v.c.Overlay
	if !overlayNetworkRE.MatchString(o.Network) {
		v.refuse("overlay.network", "lower-case letters, digits, '-' and '_', at most 63", "%s is not a name of a network", settings.Quote(o.Network))
	}
	if !slices.Contains([]string{"auto", "public", "private"}, o.Reachability) {
		v.refuse("overlay.reachability", "auto, public or private", "%s is none of them", settings.Quote(o.Reachability))
	}
	switch o.HTTP {
	case "", HTTPOff, HTTPMembers:
	case HTTPAll:
		if v.addrs.Bind.IsValid() && c.OverlayOn() && !o.onLoopback(v.addrs.Bind) {
			v.warn("overlay.http", `set it to "members", or keep strangers from the overlay's port`, "anybody who reaches the overlay may read and write")
		}
	default:
		v.refuse("overlay.http", "off, members or all", "%s is none of them", settings.Quote(o.HTTP))
	}
	v.multiaddrs("overlay.listen", o.Listen, false)
	v.multiaddrs("overlay.announce", o.Announce, false)
	v.multiaddrs("overlay.bootstrap", o.Bootstrap, true)
	v.overlaySecret()
	if !c.OverlayOn() && len(o.Bootstrap) > 0 && !c.origins.Unsure("overlay.enabled") {
		v.refuse("overlay.bootstrap", "set data_dir, or overlay { enabled = true }, and ports.overlay to a port", "the overlay is off")
	}
}

// overlaySecret holds overlay.listen to what bind_addr is held to: without a key everybody is a member.
func (v *validator) overlaySecret() {
	c := v.c
	if !c.OverlayOn() || c.ClusterKey != "" || c.Insecure || c.origins.Refused("cluster_key") {
		return
	}
	for _, s := range c.Overlay.Listen {
		if a, err := parseMultiaddr(s); err == nil && !manet.IsIPLoopback(a) {
			v.refuse("cluster_key", `make one with "debros keygen" for all agents, or listen on loopback, or set insecure = true`,
				"needed to listen on %s, which is not loopback", s)
		}
	}
}

// parseMultiaddr reads an address. /quic is what older configurations have; it is read as /quic-v1.
func parseMultiaddr(s string) (ma.Multiaddr, error) {
	return ma.NewMultiaddr(strings.TrimSuffix(strings.ReplaceAll(strings.TrimSpace(s)+"/", "/quic/", "/quic-v1/"), "/"))
}

// multiaddrs checks addresses; those with an id name a peer.
func (v *validator) multiaddrs(key string, list []string, id bool) {
	for _, s := range list {
		a, err := parseMultiaddr(s)
		if err != nil {
			v.refuse(key, "such as /ip4/10.0.0.1/tcp/4001", "%s is not a multiaddr", settings.Quote(s))
			continue
		}
		_, err = a.ValueForProtocol(ma.P_P2P)
		switch {
		case id && err != nil:
			v.refuse(key, "'debros peer-id' on that agent shows its id", "%s does not end in /p2p/<id>", settings.Quote(s))
		case !id && err == nil:
			v.refuse(key, "remove /p2p/<id>: this node's id goes without saying", "%s names a peer", settings.Quote(s))
		}
	}
}
