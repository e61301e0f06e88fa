package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/debros/debros/api"
)

func membersCommand() *cmd {
	var detailed, wan bool
	var status string
	return &cmd{
		name: "members", synopsis: "List the nodes of the cluster as the agent sees them",
		help: `An edge agent, which has no gossip, lists what its servers know.

-wan lists the servers and the edge agents of every datacenter that the overlay reaches, and how they are connected to the agent
that is asked, or else an edge agent to its servers: direct, punched (direct, through the NATs between) or relay.

The exit status is 1 when -status was given and no member has such a status.`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&detailed, "detailed", false, "show all tags")
			fs.BoolVar(&wan, "wan", false, "servers and edge agents of all datacenters")
			fs.StringVar(&status, "status", "", "only members whose status (alive, leaving, left, failed) matches the `regular expression`")
		},
		run: func(ctx context.Context, c *call) error {
			match, err := regexp.Compile("^(?:" + status + ")$")
			if err != nil {
				return usagef("-status: %v", err)
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			list := client.Agent().Members
			if wan {
				list = client.Agent().MembersWAN
			}
			all, err := list(ctx, c.query())
			if err != nil {
				return err
			}
			shown := []*api.Member{}
			for _, m := range all {
				if status == "" || match.MatchString(string(m.Status)) {
					shown = append(shown, m)
				}
			}
			sort.Slice(shown, func(i, j int) bool { return shown[i].Name < shown[j].Name })
			if err := c.print(shown, func() error {
				if wan && !detailed {
					return wanTable(c, shown)
				}
				return membersTable(c, shown, detailed)
			}); err != nil {
				return err
			}
			if status != "" && len(shown) == 0 {
				return &exitError{exitFailed}
			}
			return nil
		},
	}
}

func membersTable(c *call, members []*api.Member, detailed bool) error {
	if detailed {
		rows := [][]string{}
		for _, m := range members {
			tags := make([]string, 0, len(m.Tags))
			for k, v := range m.Tags {
				tags = append(tags, k+"="+v)
			}
			sort.Strings(tags)
			rows = append(rows, []string{m.Name, hostPort(m), string(m.Status), strings.Join(tags, ",")})
		}
		return c.table([]string{"Node", "Address", "Status", "Tags"}, rows)
	}
	rows := [][]string{}
	for _, m := range members {
		rows = append(rows, []string{m.Name, hostPort(m), string(m.Status), m.Role, m.Build, m.Datacenter, shortID(m.ID)})
	}
	return c.table([]string{"Node", "Address", "Status", "Role", "Build", "DC", "ID"}, rows)
}

func wanTable(c *call, members []*api.Member) error {
	rows := [][]string{}
	for _, m := range members {
		rows = append(rows, []string{m.Name, string(m.Status), m.Role, m.Datacenter, m.Build, m.Tags["via"], m.Tags["transport"], m.Tags["rtt_ms"], shortID(m.ID)})
	}
	return c.table([]string{"Node", "Status", "Role", "DC", "Build", "Via", "Transport", "RTT ms", "ID"}, rows)
}

func hostPort(m *api.Member) string { return net.JoinHostPort(m.Addr, strconv.Itoa(m.Port)) }

// shortID is the end of a peer id: all begin alike.
func shortID(id string) string {
	if len(id) > 16 {
		return "…" + id[len(id)-12:]
	}
	return id
}

func joinCommand() *cmd {
	return &cmd{
		name: "join", args: "ADDRESS…", synopsis: "Make the agent join a cluster", min: 1, max: -1,
		help: "ADDRESS is host or host:port of the gossip of any member. One that answers is enough.",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			joined := []string{}
			var failures []error
			for _, a := range c.args {
				if err := client.Agent().Join(ctx, a); err != nil {
					failures = append(failures, fmt.Errorf("join %s: %w", a, err))
				} else {
					joined = append(joined, a)
				}
			}
			if len(joined) == 0 {
				return errors.Join(failures...)
			}
			for _, err := range failures { // one that answers is enough
				fmt.Fprintf(c.Stderr, "warning: %s\n", printable(err.Error(), false))
			}
			return c.done(map[string][]string{"Joined": joined}, "Joined the cluster by contacting %s", strings.Join(joined, ", "))
		},
	}
}

func leaveCommand() *cmd {
	var force bool
	return &cmd{
		name: "leave", synopsis: "Make the agent leave the cluster and stop",
		help: `A server hands over leadership and is removed from the servers that decide. It refuses when those
that remain could not decide any more; -force overrides that.`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&force, "force", false, "leave even if quorum is lost")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			if err := client.Agent().Leave(ctx, force); err != nil {
				return err
			}
			return c.done(map[string]bool{"Left": true}, "Left the cluster")
		},
	}
}

func forceLeaveCommand() *cmd {
	var prune bool
	return &cmd{
		name: "force-leave", args: "NODE", synopsis: "Declare a failed node as left", min: 1, max: 1,
		help: `If the node is in fact alive it will join again by itself. An edge agent that failed is forgotten, with or without -prune: the servers
keep nothing else of it.`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&prune, "prune", false, "forget the node altogether")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			if err := client.Agent().ForceLeave(ctx, c.args[0], prune); err != nil {
				return err
			}
			return c.done(map[string]string{"Node": c.args[0]}, "%s has left", printable(c.args[0], false))
		},
	}
}
