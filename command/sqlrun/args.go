package sqlrun

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/sqltext"
)

// WordArgs turns words of a command line into arguments: a number that would be written back as the very same
// word is a number, everything else is text. A column of text thus gets back what was typed ("1.10" stays), and
// an expression gets numbers to compare with.
func WordArgs(words []string) []any {
	var args []any
	for _, w := range words {
		args = append(args, wordArg(w))
	}
	return args
}

func wordArg(w string) any {
	if i, err := strconv.ParseInt(w, 10, 64); err == nil && strconv.FormatInt(i, 10) == w {
		return i
	}
	if f, err := strconv.ParseFloat(w, 64); err == nil && string(sqltext.AppendValue(nil, f)) == w {
		return f
	}
	return w
}

// JSONArgs reads arguments in the form of the HTTP API: an array, or an object of names.
func JSONArgs(text string) ([]any, error) {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the arguments")
	}
	var args []any
	switch v := v.(type) {
	case []any:
		for i, a := range v {
			arg, err := jsonArg(a)
			if err != nil {
				return nil, fmt.Errorf("argument %d: %w", i+1, err)
			}
			args = append(args, arg)
		}
	case map[string]any:
		for name, a := range v {
			arg, err := jsonArg(a)
			if err != nil {
				return nil, fmt.Errorf("argument %s: %w", name, err)
			}
			args = append(args, api.Named(name, arg))
		}
		slices.SortFunc(args, func(a, b any) int { // errors name the same one every time
			return bytes.Compare([]byte(a.(api.NamedArg).Name), []byte(b.(api.NamedArg).Name))
		})
	default:
		return nil, errors.New("want an array or an object")
	}
	return args, nil
}

func jsonArg(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, bool:
		return v, nil
	case json.Number:
		if bytes.ContainsAny([]byte(v), ".eE") {
			return strconv.ParseFloat(string(v), 64)
		}
		return strconv.ParseInt(string(v), 10, 64)
	case map[string]any:
		for name, inner := range v {
			text, ok := inner.(string)
			if !ok || len(v) != 1 {
				break
			}
			switch name {
			case "blob":
				return base64.StdEncoding.DecodeString(text)
			case "text":
				data, err := base64.StdEncoding.DecodeString(text)
				return string(data), err
			case "real":
				if f, err := strconv.ParseFloat(text, 64); err == nil && math.IsInf(f, 0) {
					return f, nil
				}
			}
		}
	}
	return nil, errors.New(`want null, a number, a string, true, false, {"blob": base64}, {"text": base64} or {"real": "Infinity"}`)
}
