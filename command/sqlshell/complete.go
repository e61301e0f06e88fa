package sqlshell

import (
	"context"
	"sort"
	"strings"
	"time"

	"github.com/debros/debros/command/sqlrun"
)

// completionWait is how long Tab may ask the cluster for names.
const completionWait = time.Second

// keywords are those that people type often.
const keywords = `ALTER AND AS BETWEEN BY CASE COUNT CREATE DELETE DESC DISTINCT DROP ELSE END EXISTS EXPLAIN FROM GROUP HAVING
INDEX INSERT INTO IS JOIN LEFT LIKE LIMIT NOT NULL OFFSET ON OR ORDER PRIMARY KEY RETURNING SELECT SET TABLE THEN TRIGGER
UNION UNIQUE UPDATE USING VALUES VIEW WHEN WHERE WITH`

// complete gives the words that may stand for the one that ends at pos: commands of the shell, tables, columns,
// keywords.
func (s *Shell) complete(line string, pos int) (head string, words []string, tail string) {
	before, tail := cut(line, pos)
	start := strings.LastIndexFunc(before, func(r rune) bool { return strings.ContainsRune(" \t(,;=<>+-*/|", r) }) + 1
	head, word := before[:start], before[start:]
	if s.text == "" && start == 0 && strings.HasPrefix(word, ".") {
		for _, d := range dots() {
			if strings.HasPrefix(d.name, word) {
				words = append(words, d.name)
			}
		}
		return head, words, tail
	}
	if word == "" {
		return head, nil, tail
	}
	names := s.known()
	if table, column, ok := strings.Cut(word, "."); ok {
		for t, columns := range names.Columns {
			if strings.EqualFold(t, table) {
				words = matching(columns, column)
			}
		}
		return head + table + ".", words, tail
	}
	words = matching(names.Tables, word)
	for _, columns := range names.Columns {
		words = append(words, matching(columns, word)...)
	}
	for _, k := range matching(strings.Fields(keywords), word) {
		if word == strings.ToLower(word) {
			k = strings.ToLower(k)
		}
		words = append(words, k)
	}
	sort.Strings(words)
	unique := words[:0]
	for i, w := range words {
		if i == 0 || w != words[i-1] {
			unique = append(unique, w)
		}
	}
	return head, unique, tail
}

// cut splits a line at a position that counts characters.
func cut(line string, pos int) (string, string) {
	runes := []rune(line)
	pos = min(max(pos, 0), len(runes))
	return string(runes[:pos]), string(runes[pos:])
}

func matching(words []string, prefix string) []string {
	var out []string
	for _, w := range words {
		if len(w) >= len(prefix) && strings.EqualFold(w[:len(prefix)], prefix) {
			out = append(out, w)
		}
	}
	return out
}

// known are the database's names, read when they are wanted first; none when that takes long.
func (s *Shell) known() *sqlrun.Names {
	if s.names == nil {
		ctx, cancel := context.WithTimeout(context.Background(), completionWait)
		defer cancel()
		names, err := sqlrun.ReadNames(ctx, s.db, s.Read)
		if err != nil {
			return &sqlrun.Names{} // it is tried again with the next Tab
		}
		s.names = names
	}
	return s.names
}
