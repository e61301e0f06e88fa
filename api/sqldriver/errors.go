package sqldriver

import (
	"errors"
	"fmt"

	"github.com/debros/debros/api"
)

var (
	// ErrConflict is in the error of Commit when something that the transaction read has changed. Nothing was
	// written; a new attempt may succeed. A constraint that does not hold is no ErrConflict of this package,
	// only of package api.
	ErrConflict = errors.New("another transaction changed what this one read")

	// ErrNotCommitted is the error of a sql.Result in a transaction that was not committed.
	ErrNotCommitted = errors.New("what a statement in a transaction did is known when it is committed")
)

// refusal is an error about what the caller asked for.
func refusal(format, hint string, args ...any) error {
	return &api.Error{Kind: api.KindInvalid, Message: fmt.Sprintf(format, args...), Hint: hint}
}
