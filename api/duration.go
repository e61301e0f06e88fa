package api

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a time.Duration whose JSON form is a string such as "1m30s". It reads numbers of
// nanoseconds too.
type Duration time.Duration

// String is the duration as time.Duration writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the string form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a string or a number of nanoseconds; "" is 0.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		*d = 0
	case float64:
		*d = Duration(v)
	case string:
		if v == "" {
			*d = 0
			return nil
		}
		t, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		*d = Duration(t)
	default:
		return fmt.Errorf("a duration cannot be a JSON %T", v)
	}
	return nil
}
