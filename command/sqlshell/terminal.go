package sqlshell

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/peterh/liner"
)

// historyEntriesMax is how much of the history is kept, in memory and in the file.
const historyEntriesMax = 1000

// Terminal is a person's terminal, with line editing and a history.
type Terminal struct {
	ctx     context.Context
	state   *liner.State
	history string // file; "" = none
}

// OpenTerminal takes the terminal over until Close. The history is in the file, which is made if need be and
// which only its owner can read; "" is no file. Prompt ends with ctx.
func OpenTerminal(ctx context.Context, history string) *Terminal {
	t := &Terminal{ctx: ctx, state: liner.NewLiner(), history: history}
	t.state.SetCtrlCAborts(true)
	t.state.SetMultiLineMode(true)
	t.state.SetTabCompletionStyle(liner.TabPrints)
	t.load()
	return t
}

// Close gives the terminal back as it was.
func (t *Terminal) Close() error { return t.state.Close() }

// HistoryFile is where the history belongs: in the user's directory for state, by the XDG rules. "" when there is none.
func HistoryFile() string {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" || !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "debros", "sql_history")
}

// Prompt implements Lines.
func (t *Terminal) Prompt(prompt string) (string, error) {
	type typed struct {
		line string
		err  error
	}
	ch := make(chan typed, 1)
	// Nothing ends a read from a terminal: when ctx ends the program does, and this goroutine with it.
	go func() {
		line, err := t.state.Prompt(prompt)
		ch <- typed{line, err}
	}()
	select {
	case in := <-ch:
		if errors.Is(in.err, liner.ErrPromptAborted) {
			return "", ErrInterrupted
		}
		return in.line, in.err
	case <-t.ctx.Done():
		return "", t.ctx.Err()
	}
}

// Complete implements Lines.
func (t *Terminal) Complete(f func(line string, pos int) (head string, words []string, tail string)) {
	t.state.SetWordCompleter(f)
}

// Remember implements Lines. Many lines become one, unless a comment forbids it. An entry that begins with a blank
// stays out of the file, as in other shells: it may hold a secret.
func (t *Terminal) Remember(entry string) {
	entries := strings.Split(entry, "\n")
	if !strings.Contains(entry, "--") {
		entries = []string{strings.Join(entries, " ")}
	}
	for _, e := range entries {
		if strings.TrimSpace(e) == "" {
			continue
		}
		t.state.AppendHistory(e)
		if e[0] != ' ' {
			t.save(e)
		}
	}
}

// save adds an entry to the file; without one a shell is still a shell.
func (t *Terminal) save(entry string) {
	if t.history == "" {
		return
	}
	if err := os.MkdirAll(filepath.Dir(t.history), 0o700); err != nil {
		return
	}
	f, err := os.OpenFile(t.history, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	_, _ = f.WriteString(entry + "\n")
	_ = f.Close()
}

// load reads the history and shortens the file when it has become long.
func (t *Terminal) load() {
	if t.history == "" {
		return
	}
	f, err := os.Open(t.history)
	if err != nil {
		return
	}
	var entries []string
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		entries = append(entries, in.Text())
	}
	_ = f.Close()
	long := len(entries) > 2*historyEntriesMax
	entries = entries[max(0, len(entries)-historyEntriesMax):]
	for _, e := range entries {
		t.state.AppendHistory(e)
	}
	if long && in.Err() == nil {
		t.rewrite(entries)
	}
}

func (t *Terminal) rewrite(entries []string) {
	f, err := os.CreateTemp(filepath.Dir(t.history), ".sql_history") // 0600
	if err != nil {
		return
	}
	_, werr := f.WriteString(strings.Join(entries, "\n") + "\n")
	if errors.Join(werr, f.Close()) == nil && os.Rename(f.Name(), t.history) == nil {
		return
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // a leftover of a few kilobytes
	}
}
