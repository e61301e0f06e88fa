package command

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/creds"
)

func keygenCommand() *cmd {
	return &cmd{
		name: "keygen", synopsis: "Make a new cluster key", local: true,
		help: "Prints 32 random bytes in base64, for cluster_key in the agents' configuration. Whoever has it is a member.",
		run: func(_ context.Context, c *call) error {
			key := creds.GenerateClusterKey().Encode()
			return c.done(map[string]string{"Key": key}, "%s", key)
		},
	}
}

func keyringCommand() *cmd {
	var list bool
	var install, use, remove string
	return &cmd{
		name: "keyring", synopsis: "List and change the gossip keys of all nodes",
		help: `To change the key: -install the new one, -use it, -remove the old one. A key is 32 bytes in base64.`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&list, "list", false, "list the keys and how many nodes have each; the default")
			fs.StringVar(&install, "install", "", "give every node another `key`, to read with")
			fs.StringVar(&use, "use", "", "make every node write with an installed `key`")
			fs.StringVar(&remove, "remove", "", "make every node forget a `key`")
		},
		run: func(ctx context.Context, c *call) error {
			given := 0
			for _, on := range []bool{list, install != "", use != "", remove != ""} {
				if on {
					given++
				}
			}
			if given > 1 {
				return usagef("keyring: give one of -list, -install, -use and -remove")
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			op := client.Operator()
			switch {
			case install != "":
				err = op.KeyringInstall(ctx, install)
			case use != "":
				err = op.KeyringUse(ctx, use)
			case remove != "":
				err = op.KeyringRemove(ctx, remove)
			default:
				return keyringList(ctx, c, op)
			}
			if err != nil {
				return err
			}
			return c.done(map[string]bool{"Success": true}, "Done")
		},
	}
}

func keyringList(ctx context.Context, c *call, op *api.Operator) error {
	rings, err := op.KeyringList(ctx, c.query())
	if err != nil {
		return err
	}
	return c.print(rings, func() error {
		rows := [][]string{}
		for _, r := range rings {
			pool := "LAN"
			if r.WAN {
				pool = "WAN"
			}
			for _, k := range sortedKeys(r.Keys) {
				primary := strconv.Itoa(r.PrimaryKeys[k])
				rows = append(rows, []string{r.Datacenter, pool, k, fmt.Sprintf("%d/%d", r.Keys[k], r.NumNodes), primary + "/" + strconv.Itoa(r.NumNodes)})
			}
		}
		if err := c.table([]string{"DC", "Pool", "Key", "Nodes", "Writing"}, rows); err != nil {
			return err
		}
		for _, r := range rings {
			for _, node := range sortedKeys(r.Messages) {
				fmt.Fprintf(c.Stderr, "%s: %s\n", printable(node, false), printable(r.Messages[node], false))
			}
		}
		return nil
	})
}
