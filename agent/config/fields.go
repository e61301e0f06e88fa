package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// kind is a type a key can have.
type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt
	kindUint
	kindFloat
	kindDuration
	kindList
	kindMap
)

// kindNames are for the reference and for errors.
var kindNames = [...]string{"string", "bool", "number", "number", "number", "duration", "list of strings", "map of strings"}

func (k kind) String() string { return kindNames[k] }

// field is one key, as Config's tags describe it.
type field struct {
	key     string // dotted
	name    string // last part of key
	section string // what is before it, "" at the top
	index   []int  // for reflect's FieldByIndex
	kind    kind
	bits    int // of numbers
	flag    string
	envs    []string // the first that is set wins
	def     string
	unset   string
	reload  bool
	secret  bool
	doc     string
}

// section is a block.
type section struct {
	key string // dotted
	doc string
}

// registry is every key and block, in the order of the structs.
type registry struct {
	fields   []*field
	sections []section
	byKey    map[string]*field
	blocks   map[string]bool
}

// keys is computed once: the types do not change.
var keys = sync.OnceValue(func() *registry {
	r := &registry{byKey: map[string]*field{}, blocks: map[string]bool{}}
	r.walk(reflect.TypeFor[Config](), "", nil)
	for _, f := range r.fields {
		r.byKey[f.key] = f
	}
	return r
})

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
)

func (r *registry) walk(t reflect.Type, prefix string, index []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		name := sf.Tag.Get("hcl")
		if name == "" || name == "-" {
			continue
		}
		key := name
		if prefix != "" {
			key = prefix + "." + name
		}
		at := append(slices.Clone(index), i)
		if sf.Type.Kind() == reflect.Struct {
			r.sections = append(r.sections, section{key, sf.Tag.Get("doc")})
			r.blocks[key] = true
			r.walk(sf.Type, key, at)
			continue
		}
		f := &field{
			key: key, name: name, section: prefix, index: at,
			flag: sf.Tag.Get("flag"), def: sf.Tag.Get("default"), unset: sf.Tag.Get("unset"),
			reload: sf.Tag.Get("reload") == "true", secret: sf.Type == secretType, doc: sf.Tag.Get("doc"),
			envs: []string{"DEBROS_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))},
		}
		if e := sf.Tag.Get("env"); e != "" {
			f.envs = append(f.envs, e)
		}
		f.kind, f.bits = kindOf(sf.Type)
		r.fields = append(r.fields, f)
	}
}

// all names every key and block.
func (r *registry) all() []string {
	names := make([]string, 0, len(r.fields)+len(r.sections))
	for _, f := range r.fields {
		names = append(names, f.key)
	}
	for _, s := range r.sections {
		names = append(names, s.key)
	}
	return names
}

func kindOf(t reflect.Type) (kind, int) {
	if t == durationType {
		return kindDuration, 64
	}
	switch t.Kind() {
	case reflect.String:
		return kindString, 0
	case reflect.Bool:
		return kindBool, 0
	case reflect.Int, reflect.Int64:
		return kindInt, t.Bits()
	case reflect.Uint, reflect.Uint64:
		return kindUint, t.Bits()
	case reflect.Float64:
		return kindFloat, 64
	case reflect.Slice:
		return kindList, 0
	case reflect.Map:
		return kindMap, 0
	}
	panic("config: a key of type " + t.String()) // ours to notice: every test walks the types
}

// value is the field in c.
func (f *field) value(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByIndex(f.index)
}

// set stores v, of the type that parse gives for the field's kind: lists are appended to, maps merged
// into, everything else replaced.
func (f *field) set(c *Config, v any) {
	dst := f.value(c)
	switch f.kind {
	case kindString:
		dst.SetString(v.(string))
	case kindBool:
		dst.SetBool(v.(bool))
	case kindInt:
		dst.SetInt(v.(int64))
	case kindUint:
		dst.SetUint(v.(uint64))
	case kindFloat:
		dst.SetFloat(v.(float64))
	case kindDuration:
		dst.SetInt(int64(v.(time.Duration)))
	case kindList:
		dst.Set(reflect.AppendSlice(dst, reflect.ValueOf(v.([]string))))
	case kindMap:
		if dst.IsNil() {
			dst.Set(reflect.ValueOf(map[string]string{}))
		}
		for k, e := range v.(map[string]string) {
			dst.SetMapIndex(reflect.ValueOf(k), reflect.ValueOf(e))
		}
	}
}

// parse reads a value as environment, flags and default tags write it. The error does not repeat the
// text, which may be a secret.
func (f *field) parse(s string) (any, error) {
	switch f.kind {
	case kindBool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return nil, errors.New("must be true or false")
		}
		return b, nil
	case kindInt:
		return f.number(strconv.ParseInt(s, 10, f.bits))
	case kindUint:
		return f.number(strconv.ParseUint(s, 10, f.bits))
	case kindFloat:
		v, err := strconv.ParseFloat(s, 64)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			err = strconv.ErrRange
		}
		return f.number(v, err)
	case kindDuration:
		return parseDuration(s)
	case kindList:
		var list []string
		for e := range strings.SplitSeq(s, ",") {
			if e = strings.TrimSpace(e); e != "" {
				list = append(list, e)
			}
		}
		return list, nil
	case kindMap:
		return parseMap(s)
	}
	return s, nil
}

func (f *field) number(v any, err error) (any, error) {
	switch {
	case errors.Is(err, strconv.ErrRange):
		return nil, errors.New("number out of range")
	case err != nil && f.kind == kindFloat:
		return nil, errors.New("must be a number")
	case err != nil && f.kind == kindUint:
		return nil, errors.New("must be a whole number, not negative")
	case err != nil:
		return nil, errors.New("must be a whole number")
	}
	return v, nil
}

func parseDuration(s string) (any, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, errors.New(`must be a duration such as "10s", "1m30s" or "200ms"`)
	}
	return d, nil
}

func parseMap(s string) (any, error) {
	m := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		one, err := parsePair(pair)
		if err != nil {
			return nil, err
		}
		maps.Copy(m, one)
	}
	return m, nil
}

// parsePair reads key:value or key=value; the value may hold either sign again.
func parsePair(s string) (map[string]string, error) {
	i := strings.IndexAny(s, ":=")
	if i <= 0 {
		return nil, errors.New("must be key:value")
	}
	return map[string]string{strings.TrimSpace(s[:i]): strings.TrimSpace(s[i+1:])}, nil
}

// plain is the value of the key in c as JSON and people have it: durations as text, secrets hidden.
func (f *field) plain(c *Config) any {
	switch v := f.value(c).Interface().(type) {
	case Secret:
		return v.String()
	case time.Duration:
		return v.String()
	case []string:
		return append([]string{}, v...)
	case map[string]string:
		m := map[string]string{}
		maps.Copy(m, v)
		return m
	default:
		return v
	}
}

// defaults is a Config of nothing but defaults.
func defaults() *Config {
	c := &Config{sources: map[string]Source{}, refused: map[string]bool{}}
	for _, f := range keys().fields {
		if f.def == "" {
			continue
		}
		v, err := f.parse(f.def)
		if err != nil {
			panic(fmt.Sprintf("config: default of %s: %v", f.key, err)) // a tag of ours; every test comes here
		}
		f.set(c, v)
	}
	return c
}
