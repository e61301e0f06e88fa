// Package command is how a person asks: the command line of debros, one file per command. A command
// reaches a cluster only through package api; only the agent command imports the agent.
//
// Contract: results go to stdout, everything else to stderr; -format=json makes every result JSON;
// the exit status is 0 for done, 1 for failed (with "debros: message" and "hint: what to do" on
// stderr), 2 for a command line that makes no sense. A command that runs a child ends as the child.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/debros/debros/api"
	libp2pvia "github.com/debros/debros/internal/via"
	"github.com/debros/debros/structs"
)

// IO is the world around a command.
type IO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// cmd describes one command. run, flags and the variables they share are made anew for every use.
type cmd struct {
	name     string // words after "debros", e.g. "kv get"
	args     string // arguments for the usage line, e.g. "KEY"
	synopsis string // one line without a full stop
	help     string // more, for the help text
	flags    func(*flag.FlagSet)
	// local commands talk to no agent and have no common flags; noFormat ones have no -format.
	local, noFormat bool
	// child commands take everything after their arguments begin as arguments, flags too.
	child bool
	// min and max arguments; max < 0 = any number.
	min, max int
	// ownSignals: run handles SIGINT and SIGTERM itself.
	ownSignals bool
	// run does it; nil for a group of commands, which only has help.
	run func(context.Context, *call) error

	io IO
}

// call is one use of a command.
type call struct {
	IO
	args   []string
	cmd    *cmd
	common commonFlags
	format string // "table", "json", or what the command allows more

	closers []func() error
}

// Synopsis implements cli.Command.
func (c *cmd) Synopsis() string { return c.synopsis }

// Run implements cli.Command.
func (c *cmd) Run(args []string) int {
	if c.run == nil && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name := c.name + " " + args[0]
		return c.report(usagef("there is no command %q", name), false)
	}
	if c.run == nil {
		fmt.Fprintln(c.io.Stderr, strings.TrimRight(c.Help(), "\n"))
		return exitUsage
	}
	call := &call{IO: c.io, cmd: c}
	var err error
	call.args, err = c.parse(call.flagSet(), args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(c.io.Stdout, c.Help())
		return exitDone
	}
	defer call.close()
	if err == nil {
		err = c.check(call)
	}
	if err != nil {
		return c.report(usagef("%s", err), false)
	}
	ctx := context.Background()
	if !c.ownSignals {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop) // a second signal ends the program at once
		call.Stdin = &interruptible{ctx, c.io.Stdin}
	}
	return c.report(c.runWithin(ctx, call), ctx.Err() != nil)
}

// runWithin runs the command for no longer than -timeout says.
func (c *cmd) runWithin(ctx context.Context, call *call) error {
	limit := call.common.timeout
	if limit <= 0 {
		return c.run(ctx, call)
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := c.run(timed, call)
	if err != nil && ctx.Err() == nil && timed.Err() != nil {
		return withHint(fmt.Errorf("%s did not end within %s", c.name, limit), "-timeout is how long it may take; a write that was under way may have been done")
	}
	return err
}

// check holds what every command line must.
func (c *cmd) check(call *call) error {
	if n := len(call.args); n < c.min || c.max >= 0 && n > c.max {
		return fmt.Errorf("%s: want arguments %s, got %d", c.name, orNone(c.args), n)
	}
	if !c.noFormat && call.format != "table" && call.format != "json" {
		return fmt.Errorf("-format=%s: want table or json", call.format)
	}
	if call.common.via != "" && call.common.addr != "" {
		return errors.New("-via and -http-addr each name an agent: give one of them")
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// parse parses flags, which may stand between the arguments; everything after "--" is an argument.
func (c *cmd) parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		left := fs.Args()
		used := len(args) - len(left)
		if len(left) == 0 || c.child || used > 0 && args[used-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

func (c *call) flagSet() *flag.FlagSet {
	fs := flag.NewFlagSet(c.cmd.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	if c.cmd.flags != nil {
		c.cmd.flags(fs)
	}
	if !c.cmd.noFormat {
		fs.StringVar(&c.format, "format", "table", "`form` of the result: table or json")
	}
	if !c.cmd.local {
		c.common.add(fs)
	}
	return fs
}

// client makes the client that the common flags and the environment ask for.
func (c *call) client() (*api.Client, error) {
	cfg := c.common.config()
	addr := c.common.viaAddr()
	if addr == "" {
		client, err := api.New(cfg)
		if err != nil {
			return nil, withHint(err, "check -http-addr, -token-file and the TLS files, or their DEBROS_ variables")
		}
		return client, nil
	}
	peer, err := libp2pvia.New(addr)
	if err != nil {
		return nil, usagef("-via: %v", err)
	}
	c.closers = append(c.closers, peer.Close)
	cfg.Address, cfg.TLS, cfg.Dialer = "http://"+peer.ID(), nil, peer.Dial
	client, err := api.New(cfg)
	if err != nil {
		return nil, withHint(err, "check -token-file, or DEBROS_HTTP_TOKEN_FILE")
	}
	return client, nil
}

// close ends what client opened.
func (c *call) close() {
	for _, f := range c.closers {
		_ = f() // the command is over
	}
}

// answers is an error if there is no agent from the beginning: to try again is for one that was there.
func answers(ctx context.Context, client *api.Client) error {
	var silence *api.Error
	if _, err := client.Agent().Version(ctx); errors.As(err, &silence) && silence.Status == 0 {
		return err
	}
	return nil
}

// report prints an error for a person and returns the exit status.
func (c *cmd) report(err error, interrupted bool) int {
	var exit *exitError
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.status
	case c.closedOutput(err):
		return exitFailed // whoever read our output has seen enough
	case interrupted && (errors.Is(err, context.Canceled) || errors.Is(err, api.ErrCanceled)):
		fmt.Fprintln(c.io.Stderr, "debros: interrupted")
		return exitFailed
	case errors.As(err, &usage):
		printError(c.io.Stderr, usage.message, c.usageHint(usage.message))
		return exitUsage
	}
	message, hint := err.Error(), ""
	var h *hinted
	var a *api.Error
	var own *structs.Error // of a command that works without an agent, or is one
	if errors.As(err, &h) {
		hint = h.hint
	} else if errors.As(err, &own) {
		hint = own.Hint
	} else if errors.As(err, &a) {
		hint = a.Hint
		if a.Kind == api.KindInternal && a.RequestID != "" && !strings.Contains(message, a.RequestID) {
			message += " (request " + a.RequestID + ")"
		}
		if hint == "" && a.Kind == api.KindDenied {
			hint = "name a token with more rights in -token, -token-file or DEBROS_HTTP_TOKEN"
		}
	}
	printError(c.io.Stderr, message, hint)
	return exitFailed
}

// closedOutput reports whether err is that nobody reads our standard output any more. The way to an agent
// breaks with EPIPE too, which is worth a word.
func (c *cmd) closedOutput(err error) bool {
	out, ok := c.io.Stdout.(*os.File)
	var path *fs.PathError // what a write of an os.File gives, with the name of the file
	return ok && errors.Is(err, syscall.EPIPE) && errors.As(err, &path) && path.Path == out.Name()
}

// negative matches what the flag package says about an argument such as -1, which it takes for a flag.
var negative = regexp.MustCompile(`^flag provided but not defined: -[0-9.]`)

func (c *cmd) usageHint(message string) string {
	if c.max != 0 && negative.MatchString(message) {
		return "an argument that begins with - comes after --; see 'debros " + c.name + " -h'"
	}
	return "see 'debros " + c.name + " -h'"
}

func printError(w io.Writer, message, hint string) {
	label := "debros:"
	if colourful(w) {
		label = "\x1b[1;31mdebros:\x1b[0m"
	}
	fmt.Fprintf(w, "%s %s\n", label, printable(strings.TrimSpace(message), true))
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", printable(hint, true))
	}
}
