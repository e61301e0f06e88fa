package structs

import "strings"

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

// TopicHolds reports whether topic is above, or is, a topic below it: "orders" holds "orders" and "orders.eu".
func TopicHolds(above, topic string) bool {
	return strings.HasPrefix(topic, above) && (len(topic) == len(above) || topic[len(above)] == '.')
}
