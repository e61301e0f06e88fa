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
		help: "A name is 1 to 63 of a-z, 0-9 and '-', not beginning with '-'.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&n.Description, "description", "", "`text` for people")
			fs.Var(pairs(n.Meta), "meta", "`name=value` to keep with it; may be given many times")
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
	return namespaceSetCommand("update", "Change a namespace's description and metadata")
}

func showNamespace(c *call, n *api.Namespace) error {
	return c.print(n, func() error {
		rows := [][2]string{{"Name", n.Name}, {"Description", n.Description}}
		for _, k := range sortedKeys(n.Meta) {
			rows = append(rows, [2]string{"Meta " + k, n.Meta[k]})
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
				return withHint(fmt.Errorf("no namespace %q", c.args[0]), "debros namespace list shows those that exist")
			}
			return showNamespace(c, n)
		},
	}
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
			if !yes {
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
