// Package sqlshell is the interactive shell of 'debros sql': a person types statements over as many lines as
// they need, and reads what they give.
//
// Contract: Ctrl-C gives up the statement that is typed or runs, never the shell; an error ends a statement,
// never the shell. It asks a cluster through package api only.
package sqlshell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/command/sqlrun"
	"github.com/debros/debros/internal/sqltext"
)

// Config is what a shell begins with.
type Config struct {
	SQL      *api.SQL // of the namespace; Database chooses in it
	Database string
	Read     *api.QueryOptions
	Format   sqlrun.Format
	Out      io.Writer
	// Report prints an error as the command line does.
	Report func(error)
	// Lines is where the person types.
	Lines Lines
}

// Lines gives the lines that a person types.
type Lines interface {
	// Prompt reads one line. io.EOF is the end; ErrInterrupted, Ctrl-C.
	Prompt(prompt string) (string, error)
	// Remember puts an entry into the history.
	Remember(entry string)
	// Complete sets who knows the words that may stand at pos of a line.
	Complete(func(line string, pos int) (head string, words []string, tail string))
}

// ErrInterrupted is what Lines.Prompt answers to Ctrl-C.
var ErrInterrupted = errors.New("interrupted")

// Shell is one conversation.
type Shell struct {
	Config
	db    *api.SQL
	timer bool
	plan  bool // show how each statement would be done instead
	names *sqlrun.Names
	text  string // what was typed of a statement that is not complete
	ended bool
}

// New makes a shell. It asks nothing of the cluster yet.
func New(c Config) *Shell {
	s := &Shell{Config: c}
	s.use(c.Database)
	c.Lines.Complete(s.complete)
	return s
}

func (s *Shell) use(database string) {
	s.Database, s.db, s.names = database, s.SQL.Database(database), nil
}

// Run talks until the person leaves.
func (s *Shell) Run(ctx context.Context) error {
	for !s.ended && ctx.Err() == nil {
		line, err := s.Lines.Prompt(s.prompt())
		switch {
		case errors.Is(err, ErrInterrupted):
			s.text = ""
		case errors.Is(err, io.EOF):
			fmt.Fprintln(s.Out)
			return nil
		case err != nil:
			return fmt.Errorf("read a line: %w", err)
		default:
			s.line(ctx, line)
		}
	}
	return nil
}

// prompt is as wide for the lines that go on as for the first.
func (s *Shell) prompt() string {
	name := s.Database
	if name == "" {
		name = "default"
	}
	if s.text == "" {
		return name + "> "
	}
	return strings.Repeat(" ", max(0, len(name)-3)) + "...> "
}

// line takes one line: a command, or a part of a statement.
func (s *Shell) line(ctx context.Context, line string) {
	if s.text == "" && strings.HasPrefix(strings.TrimSpace(line), ".") {
		s.Lines.Remember(line)
		s.interruptible(ctx, func(ctx context.Context) error { return s.command(ctx, strings.TrimSpace(line)) })
		return
	}
	typed := s.text + line + "\n"
	statements, rest := sqltext.Split(typed)
	if rest != "" && len(statements) == 0 {
		s.text = typed
		return
	}
	s.text = ""
	if rest != "" {
		s.text = rest
		typed = strings.TrimSuffix(typed, rest)
	}
	if strings.TrimSpace(typed) != "" {
		s.Lines.Remember(strings.TrimRight(typed, "\n"))
	}
	for _, st := range statements {
		if !s.interruptible(ctx, func(ctx context.Context) error { return s.statement(ctx, st.Text) }) {
			return // those behind it were written for its success
		}
	}
}

// interruptible runs f, which Ctrl-C ends, and reports its error; true when there was none.
func (s *Shell) interruptible(ctx context.Context, f func(context.Context) error) bool {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	err := f(ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		s.Report(err)
	}
	return err == nil
}

func (s *Shell) statement(ctx context.Context, text string) error {
	start := time.Now()
	if s.plan {
		return s.showPlan(ctx, text)
	}
	err := s.session().Run(ctx, api.Stmt(text))
	s.names = nil // it may have changed them
	if s.timer && err == nil {
		fmt.Fprintf(s.Out, "took %s\n", time.Since(start).Round(10*time.Microsecond))
	}
	return err
}

func (s *Shell) session() *sqlrun.Session {
	return &sqlrun.Session{DB: s.db, Read: s.Read, Out: s.Out, Format: s.Format}
}
