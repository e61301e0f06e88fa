package settings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// SourceKind is where a setting came from.
type SourceKind uint8

const (
	FromDefault SourceKind = iota
	FromFile
	FromEnv
	FromFlag
)

// Source is where a setting came from, for people.
type Source struct {
	Kind         SourceKind
	Name         string // file path, environment variable, or flag
	Line, Column int    // of a file, from 1; 0 = the whole file
}

// String is "server.hcl:3:5", "environment variable X", "flag -x" or "".
func (s Source) String() string {
	switch s.Kind {
	case FromFile:
		if s.Line == 0 {
			return s.Name
		}
		return fmt.Sprintf("%s:%d:%d", s.Name, s.Line, s.Column)
	case FromEnv:
		return "environment variable " + s.Name
	case FromFlag:
		return "flag -" + s.Name
	}
	return ""
}

// File is the path of the file that the setting came from, "" when it came from elsewhere.
func (s Source) File() string {
	if s.Kind == FromFile {
		return s.Name
	}
	return ""
}

// Problem is one thing wrong with settings, or worth a warning.
type Problem struct {
	Warning bool // the program starts all the same
	Source  Source
	Key     string // dotted, "" when it is about no single key
	Message string
	Hint    string // what to do; may be ""
}

// String is one line: source, key, message and hint, as far as there are any.
func (p Problem) String() string {
	var b strings.Builder
	if s := p.Source.String(); s != "" {
		b.WriteString(s + ": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Error is everything that is wrong with settings.
type Error struct {
	Problems []Problem
}

// problemsShown keeps a message readable when a file is garbage from end to end.
const problemsShown = 100

// Error implements error: a line for each problem.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for i, p := range e.Problems {
		if i == problemsShown {
			lines = append(lines, fmt.Sprintf("and %d more problems", len(e.Problems)-i))
			break
		}
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// Judge parts warnings from errors, each in the order of their sources. The error is nil or an *Error.
func Judge(ps []Problem) (warnings []Problem, err error) {
	var errs []Problem
	files := map[string]int{} // by first appearance: the order in which they were read
	for _, p := range ps {
		if _, ok := files[p.Source.Name]; !ok {
			files[p.Source.Name] = len(files)
		}
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			errs = append(errs, p)
		}
	}
	for _, s := range [][]Problem{errs, warnings} {
		slices.SortStableFunc(s, func(a, b Problem) int {
			x, y := a.Source, b.Source
			if x.Kind != FromFile || y.Kind != FromFile {
				return cmp.Compare(x.Kind, y.Kind)
			}
			return cmp.Or(cmp.Compare(files[x.Name], files[y.Name]),
				cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
		})
	}
	if len(errs) > 0 {
		return warnings, &Error{Problems: errs}
	}
	return warnings, nil
}

// Quote cuts foreign text down to what fits a message, in quotes.
func Quote(s string) string {
	const runesMax = 64
	if r := []rune(s); len(r) > runesMax {
		s = string(r[:runesMax]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
