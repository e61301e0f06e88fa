package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"os/exec"

	"github.com/debros/debros/api"
)

func watchCommand() *cmd {
	var key, prefix string
	var shell, once bool
	return &cmd{
		name: "watch", args: "[HANDLER [ARGUMENT…]]", synopsis: "Print a key or a tree whenever it changes, or run a program", max: -1, child: true,
		help: `What is there is reported at once, then after every change, as JSON: a pair (null when the key does not
exist) or an array of pairs, with values in base64. A handler gets it on standard input. Changes
that follow each other quickly may be reported as one; while a handler runs the next one waits. Ends
with Ctrl-C.

With -once, the first report ends it with the exit status of the handler, and so does any failure, with 1.

  debros watch -key=config/colour
  debros watch -prefix=config/ -shell 'jq length'`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&key, "key", "", "watch this `key`")
			fs.StringVar(&prefix, "prefix", "", "watch the keys that begin with this `text`")
			fs.BoolVar(&shell, "shell", false, "give the handler to sh -c")
			fs.BoolVar(&once, "once", false, "end after the first report")
		},
		run: func(ctx context.Context, c *call) error {
			if (key == "") == (prefix == "") {
				return usagef("watch: give one of -key and -prefix")
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			if err := answers(ctx, client); err != nil {
				return err
			}
			w := watcher{c: c, argv: c.args, once: once}
			if shell && len(c.args) > 0 {
				w.argv = append([]string{"sh", "-c"}, c.args...)
			}
			if key != "" {
				err = follow(ctx, &w, client.KV().Watch(ctx, key, c.query()))
			} else {
				err = follow(ctx, &w, client.KV().WatchPrefix(ctx, prefix, c.query()))
			}
			if ctx.Err() != nil {
				return nil // Ctrl-C is how this ends
			}
			return err
		},
	}
}

type watcher struct {
	c    *call
	argv []string
	once bool
}

// follow reports every value; an error that may pass is told and does not end the watch.
func follow[T any](ctx context.Context, w *watcher, values iter.Seq2[T, error]) error {
	var last error
	for v, err := range values {
		if err != nil {
			last = err
			if w.once {
				return err
			}
			if passing(err) {
				fmt.Fprintf(w.c.Stderr, "debros: %s; trying again\n", printable(err.Error(), false))
			}
			continue
		}
		last = nil
		if err := w.report(ctx, v); err != nil {
			return err
		}
		if w.once {
			return nil
		}
	}
	return last
}

func passing(err error) bool { return worthRetrying(err) || errors.Is(err, api.ErrNoPath) }

func (w *watcher) report(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if len(w.argv) == 0 {
		if w.c.format == "json" {
			_, err = w.c.Stdout.Write(b)
			return err
		}
		return w.c.json(v)
	}
	child := exec.CommandContext(ctx, w.argv[0], w.argv[1:]...)
	child.Stdin, child.Stdout, child.Stderr = bytes.NewReader(b), w.c.Stdout, w.c.Stderr
	child.Env = os.Environ()
	err = child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		fmt.Fprintf(w.c.Stderr, "debros: the handler ended with %s\n", exit)
		if w.once {
			return childStatus(err)
		}
		return nil // its own matter: the next change calls it again
	}
	return err
}
