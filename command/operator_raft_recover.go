package command

import (
	"context"
	"errors"
	"flag"
	"strings"

	"github.com/debros/debros/agent"
	"github.com/debros/debros/agent/server"
	"github.com/debros/debros/structs"
)

// recoverServer is one server of the configuration that a recovery writes.
type recoverServer struct {
	ID       string
	Address  string // host:port of its server port
	NonVoter bool
}

func raftRecoverCommand() *cmd {
	var dataDir string
	var servers recoverServers
	var yes bool
	return &cmd{
		name: "operator raft recover", synopsis: "Write a new list of deciding servers, offline", local: true, noFormat: true,
		help: `For a cluster that lost most of its servers for good. Stop every server that is left, run this on
each with the same list, and start them again. What was not committed may be lost.

  debros operator raft recover -data-dir=/var/lib/debros -server=12D3Koo…@10.0.0.1:7001`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&dataDir, "data-dir", "", "data `directory` of the stopped agent")
			fs.Var(&servers, "server", "`id@host:port` of a server that decides from now on, with ',nonvoter' after it for one that does not; may be given many times")
			fs.BoolVar(&yes, "yes", false, "do not ask")
		},
		run: func(ctx context.Context, c *call) error {
			if dataDir == "" || len(servers) == 0 {
				return usagef("operator raft recover: -data-dir and at least one -server are needed")
			}
			if !yes {
				if err := c.confirm("This replaces the list of servers in "+dataDir+".", "recover"); err != nil {
					return err
				}
			}
			if err := recoverRaft(ctx, dataDir, servers); err != nil {
				return err
			}
			return c.line("Recovered: %d servers. Start the agents again.", len(servers))
		},
	}
}

// recoverRaft rewrites the Raft configuration in a data directory that no agent has open.
func recoverRaft(_ context.Context, dataDir string, servers []recoverServer) error {
	peers := make([]server.RecoverPeer, 0, len(servers))
	for _, s := range servers {
		peers = append(peers, server.RecoverPeer{ID: structs.NodeID(s.ID), Address: s.Address, Voter: !s.NonVoter})
	}
	return agent.RecoverRaft(dataDir, peers)
}

// recoverServers is the -server flag.
type recoverServers []recoverServer

func (s *recoverServers) String() string { return "" }

// Set implements flag.Value.
func (s *recoverServers) Set(text string) error {
	text, nonVoter := strings.CutSuffix(text, ",nonvoter")
	id, addr, ok := strings.Cut(text, "@")
	if !ok || id == "" || !strings.Contains(addr, ":") {
		return errors.New("want id@host:port")
	}
	*s = append(*s, recoverServer{ID: id, Address: addr, NonVoter: nonVoter})
	return nil
}
