package settings

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// Sources say where settings come from. The zero value gives the defaults.
type Sources struct {
	Files []string                    // read first, in this order
	Dirs  []string                    // then these: their *.hcl and *.json in the order of their names
	Env   func(string) (string, bool) // os.LookupEnv; nil = no environment
	Flags *FlagValues                 // then its -config-file and -config-dir, and last its flags; nil = none
}

func (s Sources) paths() []path {
	var ps []path
	for _, f := range s.Files {
		ps = append(ps, path{name: f})
	}
	for _, d := range s.Dirs {
		ps = append(ps, path{name: d, dir: true})
	}
	if s.Flags != nil {
		ps = append(ps, s.Flags.paths...)
	}
	return ps
}

// Load sets the struct that v points to, of the Schema's type, from its defaults and then all sources.
func (s *Schema) Load(v any, from Sources) (Origins, []Problem) {
	s.Defaults(v)
	l := &loader{schema: s, into: s.value(v)}
	for _, p := range from.paths() {
		l.path(p)
	}
	if from.Env != nil {
		l.env(from.Env)
	}
	if from.Flags != nil {
		for _, set := range from.Flags.settings {
			l.apply(set)
		}
	}
	return l.origins, l.problems
}

// setting is one key given a value, of the type that field.parse gives.
type setting struct {
	f      *field
	value  any
	source Source
}

// loader fills one struct.
type loader struct {
	schema   *Schema
	into     reflect.Value
	origins  Origins
	problems []Problem
}

func (l *loader) apply(s setting) {
	s.f.set(l.into, s.value)
	l.origins.Set(s.f.key, s.source)
}

func (l *loader) path(p path) {
	if !p.dir {
		l.file(p.name)
		return
	}
	entries, err := os.ReadDir(p.name) // sorted by name
	if err != nil {
		hint := ""
		if fi, serr := os.Stat(p.name); serr == nil && !fi.IsDir() {
			hint = "it is a file: use -config-file"
		}
		l.unreadable(p.name, err, hint)
		return
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if (ext == ".hcl" || ext == ".json") && !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			l.file(filepath.Join(p.name, e.Name()))
		}
	}
}

// unreadable leaves out the path of an error, which the Source has.
func (l *loader) unreadable(name string, err error, hint string) {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	l.origins.incomplete = true
	l.problems = append(l.problems, Problem{Source: Source{Kind: FromFile, Name: name}, Message: err.Error(), Hint: hint})
}

func (l *loader) file(name string) {
	if fi, err := os.Stat(name); err == nil && fi.IsDir() {
		l.unreadable(name, errors.New("is a directory"), "use -config-dir")
		return
	}
	src, err := readBounded(name)
	if err != nil {
		l.unreadable(name, err, "")
		return
	}
	l.text(name, src, filepath.Ext(name) == ".json")
}

// readBounded reads a little more than guard allows, and no more than that.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, fileBytesMax+1))
}

// text takes what a file holds.
func (l *loader) text(name string, src []byte, json bool) {
	d := l.schema.decode(name, src, json)
	for _, s := range d.settings {
		l.apply(s)
	}
	for _, key := range d.refused {
		l.origins.Refuse(key)
	}
	l.origins.incomplete = l.origins.incomplete || d.broken
	l.problems = append(l.problems, d.problems...)
}

func (l *loader) env(lookup func(string) (string, bool)) {
	for _, f := range l.schema.fields {
		for _, name := range f.envs {
			text, ok := lookup(name)
			if !ok || text == "" {
				continue
			}
			source := Source{Kind: FromEnv, Name: name}
			v, err := f.parse(text)
			if err != nil {
				l.origins.Refuse(f.key)
				l.problems = append(l.problems, Problem{Source: source, Key: f.key, Message: err.Error()})
			} else {
				l.apply(setting{f: f, value: v, source: source})
			}
			break
		}
	}
}
