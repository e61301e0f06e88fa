package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

func raftListPeersCommand() *cmd {
	return &cmd{
		name: "operator raft list-peers", synopsis: "List the servers that decide",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			cfg, err := client.Operator().RaftConfiguration(ctx, c.query())
			if err != nil {
				return err
			}
			if len(cfg.Servers) == 0 { // only a stale read gets that answer
				return withHint(errors.New("no servers decide yet: the cluster has not begun"), "it begins when bootstrap_expect servers have found each other")
			}
			return c.print(cfg, func() error { return peersTable(c, cfg) })
		},
	}
}

func peersTable(c *call, cfg *api.RaftConfiguration) error {
	var lead uint64
	for _, s := range cfg.Servers {
		if s.Leader {
			lead = s.LastIndex
		}
	}
	servers := slices.Clone(cfg.Servers)
	slices.SortStableFunc(servers, func(a, b *api.RaftServer) int { return strings.Compare(a.Node, b.Node) })
	rows := [][]string{}
	for _, s := range servers {
		state, behind := "follower", ""
		if s.Leader {
			state = "leader"
		} else if s.LastIndex > 0 && lead >= s.LastIndex {
			behind = fmt.Sprintf("%d", lead-s.LastIndex)
		}
		if s.Quarantine != "" {
			state = "quarantine" // it answers no reads: its state was found wrong
		}
		rows = append(rows, []string{s.Node, s.ID, s.Address, state, strconv.FormatBool(s.Voter), strconv.FormatUint(s.LastIndex, 10), behind})
	}
	if err := c.table([]string{"Node", "ID", "Address", "State", "Voter", "Index", "Behind"}, rows); err != nil || len(cfg.Refused) == 0 {
		return err
	}
	if err := c.line("\nKept out of this cluster (%s):", printable(cfg.ClusterID, false)); err != nil {
		return err
	}
	rows = nil
	for _, s := range cfg.Refused {
		rows = append(rows, []string{s.Node, s.ID, s.Address, s.ClusterID, s.Reason})
	}
	return c.table([]string{"Node", "ID", "Address", "Cluster", "Reason"}, rows)
}

func raftRemovePeerCommand() *cmd {
	var id, address string
	return &cmd{
		name: "operator raft remove-peer", synopsis: "Remove a server from those that decide",
		help: "Only for a server that is gone for good and was not removed by itself; 'debros leave' is the way for a living one.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&id, "id", "", "the server's `id`, from list-peers")
			fs.StringVar(&address, "address", "", "the server's `host:port`, from list-peers")
		},
		run: func(ctx context.Context, c *call) error {
			if (id == "") == (address == "") {
				return usagef("operator raft remove-peer: give one of -id and -address")
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			if id != "" {
				err = client.Operator().RaftRemovePeer(ctx, id, nil)
			} else {
				err = client.Operator().RaftRemovePeerByAddress(ctx, address, nil)
			}
			if err != nil {
				return err
			}
			return c.done(map[string]string{"Removed": id + address}, "Removed: %s", printable(id+address, false))
		},
	}
}

func raftTransferLeaderCommand() *cmd {
	var id string
	return &cmd{
		name: "operator raft transfer-leader", synopsis: "Hand leadership to another server",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&id, "id", "", "the server's `id`; without one the leader chooses")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			if err := client.Operator().RaftTransferLeader(ctx, id, nil); err != nil {
				return err
			}
			return c.done(map[string]bool{"Success": true}, "Leadership was handed over")
		},
	}
}

func autopilotGetCommand() *cmd {
	return &cmd{
		name: "operator autopilot get-config", synopsis: "Show how the leader looks after the servers",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			cfg, err := client.Operator().AutopilotConfig(ctx, c.query())
			if err != nil {
				return err
			}
			return c.print(cfg, func() error {
				return c.fields([][2]string{
					{"CleanupDeadServers", strconv.FormatBool(cfg.CleanupDeadServers)},
					{"LastContactThreshold", cfg.LastContactThreshold.String()},
					{"MaxTrailingLogs", fmt.Sprint(cfg.MaxTrailingLogs)},
					{"MinQuorum", fmt.Sprint(cfg.MinQuorum)},
					{"ServerStabilizationTime", cfg.ServerStabilizationTime.String()},
				})
			})
		},
	}
}

func autopilotSetCommand() *cmd {
	var cleanup bool
	var contact, stable time.Duration
	var trailing uint64
	var quorum uint
	var fs *flag.FlagSet
	return &cmd{
		name: "operator autopilot set-config", synopsis: "Change how the leader looks after the servers",
		help: "What is not given stays as it is.",
		flags: func(f *flag.FlagSet) {
			fs = f
			fs.BoolVar(&cleanup, "cleanup-dead-servers", false, "remove failed servers when quorum allows; =false to stop that")
			fs.DurationVar(&contact, "last-contact-threshold", 0, "a server silent for this `duration` is unhealthy")
			fs.Uint64Var(&trailing, "max-trailing-logs", 0, "a server behind by this `number` of entries is unhealthy")
			fs.UintVar(&quorum, "min-quorum", 0, "dead servers are not removed below this `number`")
			fs.DurationVar(&stable, "server-stabilization-time", 0, "a new server votes after this `duration` in health")
		},
		run: func(ctx context.Context, c *call) error {
			changes := map[string]func(*api.AutopilotConfig){
				"cleanup-dead-servers":      func(cfg *api.AutopilotConfig) { cfg.CleanupDeadServers = cleanup },
				"last-contact-threshold":    func(cfg *api.AutopilotConfig) { cfg.LastContactThreshold = api.Duration(contact) },
				"max-trailing-logs":         func(cfg *api.AutopilotConfig) { cfg.MaxTrailingLogs = trailing },
				"min-quorum":                func(cfg *api.AutopilotConfig) { cfg.MinQuorum = quorum },
				"server-stabilization-time": func(cfg *api.AutopilotConfig) { cfg.ServerStabilizationTime = api.Duration(stable) },
			}
			set := map[string]bool{}
			fs.Visit(func(f *flag.Flag) {
				if changes[f.Name] != nil {
					set[f.Name] = true
				}
			})
			switch {
			case len(set) == 0:
				return usagef("operator autopilot set-config: give what to change")
			case set["last-contact-threshold"] && contact <= 0, stable < 0:
				return usagef("operator autopilot set-config: a duration must be above 0")
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			cfg, err := client.Operator().AutopilotConfig(ctx, nil)
			if err != nil {
				return err
			}
			for name := range set {
				changes[name](cfg)
			}
			ok, err := client.Operator().CASAutopilotConfig(ctx, cfg, nil)
			if err != nil {
				return err
			}
			if !ok {
				return withHint(fmt.Errorf("somebody else changed the configuration at the same moment"), "run the command again")
			}
			return c.done(cfg, "Configuration updated")
		},
	}
}

func autopilotHealthCommand() *cmd {
	return &cmd{
		name: "operator autopilot health", synopsis: "Show how the servers are",
		help: "The exit status is 1 when one of them is not healthy.",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			h, err := client.Operator().AutopilotHealth(ctx, c.query())
			if err != nil {
				return err
			}
			err = c.print(h, func() error {
				rows := [][]string{}
				for _, s := range h.Servers {
					rows = append(rows, []string{s.Name, s.ID, string(s.SerfStatus), strconv.FormatBool(s.Healthy), strconv.FormatBool(s.Leader),
						strconv.FormatBool(s.Voter), s.LastContact.String(), fmt.Sprint(s.LastIndex), timeText(s.StableSince)})
				}
				if err := c.table([]string{"Node", "ID", "Status", "Healthy", "Leader", "Voter", "LastContact", "Index", "StableSince"}, rows); err != nil {
					return err
				}
				return c.line("\nHealthy: %v. Servers that may fail: %d.", h.Healthy, h.FailureTolerance)
			})
			if err == nil && !h.Healthy {
				return &exitError{exitFailed}
			}
			return err
		},
	}
}

func autopilotStateCommand() *cmd {
	return &cmd{
		name: "operator autopilot state", synopsis: "Show all that autopilot knows",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			s, err := client.Operator().AutopilotState(ctx, c.query())
			if err != nil {
				return err
			}
			return c.print(s, func() error {
				ids := sortedKeys(s.Servers)
				sort.SliceStable(ids, func(i, j int) bool { return s.Servers[ids[i]].Name < s.Servers[ids[j]].Name })
				rows := [][]string{}
				for _, id := range ids {
					v := s.Servers[id]
					rows = append(rows, []string{v.Name, id, v.Address, v.Status, string(v.NodeStatus), strconv.FormatBool(v.Healthy), v.Version})
				}
				if err := c.table([]string{"Node", "ID", "Address", "Status", "Seen", "Healthy", "Version"}, rows); err != nil {
					return err
				}
				return c.line("\nHealthy: %v. Servers that may fail: %d.", s.Healthy, s.FailureTolerance)
			})
		},
	}
}
