package settings

import (
	"flag"
	"strings"
)

// FlagValues are the settings that a command line gave, in order.
type FlagValues struct {
	settings []setting
	paths    []path
}

// path is a file or a directory of files.
type path struct {
	name string
	dir  bool
}

// Flags defines a flag for every key that has one, and -config-file and -config-dir (both repeatable),
// on fs. Parse fs, then give the result to Load.
func (s *Schema) Flags(fs *flag.FlagSet) *FlagValues {
	v := &FlagValues{}
	for _, f := range s.fields {
		if f.flag != "" {
			fs.Var(&flagValue{f: f, into: v}, f.flag, flagUsage(f))
		}
	}
	fs.Func("config-file", "`path` of a file of settings, HCL or (*.json) JSON; repeatable, later ones win.", func(name string) error {
		v.paths = append(v.paths, path{name: name})
		return nil
	})
	fs.Func("config-dir", "`path` of a directory whose *.hcl and *.json files are read in the order of their names; repeatable.", func(name string) error {
		v.paths = append(v.paths, path{name: name, dir: true})
		return nil
	})
	return v
}

func flagUsage(f *field) string {
	name := map[kind]string{
		kindBool: "", kindInt: "`number` ", kindUint: "`number` ", kindFloat: "`number` ", kindDuration: "`duration` ",
		kindString: "`text` ", kindList: "`text` ", kindMap: "`key:value` ",
	}[f.kind]
	usage := strings.ReplaceAll(f.doc, "`", "'")
	if name != "" {
		usage = name + "– " + usage
	}
	switch {
	case f.kind == kindList:
		usage += " Repeatable."
	case f.unset != "":
		usage += " Default: " + f.unset + "."
	case f.def != "":
		usage += " Default: " + f.def + "."
	}
	return usage
}

// flagValue implements flag.Value for one key. It keeps the setting instead of changing the struct, since
// flags come last in the order and first in time.
type flagValue struct {
	f    *field
	into *FlagValues
}

// String implements flag.Value. Defaults are in the usage text: the flag package would print zero ones.
func (v *flagValue) String() string { return "" }

// Set implements flag.Value.
func (v *flagValue) Set(s string) error {
	var val any
	var err error
	switch v.f.kind {
	case kindList:
		val = []string{s} // one value a flag: an exec= path may hold a comma
	case kindMap:
		val, err = parsePair(s)
	default:
		val, err = v.f.parse(s)
	}
	if err != nil {
		return err
	}
	v.into.settings = append(v.into.settings, setting{f: v.f, value: val, source: Source{Kind: FromFlag, Name: v.f.flag}})
	return nil
}

// IsBoolFlag lets "-server" stand for "-server=true".
func (v *flagValue) IsBoolFlag() bool { return v.f.kind == kindBool }
