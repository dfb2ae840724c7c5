package scheduler

import "strings"

const (
	topicRule   = "1 to 255 letters, digits and _ : -, in words with dots between them"
	patternRule = "a topic of at most 255 bytes in which a word may be * (any one word) or # (any number of words)"
)

// ValidTopic reports whether messages can be published to the topic.
func ValidTopic(topic string) bool { return validWords(topic, false) }

// ValidPattern reports whether the topic pattern can be subscribed to and followed.
func ValidPattern(pattern string) bool { return validWords(pattern, true) }

func validWords(text string, wild bool) bool {
	if len(text) > 255 {
		return false
	}
	for word := range strings.SplitSeq(text, ".") {
		if !validWord(word) && !(wild && (word == "*" || word == "#")) {
			return false
		}
	}
	return true
}

func validWord(word string) bool {
	for i := range len(word) {
		c := word[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '_' && c != ':' && c != '-' {
			return false
		}
	}
	return word != ""
}

// pattern is a topic pattern by words.
type pattern []string

func newPattern(text string) pattern { return strings.Split(text, ".") }

// matches reports whether the pattern matches a topic, given by words, as scheduler.subscriptions_for finds out in the database.
// It goes back to the last # only: what an earlier one could take in, the last can as well.
func (p pattern) matches(topic []string) bool {
	at, word := 0, 0     // of the pattern, of the topic
	hash, taken := -1, 0 // where the last # is, and up to where it takes words in
	for word < len(topic) {
		switch {
		case at < len(p) && p[at] == "#":
			hash, taken = at, word
			at++
		case at < len(p) && (p[at] == "*" || p[at] == topic[word]):
			at++
			word++
		case hash >= 0:
			taken++
			at, word = hash+1, taken
		default:
			return false
		}
	}
	for at < len(p) && p[at] == "#" {
		at++
	}
	return at == len(p)
}
