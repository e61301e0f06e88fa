package structs

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestTopicsAndPatterns(t *testing.T) {
	long := strings.Repeat("a", TopicBytesMax)
	deep := strings.TrimSuffix(strings.Repeat("a.", TopicTokensMax), ".")
	for s, want := range map[string]struct{ topic, pattern bool }{
		"a":             {true, true},
		"a.b-c.D_9":     {true, true},
		long:            {true, true},
		deep:            {true, true},
		"":              {},
		"a.":            {},
		".a":            {},
		"a..b":          {},
		"a b":           {},
		"a/b":           {},
		"ä":             {},
		"a\x00":         {},
		long + "a":      {},
		deep + ".a":     {},
		"*":             {false, true},
		">":             {false, true},
		"a.*.b":         {false, true},
		"a.>":           {false, true},
		">.a":           {},
		"a.b*":          {},
		"a.>>":          {},
		deep + ".":      {},
		"orders.*.eu.>": {false, true},
	} {
		if got := ValidTopic(s); got != want.topic {
			t.Errorf("ValidTopic(%.40q) = %v", s, got)
		}
		if got := ValidTopicPattern(s); got != want.pattern {
			t.Errorf("ValidTopicPattern(%.40q) = %v", s, got)
		}
	}
}

// naive is the definition, token by token.
func naive(pattern, topic []string) bool {
	if len(pattern) == 0 || len(topic) == 0 {
		return len(pattern) == len(topic)
	}
	if pattern[0] == ">" {
		return true
	}
	return (pattern[0] == "*" || pattern[0] == topic[0]) && naive(pattern[1:], topic[1:])
}

func TestTopicMatchesIsTheDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string {
		tokens := make([]string, 1+rng.IntN(4))
		for i := range tokens {
			tokens[i] = from[rng.IntN(len(from))]
		}
		return strings.Join(tokens, ".")
	}
	matched := 0
	for range 50_000 {
		pattern, topic := pick("a", "b", "*"), pick("a", "b")
		if rng.IntN(3) == 0 {
			pattern = strings.TrimPrefix(pattern+".>", ".")
		}
		want := naive(strings.Split(pattern, "."), strings.Split(topic, "."))
		if got := TopicMatches(pattern, topic); got != want {
			t.Fatalf("TopicMatches(%q, %q) = %v", pattern, topic, got)
		}
		if want {
			matched++
		}
	}
	if matched < 1000 {
		t.Errorf("only %d pairs matched: the test says little", matched)
	}
}

func FuzzTopicMatches(f *testing.F) {
	for _, s := range [][2]string{{"a.*", "a.b"}, {">", "a"}, {"a.>", "a"}, {"a.b", "a.b"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		if !ValidTopicPattern(pattern) || !ValidTopic(topic) {
			return
		}
		if got, want := TopicMatches(pattern, topic), naive(strings.Split(pattern, "."), strings.Split(topic, ".")); got != want {
			t.Fatalf("TopicMatches(%q, %q) = %v", pattern, topic, got)
		}
	})
}

// Two patterns meet when a topic is named by both: every topic of up to four tokens is tried.
func TestTopicPatternsMeetWhereBothNameATopic(t *testing.T) {
	tokens := []string{"a", "b", "c"}
	topics := []string{}
	var grow func(prefix string, n int)
	grow = func(prefix string, n int) {
		for _, tok := range tokens {
			topics = append(topics, prefix+tok)
			if n > 1 {
				grow(prefix+tok+".", n-1)
			}
		}
	}
	grow("", 4)
	patterns := []string{}
	for _, p := range []string{"a", "b", "*", "a.*", "*.b", "a.b", "a.>", ">", "*.>", "*.*.c", "a.*.>", "b.*.c", "a.b.c.>"} {
		if ValidTopicPattern(p) {
			patterns = append(patterns, p)
		}
	}
	for _, a := range patterns {
		for _, b := range patterns {
			want := false
			for _, topic := range topics {
				want = want || TopicMatches(a, topic) && TopicMatches(b, topic)
			}
			if got := TopicPatternsMeet(a, b); got != want {
				t.Errorf("%s and %s meet: %v, want %v", a, b, got, want)
			}
		}
	}
}
