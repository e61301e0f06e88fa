package command

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

func kvPutCommand() *cmd {
	var cas, acquire, release string
	var flags, index uint64
	var ttl time.Duration
	var b64, hasIndex bool
	return &cmd{
		name: "kv put", args: "KEY [VALUE | @FILE | -]", synopsis: "Write a key", min: 1, max: 2,
		help: `VALUE beginning with @ names a file to read it from, - is standard input, and a VALUE that begins
with @ itself is written with a backslash before it. One that begins with - comes after --. Without
VALUE the value is empty.

  debros kv put config/colour blue
  debros kv put site/index @index.html
  debros kv put -cas=42 config/colour green      only if its ModifyIndex is 42 (0: only if missing)
  debros kv put -ttl=1m cache/x "…"              vanishes after a minute`,
		flags: func(fs *flag.FlagSet) {
			fs.Func("cas", "write only if the key's ModifyIndex is `index`; 0 = only if the key does not exist", func(s string) error {
				cas, hasIndex = s, true
				var err error
				index, err = strconv.ParseUint(s, 10, 64)
				return err
			})
			fs.Uint64Var(&flags, "flags", 0, "`number` of the caller's own, kept with the value")
			fs.StringVar(&acquire, "acquire", "", "lock the key for this `session`")
			fs.StringVar(&release, "release", "", "unlock the key held by this `session`")
			fs.Func("ttl", "`duration` after which the key vanishes", func(s string) error {
				var err error
				ttl, err = lifetime(s)
				return err
			})
			fs.BoolVar(&b64, "base64", false, "VALUE is base64")
		},
		run: func(ctx context.Context, c *call) error {
			p := &api.KVPair{Key: c.args[0], Flags: flags, ModifyIndex: index}
			conditions := 0
			for _, given := range []bool{hasIndex, acquire != "", release != ""} {
				if given {
					conditions++
				}
			}
			if conditions > 1 {
				return usagef("kv put: give one of -cas, -acquire and -release")
			}
			var err error
			if len(c.args) == 2 {
				if p.Value, err = c.value(c.args[1]); err != nil {
					return err
				}
			}
			if b64 {
				if p.Value, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(p.Value))); err != nil {
					return fmt.Errorf("read value: %w", err)
				}
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			kv, o := client.KV(), &api.WriteOptions{TTL: ttl}
			ok, m := true, (*api.WriteMeta)(nil)
			switch {
			case hasIndex:
				ok, m, err = kv.CAS(ctx, p, o)
			case acquire != "":
				p.Session = acquire
				ok, m, err = kv.Acquire(ctx, p, o)
			case release != "":
				p.Session = release
				ok, m, err = kv.Release(ctx, p, o)
			default:
				m, err = kv.Put(ctx, p, o)
			}
			switch {
			case err != nil:
				return err
			case ok:
				return c.done(map[string]any{"Key": p.Key, "Index": m.Index}, "Written: %s", printable(p.Key, false))
			case hasIndex:
				return withHint(fmt.Errorf("not written: the ModifyIndex of %q is not %s", p.Key, cas), "debros kv get -detailed %s shows it", p.Key)
			case acquire != "":
				return fmt.Errorf("not written: %q is locked by another session, or its lock-delay has not passed", p.Key)
			}
			return fmt.Errorf("not written: %q is not locked by session %s", p.Key, release)
		},
	}
}

// lifetime reads the TTL of a key. 0 would be none at all to the agent.
func lifetime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && d <= 0 {
		err = errors.New("want more than 0")
	}
	return d, err
}

// value is what an argument stands for: itself, a file's content, or standard input.
func (c *call) value(arg string) ([]byte, error) {
	switch {
	case arg == "-":
		b, err := io.ReadAll(c.Stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return b, nil
	case strings.HasPrefix(arg, "@"):
		b, err := os.ReadFile(arg[1:])
		if err != nil {
			return nil, fmt.Errorf("read value: %w", err)
		}
		return b, nil
	}
	if strings.HasPrefix(arg, `\@`) {
		arg = arg[1:]
	}
	return []byte(arg), nil
}
