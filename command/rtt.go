package command

import (
	"context"
	"fmt"

	"github.com/debros/debros/api"
)

func rttCommand() *cmd {
	return &cmd{
		name: "rtt", args: "NODE [NODE]", synopsis: "Estimate the round trip between two nodes", min: 1, max: 2,
		help: "Without a second node, from the agent's own. The estimate comes from gossip; nothing is measured now.",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			nodes := c.args
			if len(nodes) == 1 {
				self, err := client.Agent().Self(ctx)
				if err != nil {
					return err
				}
				name, _ := self["Config"]["NodeName"].(string)
				nodes = append(nodes, name)
			}
			all, _, err := client.Coordinates().Nodes(ctx, c.query())
			if err != nil {
				return err
			}
			a, err := coordinateOf(all, nodes[0])
			if err != nil {
				return err
			}
			b, err := coordinateOf(all, nodes[1])
			if err != nil {
				return err
			}
			rtt := a.Distance(b)
			result := map[string]any{"Node1": nodes[0], "Node2": nodes[1], "RTTMillis": float64(rtt.Microseconds()) / 1000}
			return c.done(result, "%s <-> %s: %.3f ms", printable(nodes[0], false), printable(nodes[1], false), float64(rtt.Microseconds())/1000)
		},
	}
}

func coordinateOf(all []*api.Coordinate, node string) (*api.Coord, error) {
	for _, c := range all {
		if c.Node == node && c.Coord != nil {
			return c.Coord, nil
		}
	}
	return nil, withHint(fmt.Errorf("no coordinate of node %q", node), "debros members lists the nodes; a new one has a coordinate after some seconds")
}
