// Package settings reads the settings of a program into a struct whose tags describe them.
//
// Sources are the tags' defaults, HCL and JSON files, the environment and flags; later ones win, maps
// merge, lists grow. A Schema is made of the struct's type once; it knows nothing of what the keys
// mean. The tags are the only list of keys: decoding, flags, environment names, bounds, comparison and
// the reference are made from them, so a key exists in all of them or in none. A field that is a
// struct is a block; the others are strings, bools, numbers, durations, Secrets, []string and
// map[string]string. The tags:
//
//	hcl      key in files; "-" = not a key
//	flag     command-line flag, without the dash; absent = none
//	env      a second environment variable beside <PREFIX><KEY>, which wins
//	default  in the syntax of the environment; absent = the zero value
//	unset    what the reference says of the default when default cannot
//	min, max bounds of numbers and durations, both included, in the syntax of the environment
//	reload   "true": takes effect on reload
//	doc      a sentence for the reference and the flag's usage; the unit is in it
//
// Contract: reading goes on after a problem, so that all are found at once; each names its source, with
// line and column in files, and what to do about it. No file makes it panic or hang, whoever wrote it,
// and no message repeats a value that may be a secret. It reads files, and decides nothing: whether the
// settings make sense together is for the struct's owner, who asks Origins what is known.
package settings

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Schema is every key and block of a struct type, in the order of the struct. It is immutable.
type Schema struct {
	of       reflect.Type
	fields   []*field
	sections []section
	byKey    map[string]*field
	blocks   map[string]bool
	depth    int               // of the deepest key
	renamed  map[string]string // other programs' names of keys
}

// field is one key, as its tags describe it.
type field struct {
	key      string // dotted
	name     string // last part of key
	section  string // what is before it, "" at the top
	index    []int  // for reflect's FieldByIndex
	kind     kind
	bits     int // of numbers
	flag     string
	envs     []string // the first that is set wins
	def      string
	unset    string
	min, max string
	reload   bool
	doc      string
}

// section is a block.
type section struct {
	key string // dotted
	doc string
}

// New makes the Schema of the struct type T. The environment variable of key a.b is envPrefix + "A_B";
// renamed gives our names of keys that people may know by another. It panics when the tags contradict
// each other, which is a mistake in the program that its first run shows.
func New[T any](envPrefix string, renamed map[string]string) *Schema {
	s := &Schema{of: reflect.TypeFor[T](), byKey: map[string]*field{}, blocks: map[string]bool{}, renamed: renamed}
	s.walk(s.of, envPrefix, "", nil)
	if err := s.check(); err != nil {
		panic(fmt.Sprintf("settings: %v: %v", s.of, err))
	}
	return s
}

func (s *Schema) walk(t reflect.Type, envPrefix, prefix string, index []int) {
	s.depth = max(s.depth, len(index)+1)
	for i := range t.NumField() {
		sf := t.Field(i)
		name := sf.Tag.Get("hcl")
		if name == "" || name == "-" {
			continue
		}
		key := join(prefix, name)
		at := append(slices.Clone(index), i)
		if sf.Type.Kind() == reflect.Struct {
			s.sections = append(s.sections, section{key, sf.Tag.Get("doc")})
			s.blocks[key] = true
			s.walk(sf.Type, envPrefix, key, at)
			continue
		}
		f := &field{
			key: key, name: name, section: prefix, index: at,
			flag: sf.Tag.Get("flag"), def: sf.Tag.Get("default"), unset: sf.Tag.Get("unset"),
			min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
			reload: sf.Tag.Get("reload") == "true", doc: sf.Tag.Get("doc"),
			envs: []string{envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))},
		}
		if e := sf.Tag.Get("env"); e != "" {
			f.envs = append(f.envs, e)
		}
		f.kind, f.bits = kindOf(sf.Type)
		s.fields = append(s.fields, f)
		s.byKey[key] = f
	}
}

// check finds tags that cannot be.
func (s *Schema) check() error {
	names := map[string]string{"flag -config-file": "", "flag -config-dir": ""}
	taken := func(name, key string) error {
		if other, ok := names[name]; ok {
			return fmt.Errorf("%s of %s is that of %q too", name, key, other)
		}
		names[name] = key
		return nil
	}
	for _, b := range s.sections {
		if b.doc == "" {
			return fmt.Errorf("block %s has no documentation", b.key)
		}
	}
	for _, f := range s.fields {
		if !strings.HasSuffix(f.doc, ".") {
			return fmt.Errorf("%s has no sentence of documentation", f.key)
		}
		if f.flag != "" {
			if err := taken("flag -"+f.flag, f.key); err != nil {
				return err
			}
		}
		for _, e := range f.envs {
			if err := taken("variable "+e, f.key); err != nil {
				return err
			}
		}
		if f.min+f.max != "" && !f.kind.ordered() {
			return fmt.Errorf("bounds of %s, a %s", f.key, f.kind)
		}
		for _, text := range []string{f.def, f.min, f.max} {
			if _, err := f.parse(text); text != "" && err != nil {
				return fmt.Errorf("%q of %s: %w", text, f.key, err)
			}
		}
	}
	for from, to := range s.renamed {
		if s.byKey[to] == nil {
			return fmt.Errorf("%s is renamed to %q, which does not exist", from, to)
		}
	}
	return nil
}

// all names every key and block.
func (s *Schema) all() []string {
	names := make([]string, 0, len(s.fields)+len(s.sections))
	for _, f := range s.fields {
		names = append(names, f.key)
	}
	for _, b := range s.sections {
		names = append(names, b.key)
	}
	return names
}

// join and cutLast put dotted keys together and take them apart.
func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func cutLast(key string) (prefix, last string) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}
