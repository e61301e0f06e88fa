package command

import (
	"encoding/json"
	"fmt"
	"io"
)

// array writes a JSON array element by element.
type array struct {
	w io.Writer
	n int
}

func newArray(w io.Writer) *array { return &array{w: w} }

func (a *array) add(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	sep := ",\n  "
	if a.n == 0 {
		sep = "[\n  "
	}
	a.n++
	_, err = a.w.Write(append([]byte(sep), b...))
	return err
}

// close ends the array; an empty one is "[]".
func (a *array) close() error {
	end := "\n]\n"
	if a.n == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(a.w, end)
	return err
}
