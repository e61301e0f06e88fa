package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// print writes v as JSON if that was asked for, else calls table.
func (c *call) print(v any, table func() error) error {
	if c.format == "json" {
		return c.json(v)
	}
	return table()
}

func (c *call) json(v any) error {
	enc := json.NewEncoder(c.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// line writes one line of a result.
func (c *call) line(format string, args ...any) error {
	_, err := fmt.Fprintf(c.Stdout, format+"\n", args...)
	return err
}

// done tells what was done: a sentence for people, v for programs.
func (c *call) done(v any, format string, args ...any) error {
	return c.print(v, func() error { return c.line(format, args...) })
}

// table writes rows under a header, in columns.
func (c *call) table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
	writeRow(w, header)
	for _, r := range rows {
		writeRow(w, r)
	}
	return w.Flush()
}

// fields writes name and value, one pair per line.
func (c *call) fields(rows [][2]string) error {
	w := tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		writeRow(w, r[:])
	}
	return w.Flush()
}

func writeRow(w io.Writer, cells []string) {
	out := make([]string, len(cells))
	for i, cell := range cells {
		out[i] = printable(cell, false)
		if out[i] == "" {
			out[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(out, "\t"))
}

// printable escapes what could steer a terminal, as Go would write it: names and messages come from other
// machines. A tab, which may stand in a message, would break a column: it becomes a space.
func printable(s string, lines bool) string {
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r) || lines && r == '\n':
			b.WriteRune(r)
		case r == '\t':
			b.WriteByte(' ')
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[n:]
	}
	return b.String()
}

// colourful reports whether w is a terminal that may have colours (https://no-color.org).
func colourful(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks a person to repeat word; without -yes every deletion of much goes through it.
func (c *call) confirm(question, word string) error {
	fmt.Fprintf(c.Stderr, "%s\nType %q to go on: ", printable(question, true), word)
	answer, err := bufio.NewReader(c.Stdin).ReadString('\n')
	if err != nil && answer == "" {
		fmt.Fprintln(c.Stderr)
		if errors.Is(err, context.Canceled) {
			return err
		}
		return withHint(fmt.Errorf("nothing was done: nobody confirmed"), "-yes does it without asking")
	}
	if strings.TrimSpace(answer) != word {
		return fmt.Errorf("nothing was done: the answer was not %q", word)
	}
	return nil
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n), "KMGTPE"
	i := -1
	for f >= unit && i < len(units)-1 {
		f /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// dash stands for what is not there, so that columns can be counted.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
