package command

import (
	"context"
	"flag"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

func peersCommand() *cmd {
	var detailed, members bool
	return &cmd{
		name: "peers", synopsis: "List the peers of the agent on the overlay",
		help: `MEMBER says whether a peer has proven to hold the cluster key; VIA how it is connected: directly, through
a relay, or not at all.`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&detailed, "detailed", false, "show addresses, connections, version and failures")
			fs.BoolVar(&members, "members", false, "only members")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			all, err := client.Network().Peers(ctx)
			if err != nil {
				return err
			}
			shown := []*api.NetworkPeer{}
			for _, p := range all {
				if p.Member || !members {
					shown = append(shown, p)
				}
			}
			sort.Slice(shown, func(i, j int) bool { return shown[i].Node+shown[i].ID < shown[j].Node+shown[j].ID })
			return c.print(shown, func() error {
				if detailed {
					return peersDetailed(c, shown)
				}
				return overlayPeersTable(c, shown)
			})
		},
	}
}

func overlayPeersTable(c *call, peers []*api.NetworkPeer) error {
	rows := [][]string{}
	for _, p := range peers {
		rows = append(rows, []string{p.Node, p.ID, yesNo(p.Member), via(p), rtt(p), transports(p), strings.Join(p.Sources, ",")})
	}
	return c.table([]string{"Node", "Peer", "Member", "Via", "RTT", "Transport", "Known by"}, rows)
}

func peersDetailed(c *call, peers []*api.NetworkPeer) error {
	for i, p := range peers {
		if i > 0 {
			fmt.Fprintln(c.Stdout)
		}
		rows := [][2]string{
			{"peer", p.ID}, {"node", p.Node}, {"role", p.Role}, {"datacenter", p.Datacenter},
			{"member", yesNo(p.Member)}, {"via", via(p)}, {"rtt", rtt(p)}, {"agent", p.Agent}, {"known by", strings.Join(p.Sources, ", ")},
		}
		if p.LastSeen != nil {
			rows = append(rows, [2]string{"last seen", p.LastSeen.Local().Format(time.RFC3339)})
		}
		for _, a := range p.Addresses {
			rows = append(rows, [2]string{"address", a})
		}
		for _, conn := range p.Conns {
			rows = append(rows, [2]string{"connection", describe(conn)})
		}
		if p.Error != "" {
			rows = append(rows, [2]string{"failures", strconv.Itoa(p.Failures)}, [2]string{"error", firstLine(p.Error)})
		}
		if err := c.fields(rows); err != nil {
			return err
		}
	}
	return nil
}

func describe(conn api.NetworkConn) string {
	words := []string{conn.Transport}
	if conn.Security != "" {
		words = append(words, conn.Security)
	}
	direction := "to"
	if conn.Inbound {
		direction = "from"
	}
	if conn.Limited {
		words = append(words, "limited")
	}
	return fmt.Sprintf("%s, %s %s, %d streams, since %s", strings.Join(words, " "), direction, conn.Address, conn.Streams,
		conn.Opened.Local().Format(time.RFC3339))
}

func via(p *api.NetworkPeer) string {
	if !p.Connected {
		return "not connected"
	}
	return p.Via
}

func rtt(p *api.NetworkPeer) string {
	if p.RTTMillis == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", p.RTTMillis)
}

// transports are those of the connections, each once.
func transports(p *api.NetworkPeer) string {
	var out []string
	for _, conn := range p.Conns {
		if !strings.Contains(strings.Join(out, ","), conn.Transport) {
			out = append(out, conn.Transport)
		}
	}
	return strings.Join(out, ",")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

func peerIDCommand() *cmd {
	return &cmd{
		name: "peer-id", synopsis: "Show the agent's peer id and addresses",
		help: "Others connect to one of the addresses: debros connect, or overlay { bootstrap = […] }.",
		run: func(ctx context.Context, c *call) error {
			self, err := networkSelf(ctx, c)
			if err != nil {
				return err
			}
			result := map[string]any{"id": self.ID, "addresses": self.Addresses}
			return c.print(result, func() error {
				fmt.Fprintln(c.Stdout, self.ID)
				for _, a := range self.Addresses {
					fmt.Fprintln(c.Stdout, printable(a, false))
				}
				return nil
			})
		},
	}
}

func networkSelf(ctx context.Context, c *call) (*api.NetworkSelf, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return client.Network().Self(ctx)
}

func networkStatusCommand() *cmd {
	return &cmd{
		name: "network status", synopsis: "Show how the agent takes part in the overlay",
		run: func(ctx context.Context, c *call) error {
			self, err := networkSelf(ctx, c)
			if err != nil {
				return err
			}
			return c.print(self, func() error {
				rows := [][2]string{
					{"peer", self.ID}, {"node", self.Node}, {"network", self.Network}, {"members", strconv.Itoa(self.Members)},
					{"strangers", strconv.Itoa(self.Strangers)}, {"neighbors", strconv.Itoa(self.Neighbors)},
					{"reachability", self.Reachability}, {"relays for others", yesNo(self.Relay)},
					{"relayed by", strings.Join(self.RelayedBy, " ")},
					{"dht", self.DHT}, {"table", strconv.Itoa(self.TableSize) + " peers"}, {"offers", strings.Join(self.Offers, " ")},
					{"uptime", (time.Duration(self.UptimeSeconds) * time.Second).String()},
				}
				for _, a := range self.Listen {
					rows = append(rows, [2]string{"listens on", a})
				}
				for _, a := range self.Addresses {
					rows = append(rows, [2]string{"address", a})
				}
				return c.fields(rows)
			})
		},
	}
}
