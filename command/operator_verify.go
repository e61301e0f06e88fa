package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

// verifyPoll is how often a running comparison is looked at.
const verifyPoll = 300 * time.Millisecond

// verifyRun is one run of the command.
type verifyRun struct {
	*call
	client    *api.Client
	last, yes bool
	reinstall string
	timeout   time.Duration
}

func operatorVerifyCommand() *cmd {
	r := &verifyRun{}
	return &cmd{
		name: "operator verify", synopsis: "Compare what the servers hold",
		help: `Every server hashes its keys, sessions, settings and databases as they are after one entry of the log, in the
background and without holding up writes; the leader compares. A server that holds something else than the
majority, or cannot read what it has, answers no reads from then on, takes the state of another server by itself, and
answers again. The cluster does the same every verify_interval.

Where no majority says which servers are right (two that differ), nothing is done about it: hand leadership to one
that is right, and name the others with -reinstall.

The exit status is 0 when all servers hold the same, and 1 when they do not or some could not be compared.

Examples:
  debros operator verify
  debros operator verify -format=json
  debros operator verify -last
  debros operator verify -reinstall=server3`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&r.last, "last", false, "show what came of the newest comparison, and begin none")
			fs.StringVar(&r.reinstall, "reinstall", "", "have this server, a `name or id`, take the leader's state in the place of its own")
			fs.BoolVar(&r.yes, "yes", false, "do not ask, with -reinstall")
			fs.DurationVar(&r.timeout, "timeout", 0, "wait at most this `duration`; 0 = as long as it takes")
		},
		run: func(ctx context.Context, c *call) (err error) {
			switch {
			case r.last && r.reinstall != "":
				return usagef("operator verify: give one of -last and -reinstall")
			case r.timeout < 0:
				return usagef("operator verify: -timeout must not be below 0")
			}
			if r.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, r.timeout, withHint(fmt.Errorf("not done within %s", r.timeout), "it goes on: `debros operator verify -last` shows what comes of it"))
				defer cancel()
			}
			r.call = c
			if r.client, err = c.client(); err != nil {
				return err
			}
			if r.reinstall != "" {
				err = r.reinstallServer(ctx)
			} else {
				err = r.compare(ctx)
			}
			if ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return context.Cause(ctx)
			}
			return err
		},
	}
}

// compare begins a comparison, waits for it and shows it.
func (r *verifyRun) compare(ctx context.Context) error {
	var at uint64
	if !r.last {
		var err error
		if at, err = r.client.Operator().Verify(ctx, nil); err != nil {
			return err
		}
	}
	report, err := r.await(ctx, at)
	if err != nil {
		return err
	}
	if report.Outcome == api.VerifyNone {
		return withHint(errors.New("the servers were never compared"), "`debros operator verify` compares them")
	}
	if err := r.print(report, func() error { return r.show(report) }); err != nil {
		return err
	}
	if report.Outcome != api.VerifyEqual {
		return &exitError{exitFailed}
	}
	return nil
}

// await returns the report when it is final, and says meanwhile how far the servers are.
func (r *verifyRun) await(ctx context.Context, at uint64) (*api.VerifyReport, error) {
	live := isTerminal(r.Stderr)
	for {
		report, err := r.client.Operator().VerifyReport(ctx, at, nil)
		if err != nil {
			return nil, err
		}
		if live {
			fmt.Fprintf(r.Stderr, "\r\x1b[K")
		}
		if report.Outcome != api.VerifyRunning {
			return report, nil
		}
		if live {
			fmt.Fprint(r.Stderr, printable(verifyProgress(report), false))
		}
		select {
		case <-time.After(verifyPoll):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// verifyProgress is how far a comparison is, in one line.
func verifyProgress(report *api.VerifyReport) string {
	var parts []string
	for _, s := range report.Servers {
		switch {
		case s.Hash != "":
			parts = append(parts, s.Node+" done")
		case s.Error != "":
			parts = append(parts, s.Node+" not compared")
		default:
			parts = append(parts, fmt.Sprintf("%s %d of %d databases", s.Node, s.DatabasesDone, s.Databases))
		}
	}
	return fmt.Sprintf("comparing at index %d: %s", report.Index, strings.Join(parts, ", "))
}

func (r *verifyRun) show(report *api.VerifyReport) error {
	rows := [][]string{}
	for _, s := range report.Servers {
		role := "follower"
		if s.Leader {
			role = "leader"
		}
		hash := s.Hash
		if len(hash) > 16 {
			hash = hash[:16]
		}
		note := s.Error
		if note == "" && s.Quarantine != "" {
			note = "answers no reads: " + s.Quarantine
		}
		rows = append(rows, []string{s.Node, s.ID, role, strconv.FormatUint(report.Index, 10), hash, strconv.Itoa(s.DatabasesDone), s.Took.String(), s.Verdict, note})
	}
	if err := r.table([]string{"Node", "ID", "State", "Index", "Hash", "Databases", "Took", "Verdict", "Note"}, rows); err != nil {
		return err
	}
	for _, d := range report.Differences {
		if err := r.line("\nNot the same on all servers: %s", printable(d.Part, false)); err != nil {
			return err
		}
		rows = nil
		for _, s := range report.Servers {
			h, ok := d.Hashes[s.ID]
			if !ok {
				h = "not compared"
			}
			right := ""
			if ok && d.Right != "" {
				right = strconv.FormatBool(h == d.Right)
			}
			rows = append(rows, []string{s.Node, h, right})
		}
		if err := r.table([]string{"Node", "Hash", "Right"}, rows); err != nil {
			return err
		}
	}
	return r.line("\n%s", map[api.VerifyOutcome]string{
		api.VerifyRunning:   "The servers are being compared.",
		api.VerifyEqual:     "All servers hold the same.",
		api.VerifyDifferent: "Some servers are wrong. They answer no reads and take another's state by themselves; compare again to see that they have.",
		api.VerifyUndecided: "The servers differ, and no majority says which are right, so nothing is done about it. Look at their data (reads with -stale on each), " +
			"hand leadership to one that is right with `debros operator raft transfer-leader -id=ID`, and name each that is wrong: `debros operator verify -reinstall=NODE`.",
		api.VerifyIncomplete: "Those that were compared hold the same. Others could not be compared.",
	}[report.Outcome])
}

// reinstallServer has one server take the leader's state and waits until it answers again.
func (r *verifyRun) reinstallServer(ctx context.Context) error {
	server, err := r.server(ctx)
	if err != nil {
		return err
	}
	if !r.yes {
		if err := r.confirm(fmt.Sprintf("This replaces all that server %s holds by what the leader holds. What only %s has is lost.", server.Node, server.Node), server.Node); err != nil {
			return err
		}
	}
	if err := r.client.Operator().Reinstall(ctx, server.ID, nil); err != nil {
		return err
	}
	for {
		cfg, err := r.client.Operator().RaftConfiguration(ctx, nil)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(cfg.Servers, func(s *api.RaftServer) bool { return s.ID == server.ID })
		if at >= 0 && cfg.Servers[at].LastIndex > 0 && cfg.Servers[at].Quarantine == "" {
			return r.done(map[string]string{"Reinstalled": server.ID}, "Server %s has taken the leader's state", printable(server.Node, false))
		}
		select {
		case <-time.After(verifyPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// server finds the server that -reinstall names.
func (r *verifyRun) server(ctx context.Context) (*api.RaftServer, error) {
	cfg, err := r.client.Operator().RaftConfiguration(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, s := range cfg.Servers {
		if s.ID == r.reinstall || s.Node == r.reinstall {
			return s, nil
		}
	}
	return nil, withHint(fmt.Errorf("there is no server %s", r.reinstall), "`debros operator raft list-peers` shows names and ids")
}
