package settings

import "fmt"

// Origins are where the keys of one struct were set, and what went wrong with them. The zero value
// knows of none.
type Origins struct {
	sources    map[string]Source // where each key that is not a default was last set
	refused    map[string]bool   // keys with an error of their own
	incomplete bool              // a file could not be read: keys that are not set may have been in it
}

// Source is where the key was last set.
func (o *Origins) Source(key string) Source { return o.sources[key] }

// IsSet reports whether a source other than the defaults names the key.
func (o *Origins) IsSet(key string) bool {
	_, ok := o.sources[key]
	return ok
}

// Set says where the key was set.
func (o *Origins) Set(key string, s Source) {
	if o.sources == nil {
		o.sources = map[string]Source{}
	}
	o.sources[key] = s
}

// Refuse says that an error about the key was reported.
func (o *Origins) Refuse(key string) {
	if o.refused == nil {
		o.refused = map[string]bool{}
	}
	o.refused[key] = true
}

// Refused reports whether the key has an error of its own.
func (o *Origins) Refused(key string) bool { return o.refused[key] }

// Unsure reports whether the key's value says nothing: it has an error, or may be set in a file that
// could not be read. What is wrong with it may only follow from that.
func (o *Origins) Unsure(key string) bool {
	return o.refused[key] || o.incomplete && !o.IsSet(key)
}

// Problem is about one key, wherever that was set.
func (o *Origins) Problem(key, hint, format string, args ...any) Problem {
	return Problem{Source: o.sources[key], Key: key, Message: fmt.Sprintf(format, args...), Hint: hint}
}
