package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

func connectCommand() *cmd {
	return &cmd{
		name: "connect", args: "MULTIADDR", synopsis: "Make the agent connect to a member on the overlay", min: 1, max: 1,
		help: `MULTIADDR ends in /p2p/ and the peer's id, as 'debros peer-id' prints it on the other agent:

    debros connect /ip4/10.0.0.7/tcp/4001/p2p/12D3KooW…

The agent keeps the member connected until 'debros disconnect' or its end.`,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			id, err := client.Network().Connect(ctx, c.args[0])
			if err != nil {
				return err
			}
			return c.done(map[string]string{"id": id}, "Connected to %s", id)
		},
	}
}

func disconnectCommand() *cmd {
	return &cmd{
		name: "disconnect", args: "PEER", synopsis: "Make the agent close its connections to a peer", min: 1, max: 1,
		help: "PEER is a peer id. Members of the LAN and bootstrap peers come back, and so does who dials this agent.",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			if err := client.Network().Disconnect(ctx, c.args[0]); err != nil {
				return err
			}
			return c.done(map[string]string{"id": c.args[0]}, "Disconnected from %s", printable(c.args[0], false))
		},
	}
}

func pingCommand() *cmd {
	var count int
	return &cmd{
		name: "ping", args: "PEER", synopsis: "Measure the round trip from the agent to a peer", min: 1, max: 1,
		help: "PEER is a peer id or the name of a member. The exit status is 1 when no ping was answered.",
		flags: func(fs *flag.FlagSet) {
			fs.IntVar(&count, "count", 3, "`number` of pings, one a second")
		},
		run: func(ctx context.Context, c *call) error {
			if count < 1 || count > 100 {
				return usagef("-count=%d: want 1 to 100", count)
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			id, err := peerNamed(ctx, client, c.args[0])
			if err != nil {
				return err
			}
			return pings(ctx, c, client, id, count)
		},
	}
}

// pings asks for one at a time, so that each is shown when it is there.
func pings(ctx context.Context, c *call, client *api.Client, id string, count int) error {
	all := &api.NetworkPing{ID: id, Pings: []api.NetworkPingReply{}}
	answered := 0
	for i := range count {
		if i > 0 {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		rep, err := client.Network().Ping(ctx, id, 1)
		if err != nil {
			return err
		}
		for _, p := range rep.Pings {
			all.Pings = append(all.Pings, p)
			text := fmt.Sprintf("%.3f ms", p.RTTMillis)
			if p.Error != "" {
				text = "no answer: " + firstLine(p.Error)
			} else {
				answered++
			}
			if c.format == "table" {
				fmt.Fprintf(c.Stdout, "%s: %s\n", printable(id, false), printable(text, false))
			}
		}
	}
	if c.format == "json" {
		if err := c.print(all, nil); err != nil {
			return err
		}
	}
	if answered == 0 {
		return &exitError{exitFailed}
	}
	return nil
}

// peerNamed is a peer id, or that of the member with the name.
func peerNamed(ctx context.Context, client *api.Client, name string) (string, error) {
	if strings.HasPrefix(name, "12D3KooW") {
		return name, nil
	}
	members, err := client.Agent().Members(ctx, nil)
	if err != nil {
		return "", err
	}
	for _, m := range members {
		if m.Name == name {
			return m.ID, nil
		}
	}
	return "", withHint(fmt.Errorf("%q is neither a peer id nor the name of a member", name), "'debros peers' and 'debros members' list them")
}

func dhtFindPeerCommand() *cmd {
	return &cmd{
		name: "dht find-peer", args: "PEER", synopsis: "Find out where a peer is", min: 1, max: 1,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			found, err := client.Network().FindPeer(ctx, c.args[0])
			if err != nil {
				return err
			}
			return c.print(found, func() error { return addrsTable(c, []*api.NetworkAddrs{found}) })
		},
	}
}

func dhtProvidersCommand() *cmd {
	return &cmd{
		name: "dht providers", args: "OFFER", synopsis: "Find members that offer something", min: 1, max: 1,
		help: `OFFER is one of service:database, service:storage, service:pubsub, role:server, role:client, datacenter:NAME, or
service:database@NAME for one datacenter. Each provider's own signed record is checked.`,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			found, err := client.Network().Providers(ctx, c.args[0])
			if err != nil {
				return err
			}
			if found == nil {
				found = []*api.NetworkAddrs{}
			}
			return c.print(found, func() error { return addrsTable(c, found) })
		},
	}
}

func addrsTable(c *call, list []*api.NetworkAddrs) error {
	rows := [][]string{}
	for _, n := range list {
		rows = append(rows, []string{n.ID, strings.Join(n.Addresses, " ")})
	}
	return c.table([]string{"Peer", "Addresses"}, rows)
}

func dhtGetCommand() *cmd {
	return &cmd{
		name: "dht get", args: "KEY", synopsis: "Read a record of the distributed table", min: 1, max: 1,
		help: "KEY is /debros/PEER/NAME, as 'debros dht put' prints it. For debugging: programs use the key-value store.",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			rec, err := client.Network().GetRecord(ctx, c.args[0])
			if err != nil {
				return err
			}
			return c.print(rec, func() error {
				_, err := c.Stdout.Write(rec.Data)
				return err
			})
		},
	}
}

func dhtPutCommand() *cmd {
	var ttl time.Duration
	return &cmd{
		name: "dht put", args: "NAME VALUE", synopsis: "Keep a record in the distributed table", min: 2, max: 2,
		help: `The record is signed by the agent's key and kept under /debros/PEER/NAME, where every member can read it.
VALUE - is standard input. For debugging: programs use the key-value store.`,
		flags: func(fs *flag.FlagSet) {
			fs.DurationVar(&ttl, "ttl", 24*time.Hour, "forget it after this `duration`, at most 24h")
		},
		run: func(ctx context.Context, c *call) error {
			data := []byte(c.args[1])
			if c.args[1] == "-" {
				var err error
				if data, err = io.ReadAll(io.LimitReader(c.Stdin, recordInputMax)); err != nil && !errors.Is(err, os.ErrClosed) {
					return err
				}
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			key, err := client.Network().PutRecord(ctx, c.args[0], data, ttl)
			if err != nil {
				return err
			}
			return c.done(map[string]string{"key": key}, "%s", key)
		},
	}
}

// recordInputMax is more than the agent takes, so that it says what the limit is.
const recordInputMax = 64 << 10
