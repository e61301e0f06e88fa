package command

import (
	"context"
	"flag"
	"fmt"

	"github.com/debros/debros/api"
)

func namespaceSetCommand(verb, synopsis string) *cmd {
	n := api.Namespace{Meta: pairs{}}
	return &cmd{
		name: "namespace " + verb, args: "NAME", synopsis: synopsis, min: 1, max: 1,
		help: "A name is 1 to 63 of a-z, 0-9 and '-', not beginning with '-'. What is not given is empty afterwards, or without limit.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&n.Description, "description", "", "`text` for people")
			fs.Var(pairs(n.Meta), "meta", "`name=value` to keep with it; may be given many times")
			fs.Int64Var(&n.BytesMax, "bytes-max", 0, "`bytes` that its keys, values and databases may have together; 0 = no limit")
			fs.IntVar(&n.DatabasesMax, "databases-max", 0, "`number` of databases that it may have; 0 = no limit")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			n.Name = c.args[0]
			set := client.Namespaces().Create
			if verb == "update" {
				set = client.Namespaces().Update
			}
			out, _, err := set(ctx, &n, nil)
			if err != nil {
				return err
			}
			return showNamespace(c, out)
		},
	}
}

func namespaceCreateCommand() *cmd {
	return namespaceSetCommand("create", "Make a namespace")
}

func namespaceUpdateCommand() *cmd {
	return namespaceSetCommand("update", "Set a namespace's description, metadata and quotas")
}

func showNamespace(c *call, n *api.Namespace) error {
	return c.print(n, func() error {
		rows := [][2]string{{"Name", n.Name}, {"Description", n.Description}}
		for _, k := range sortedKeys(n.Meta) {
			rows = append(rows, [2]string{"Meta " + k, n.Meta[k]})
		}
		if n.BytesMax > 0 {
			rows = append(rows, [2]string{"BytesMax", fmt.Sprint(n.BytesMax)})
		}
		if n.DatabasesMax > 0 {
			rows = append(rows, [2]string{"DatabasesMax", fmt.Sprint(n.DatabasesMax)})
		}
		return c.fields(append(rows, [2]string{"CreateIndex", fmt.Sprint(n.CreateIndex)}, [2]string{"ModifyIndex", fmt.Sprint(n.ModifyIndex)}))
	})
}

func namespaceListCommand() *cmd {
	return &cmd{
		name: "namespace list", synopsis: "List namespaces",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			list, _, err := client.Namespaces().List(ctx, c.query())
			if err != nil {
				return err
			}
			return c.print(list, func() error {
				rows := [][]string{}
				for _, n := range list {
					rows = append(rows, []string{n.Name, n.Description})
				}
				return c.table([]string{"Name", "Description"}, rows)
			})
		},
	}
}

func namespaceReadCommand() *cmd {
	return &cmd{
		name: "namespace read", args: "NAME", synopsis: "Show a namespace", min: 1, max: 1,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			n, _, err := client.Namespaces().Read(ctx, c.args[0], c.query())
			if err != nil {
				return err
			}
			if n == nil {
				return noNamespace(c.args[0])
			}
			return showNamespace(c, n)
		},
	}
}

func noNamespace(name string) error {
	return withHint(fmt.Errorf("no namespace %q", name), "debros namespace list shows those that exist")
}

// needNamespace tells a namespace that does not exist from one without such keys: the agent answers a read
// in either alike. For a read that found nothing.
func (c *call) needNamespace(ctx context.Context, client *api.Client) error {
	name := c.common.config().Namespace
	if name == "" || name == "default" {
		return nil
	}
	// An error (a token may read keys and no namespaces) leaves it at the answer that there is.
	if n, _, err := client.Namespaces().Read(ctx, name, c.query()); err != nil || n != nil {
		return nil
	}
	return noNamespace(name)
}

func namespaceDeleteCommand() *cmd {
	var yes bool
	return &cmd{
		name: "namespace delete", args: "NAME", synopsis: "Delete a namespace and everything in it", min: 1, max: 1,
		help: "Asks for the name again, since nothing of it can be brought back.",
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&yes, "yes", false, "do not ask")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			name := c.args[0]
			if !yes && name != "default" { // which the agent refuses to delete
				if found, _, err := client.Namespaces().Read(ctx, name, nil); err != nil {
					return err
				} else if found == nil {
					return noNamespace(name)
				}
				n, _, err := client.KV().Count(ctx, "", &api.QueryOptions{Namespace: name})
				if err != nil {
					return err
				}
				if err := c.confirm(fmt.Sprintf("This deletes namespace %s with its %d keys, and its sessions.", name, n), name); err != nil {
					return err
				}
			}
			if _, err := client.Namespaces().Delete(ctx, name, nil); err != nil {
				return err
			}
			return c.done(map[string]string{"Deleted": name}, "Deleted: %s", printable(name, false))
		},
	}
}
