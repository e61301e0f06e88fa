package settings

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"time"
)

// The functions of this file take pointers to structs of the Schema's type, and panic at others.

// value is the struct that v points to.
func (s *Schema) value(v any) reflect.Value {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.Type().Elem() != s.of {
		panic(fmt.Sprintf("settings: a %T for a *%v", v, s.of))
	}
	return p.Elem()
}

func (f *field) in(v reflect.Value) reflect.Value { return v.FieldByIndex(f.index) }

// Defaults sets every key that has a default to it.
func (s *Schema) Defaults(v any) {
	into := s.value(v)
	for _, f := range s.fields {
		if f.def == "" {
			continue
		}
		if d, err := f.parse(f.def); err == nil { // New has tried
			f.set(into, d)
		}
	}
}

// set stores x, of the type that parse gives for the field's kind: lists are appended to, maps merged
// into, everything else replaced.
func (f *field) set(into reflect.Value, x any) {
	dst := f.in(into)
	switch f.kind {
	case kindString:
		dst.SetString(x.(string))
	case kindBool:
		dst.SetBool(x.(bool))
	case kindInt:
		dst.SetInt(x.(int64))
	case kindUint:
		dst.SetUint(x.(uint64))
	case kindFloat:
		dst.SetFloat(x.(float64))
	case kindDuration:
		dst.SetInt(int64(x.(time.Duration)))
	case kindList:
		dst.Set(reflect.AppendSlice(dst, reflect.ValueOf(x.([]string))))
	case kindMap:
		if dst.IsNil() {
			dst.Set(reflect.ValueOf(map[string]string{}))
		}
		for k, e := range x.(map[string]string) {
			dst.SetMapIndex(reflect.ValueOf(k), reflect.ValueOf(e))
		}
	}
}

// Plain is v as people see it: nested by block, durations as text, secrets that are set replaced by
// "hidden". It marshals to JSON.
func (s *Schema) Plain(v any) map[string]any {
	from := s.value(v)
	blocks := map[string]map[string]any{"": {}}
	for _, b := range s.sections { // a block comes before the blocks in it
		prefix, name := cutLast(b.key)
		blocks[b.key] = map[string]any{}
		blocks[prefix][name] = blocks[b.key]
	}
	for _, f := range s.fields {
		blocks[f.section][f.name] = plain(f.in(from))
	}
	return blocks[""]
}

func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case Secret:
		return x.String()
	case time.Duration:
		return x.String()
	case []string:
		return append([]string{}, x...)
	case map[string]string:
		m := map[string]string{}
		maps.Copy(m, x)
		return m
	default:
		return x
	}
}

// Diff names the keys whose values differ, in the order of the struct: those that a reload applies and
// those that need a restart.
func (s *Schema) Diff(before, after any) (reloadable, needsRestart []string) {
	x, y := s.value(before), s.value(after)
	for _, f := range s.fields {
		switch {
		case equal(f.in(x), f.in(y)):
		case f.reload:
			reloadable = append(reloadable, f.key)
		default:
			needsRestart = append(needsRestart, f.key)
		}
	}
	return reloadable, needsRestart
}

// equal takes nil and empty maps and lists as the same.
func equal(a, b reflect.Value) bool {
	switch x := a.Interface().(type) {
	case map[string]string:
		return maps.Equal(x, b.Interface().(map[string]string))
	case []string:
		return slices.Equal(x, b.Interface().([]string))
	}
	return a.Interface() == b.Interface()
}

// CopyReloadable copies those keys that take effect on a reload.
func (s *Schema) CopyReloadable(to, from any) {
	dst, src := s.value(to), s.value(from)
	for _, f := range s.fields {
		if f.reload {
			f.in(dst).Set(f.in(src))
		}
	}
}

// OutOfBounds yields the keys of v that are below their min or above their max, each with a message.
func (s *Schema) OutOfBounds(v any) iter.Seq2[string, string] {
	from := s.value(v)
	return func(yield func(key, message string) bool) {
		for _, f := range s.fields {
			message := ""
			if x := f.in(from); f.min != "" && f.compare(x, f.min) < 0 {
				message = fmt.Sprintf("%v is below %s", x.Interface(), f.min)
			} else if f.max != "" && f.compare(x, f.max) > 0 {
				message = fmt.Sprintf("%v is above %s", x.Interface(), f.max)
			}
			if message != "" && !yield(f.key, message) {
				return
			}
		}
	}
}

// compare orders the value x of the field and a bound, which parses as New has seen.
func (f *field) compare(x reflect.Value, bound string) int {
	b, _ := f.parse(bound)
	switch b := b.(type) {
	case int64:
		return cmp.Compare(x.Int(), b)
	case uint64:
		return cmp.Compare(x.Uint(), b)
	case float64:
		return cmp.Compare(x.Float(), b)
	case time.Duration:
		return cmp.Compare(x.Int(), int64(b))
	}
	return 0 // New refuses bounds of kinds that are not ordered
}
