package structs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// ReadableDuration is a duration whose JSON is a string such as "200ms". It also reads a number of nanoseconds.
type ReadableDuration time.Duration

// MarshalJSON implements json.Marshaler.
func (d ReadableDuration) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, time.Duration(d).String()), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *ReadableDuration) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		v, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as \"200ms\"", text)
		}
		*d = ReadableDuration(v)
		return nil
	}
	var ns int64
	if err := json.Unmarshal(raw, &ns); err != nil {
		return fmt.Errorf("%s is neither a duration such as \"200ms\" nor whole nanoseconds", raw)
	}
	*d = ReadableDuration(ns)
	return nil
}
