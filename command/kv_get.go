package command

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

func kvGetCommand() *cmd {
	var recurse, keys, detailed, count, b64 bool
	var separator string
	return &cmd{
		name: "kv get", args: "KEY", synopsis: "Read a key, a tree or a list of keys", min: 0, max: 1,
		help: `A value is written as it is; on a terminal a final newline is added if there is none. A key that does not
exist is an error (exit status 1).

  debros kv get config/colour
  debros kv get -recurse config/
  debros kv get -keys -separator=/ ""`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&recurse, "recurse", false, "read every pair whose key begins with KEY")
			fs.BoolVar(&keys, "keys", false, "list the keys that begin with KEY")
			fs.BoolVar(&count, "count", false, "count the keys that begin with KEY")
			fs.StringVar(&separator, "separator", "", "with -keys, list what follows the first `text` after KEY only once")
			fs.BoolVar(&detailed, "detailed", false, "show indexes, flags, lock and expiry too")
			fs.BoolVar(&b64, "base64", false, "write values in base64")
		},
		run: func(ctx context.Context, c *call) error {
			if recurse && keys || recurse && count || keys && count {
				return usagef("kv get: give one of -recurse, -keys and -count")
			}
			key := ""
			if len(c.args) == 1 {
				key = c.args[0]
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			kv := client.KV()
			show := func(p *api.KVPair) string {
				if b64 {
					return base64.StdEncoding.EncodeToString(p.Value)
				}
				return string(p.Value)
			}
			switch {
			case keys:
				return kvKeys(ctx, c, client, key, separator)
			case count:
				n, _, err := kv.Count(ctx, key, c.query())
				if err == nil && n == 0 {
					err = c.needNamespace(ctx, client)
				}
				if err != nil {
					return err
				}
				return c.done(map[string]int64{"Count": n}, "%d", n)
			case recurse:
				return kvRecurse(ctx, c, client, key, detailed, show)
			case key == "":
				return usagef("kv get: a key is needed, or -recurse, -keys or -count")
			}
			p, _, err := kv.Get(ctx, key, c.query())
			if err != nil {
				return err
			}
			if p == nil {
				if err := c.needNamespace(ctx, client); err != nil {
					return err
				}
				return fmt.Errorf("no key %q", key)
			}
			if c.format == "json" {
				return c.json(p)
			}
			if detailed {
				return c.fields(pairFields(p, show(p)))
			}
			text := show(p)
			if b64 || isTerminal(c.Stdout) && !strings.HasSuffix(text, "\n") {
				text += "\n" // the prompt begins a line; a pipe gets the very bytes
			}
			_, err = io.WriteString(c.Stdout, text)
			return err
		},
	}
}

func kvKeys(ctx context.Context, c *call, client *api.Client, prefix, separator string) error {
	list, _, err := client.KV().Keys(ctx, prefix, separator, c.query())
	if err == nil && len(list) == 0 {
		err = c.needNamespace(ctx, client)
	}
	if err != nil {
		return err
	}
	if list == nil {
		list = []string{}
	}
	return c.print(list, func() error {
		for _, k := range list {
			if err := c.line("%s", printable(k, false)); err != nil {
				return err
			}
		}
		return nil
	})
}

// kvRecurse streams, so that a tree larger than memory can be read.
func kvRecurse(ctx context.Context, c *call, client *api.Client, prefix string, detailed bool, show func(*api.KVPair) string) error {
	out := newArray(c.Stdout)
	n := 0
	for p, err := range client.KV().Pairs(ctx, prefix, c.query()) {
		if err != nil {
			return err
		}
		switch {
		case c.format == "json":
			err = out.add(p)
		case detailed:
			if n > 0 {
				err = c.line("")
			}
			if err == nil {
				err = c.fields(pairFields(p, show(p)))
			}
		default:
			err = c.line("%s:%s", p.Key, show(p))
		}
		if err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		if err := c.needNamespace(ctx, client); err != nil {
			return err
		}
	}
	if c.format == "json" {
		return out.close()
	}
	return nil
}

func pairFields(p *api.KVPair, value string) [][2]string {
	rows := [][2]string{
		{"CreateIndex", strconv.FormatUint(p.CreateIndex, 10)},
		{"Flags", strconv.FormatUint(p.Flags, 10)},
		{"Key", p.Key},
		{"LockIndex", strconv.FormatUint(p.LockIndex, 10)},
		{"ModifyIndex", strconv.FormatUint(p.ModifyIndex, 10)},
		{"Session", p.Session},
	}
	if p.FencingToken != 0 {
		rows = append(rows, [2]string{"FencingToken", strconv.FormatUint(p.FencingToken, 10)})
	}
	if t, ok := p.Expires(); ok {
		rows = append(rows, [2]string{"ExpiresAt", t.UTC().Format(time.RFC3339Nano)})
	}
	return append(rows, [2]string{"Value", value})
}
