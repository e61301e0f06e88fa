package structs

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of topics.
const (
	TopicBytesMax  = 255
	TopicTokensMax = 16
)

// ValidTopic reports whether t names one topic: tokens of [A-Za-z0-9_-] with dots between them.
func ValidTopic(t string) bool { return validTokens(t, false) }

// ValidTopicPattern reports whether p names topics: as a topic, where a token may be * (any one token), and the last
// one > (one token or more).
func ValidTopicPattern(p string) bool { return validTokens(p, true) }

func validTokens(s string, wild bool) bool {
	if len(s) == 0 || len(s) > TopicBytesMax || strings.Count(s, ".") >= TopicTokensMax {
		return false
	}
	for more := true; more; {
		var token string
		token, s, more = strings.Cut(s, ".")
		switch {
		case wild && token == "*", wild && token == ">" && !more:
		case !validToken(token):
			return false
		}
	}
	return true
}

// ValidToken reports whether t may be one token of a topic.
func ValidToken(t string) bool { return len(t) <= TopicBytesMax && validToken(t) }

func validToken(t string) bool {
	for i := range len(t) {
		c := t[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return t != ""
}

// TopicMatches reports whether a valid pattern names a valid topic.
func TopicMatches(pattern, topic string) bool {
	for {
		want, patternRest, patternMore := strings.Cut(pattern, ".")
		if want == ">" {
			return true
		}
		got, topicRest, topicMore := strings.Cut(topic, ".")
		if want != "*" && want != got || patternMore != topicMore {
			return false
		}
		if !patternMore {
			return true
		}
		pattern, topic = patternRest, topicRest
	}
}

// TopicPatternsMeet reports whether there are topics that two valid patterns both name.
func TopicPatternsMeet(a, b string) bool {
	for {
		x, restA, moreA := strings.Cut(a, ".")
		y, restB, moreB := strings.Cut(b, ".")
		switch {
		case x == ">" || y == ">":
			return true
		case x != "*" && y != "*" && x != y, moreA != moreB:
			return false
		case !moreA:
			return true
		}
		a, b = restA, restB
	}
}

// TopicHolds reports whether topic is above, or is, a topic below it: "orders" holds "orders" and "orders.eu".
func TopicHolds(above, topic string) bool {
	return strings.HasPrefix(topic, above) && (len(topic) == len(above) || topic[len(above)] == '.')
}

// TopicHint says what a topic looks like.
const TopicHint = "a topic is up to 16 tokens of A-Z, a-z, 0-9, _ and - with dots between them, 255 bytes in all"

// CheckTopic is nil for a topic, and otherwise an error that says what one looks like.
func CheckTopic(topic string) error {
	if ValidTopic(topic) {
		return nil
	}
	err := Errorf(KindInvalid, "%q is no topic", shorten(topic))
	if ValidTopicPattern(topic) {
		return err.WithHint("* and > are for those who read: a message has one topic")
	}
	return err.WithHint(TopicHint)
}

// CheckTopicPattern is nil for a pattern of topics, and otherwise an error that says what one looks like.
func CheckTopicPattern(p string) error {
	if ValidTopicPattern(p) {
		return nil
	}
	return Errorf(KindInvalid, "%q is no pattern of topics", shorten(p)).
		WithHint("a topic in which * stands for one token, and > at the end for one or more")
}

// CheckHeaders is nil for headers that a message may have.
func CheckHeaders(h map[string]string) error {
	if len(h) > MessageHeadersMax {
		return Errorf(KindTooLarge, "%d headers; the limit is %d", len(h), MessageHeadersMax)
	}
	for k, v := range h {
		unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
		if k == "" || !utf8.ValidString(k) || strings.IndexFunc(k, unprintable) >= 0 || !utf8.ValidString(v) {
			return Errorf(KindInvalid, "invalid header %q", shorten(k)).WithHint("a name that prints, and a text in UTF-8")
		}
	}
	return nil
}

// shorten keeps what is quoted in an error readable.
func shorten(s string) string {
	const shownBytesMax = 128
	if len(s) <= shownBytesMax {
		return s
	}
	return s[:shownBytesMax] + "…"
}
