package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/debros/debros/agent/config"
)

func validateCommand() *cmd {
	var quiet bool
	return &cmd{
		name: "validate", args: "FILE|DIRECTORY…", synopsis: "Check configuration files as the agent would", local: true, min: 1, max: -1,
		help: `All that start-up would find is found: unknown keys, wrong types, contradictions, addresses that this
machine does not have. Files in a directory are read as with -config-dir.`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&quiet, "quiet", false, "print nothing when all is well")
		},
		run: func(_ context.Context, c *call) error {
			o := config.LoadOptions{Env: os.LookupEnv}
			for _, a := range c.args {
				st, err := os.Stat(a)
				if err != nil {
					return err
				}
				if st.IsDir() {
					o.Dirs = append(o.Dirs, a)
				} else {
					o.Files = append(o.Files, a)
				}
			}
			_, warnings, err := config.Load(o)
			if c.format == "json" {
				return validateJSON(c, warnings, err)
			}
			for _, w := range warnings {
				fmt.Fprintf(c.Stderr, "warning: %s\n", printable(w.String(), false))
			}
			if err != nil || quiet {
				return err
			}
			return c.line("Configuration is valid")
		},
	}
}

// problem is a config.Problem for programs.
type problem struct {
	File         string `json:",omitempty"`
	Line, Column int    `json:",omitempty"`
	Source       string
	Key          string `json:",omitempty"`
	Message      string
	Hint         string `json:",omitempty"`
}

func validateJSON(c *call, warnings []config.Warning, err error) error {
	out := struct {
		Valid            bool
		Errors, Warnings []problem
	}{Valid: err == nil, Errors: []problem{}, Warnings: problems(warnings)}
	var all *config.Error
	if errors.As(err, &all) {
		out.Errors = problems(all.Problems)
	} else if err != nil {
		return err
	}
	if jerr := c.json(out); jerr != nil {
		return jerr
	}
	if err != nil {
		return &exitError{exitFailed}
	}
	return nil
}

func problems(ps []config.Problem) []problem {
	out := make([]problem, 0, len(ps))
	for _, p := range ps {
		out = append(out, problem{
			File: p.Source.File(), Line: p.Source.Line, Column: p.Source.Column, Source: p.Source.String(),
			Key: p.Key, Message: p.Message, Hint: p.Hint,
		})
	}
	return out
}
