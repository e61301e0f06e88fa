package command

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"github.com/debros/debros/api"
)

func kvDeleteCommand() *cmd {
	var recurse, yes bool
	var cas string
	return &cmd{
		name: "kv delete", args: "KEY", synopsis: "Delete a key or a tree", min: 1, max: 1,
		help: `That the key does not exist is no error. To delete every key of the namespace, give "" with
-recurse and confirm.`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&recurse, "recurse", false, "delete every key that begins with KEY")
			fs.StringVar(&cas, "cas", "", "delete only if the key's ModifyIndex is `index`")
			fs.BoolVar(&yes, "yes", false, "delete everything without asking")
		},
		run: func(ctx context.Context, c *call) error {
			key := c.args[0]
			if recurse && cas != "" {
				return usagef("kv delete: give one of -recurse and -cas")
			}
			if key == "" && !recurse {
				return usagef("kv delete: a key is needed")
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			switch {
			case recurse:
				if key == "" && !yes {
					if err := c.confirm("This deletes every key of the namespace.", "delete"); err != nil {
						return err
					}
				}
				_, err = client.KV().DeleteTree(ctx, key, nil)
			case cas != "":
				index, perr := strconv.ParseUint(cas, 10, 64)
				if perr != nil {
					return usagef("-cas=%s: want a number", cas)
				}
				var ok bool
				ok, _, err = client.KV().DeleteCAS(ctx, &api.KVPair{Key: key, ModifyIndex: index}, nil)
				if err == nil && !ok {
					return fmt.Errorf("not deleted: the ModifyIndex of %q is not %s", key, cas)
				}
			default:
				_, err = client.KV().Delete(ctx, key, nil)
			}
			if err != nil {
				return err
			}
			return c.done(map[string]string{"Deleted": key}, "Deleted: %s", printable(key, false))
		},
	}
}

func kvListCommand() *cmd {
	var separator string
	return &cmd{
		name: "kv list", args: "[PREFIX]", synopsis: "List keys", max: 1,
		help: "The same as 'debros kv get -keys PREFIX'.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&separator, "separator", "", "list what follows the first `text` after PREFIX only once")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			prefix := ""
			if len(c.args) == 1 {
				prefix = c.args[0]
			}
			return kvKeys(ctx, c, client, prefix, separator)
		},
	}
}
