package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/debros/debros/structs"
)

// LoadOptions say where settings come from. The zero value gives the defaults.
type LoadOptions struct {
	Files []string                    // read first, in this order
	Dirs  []string                    // then these: their *.hcl and *.json in the order of their names
	Env   func(string) (string, bool) // os.LookupEnv; nil = no environment
	Flags *FlagValues                 // then its -config-file and -config-dir, and last its flags; nil = none

	host *environment // tests; nil = this host
}

// Load reads all sources (defaults, files, environment, flags: later ones win, maps merge, lists grow)
// and checks the result. The error is an *Error with everything that is wrong; only then the Config is nil.
func Load(o LoadOptions) (*Config, []Warning, error) {
	c := defaults()
	c.env = host()
	if o.host != nil {
		c.env = *o.host
	}
	var problems []Problem
	for _, p := range o.paths() {
		problems = append(problems, c.readPath(p)...)
	}
	problems = append(problems, c.readEnv(o.Env)...)
	if o.Flags != nil {
		for _, s := range o.Flags.settings {
			c.apply(s)
		}
	}
	problems = append(problems, c.complete()...)
	v := validate(c)
	c.Addrs = v.addrs
	problems = append(problems, v.problems...)
	errs, warnings := split(problems)
	if len(errs) > 0 {
		return nil, warnings, &Error{Problems: errs}
	}
	return c, warnings, nil
}

func (o LoadOptions) paths() []path {
	var ps []path
	for _, f := range o.Files {
		ps = append(ps, path{name: f})
	}
	for _, d := range o.Dirs {
		ps = append(ps, path{name: d, dir: true})
	}
	if o.Flags != nil {
		ps = append(ps, o.Flags.paths...)
	}
	return ps
}

func (c *Config) apply(s setting) {
	s.f.set(c, s.value)
	c.sources[s.f.key] = s.source
}

// isSet reports whether a source other than the defaults names the key.
func (c *Config) isSet(key string) bool {
	_, ok := c.sources[key]
	return ok
}

func (c *Config) readPath(p path) []Problem {
	if !p.dir {
		return c.readFile(p.name)
	}
	entries, err := os.ReadDir(p.name) // sorted by name
	if err != nil {
		c.broken = true
		hint := ""
		if fi, serr := os.Stat(p.name); serr == nil && !fi.IsDir() {
			hint = "it is a file: use -config-file"
		}
		return []Problem{fileProblem(p.name, err, hint)}
	}
	var problems []Problem
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if (ext == ".hcl" || ext == ".json") && !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			problems = append(problems, c.readFile(filepath.Join(p.name, e.Name()))...)
		}
	}
	return problems
}

// fileProblem leaves out the path, which the Source has.
func fileProblem(name string, err error, hint string) Problem {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return Problem{Source: Source{Kind: FromFile, Name: name}, Message: err.Error(), Hint: hint}
}

func (c *Config) readFile(name string) []Problem {
	if fi, err := os.Stat(name); err == nil && fi.IsDir() {
		c.broken = true
		return []Problem{{Source: Source{Kind: FromFile, Name: name}, Message: "is a directory", Hint: "use -config-dir"}}
	}
	src, err := readBounded(name)
	if err != nil {
		c.broken = true
		return []Problem{fileProblem(name, err, "")}
	}
	d := decodeFile(name, src, filepath.Ext(name) == ".json")
	for _, s := range d.settings {
		c.apply(s)
	}
	for _, key := range d.refused {
		c.refused[key] = true
	}
	c.broken = c.broken || d.broken
	return d.problems
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

func (c *Config) readEnv(env func(string) (string, bool)) []Problem {
	if env == nil {
		return nil
	}
	var problems []Problem
	for _, f := range keys().fields {
		for _, name := range f.envs {
			s, ok := env(name)
			if !ok || s == "" {
				continue
			}
			source := Source{Kind: FromEnv, Name: name}
			v, err := f.parse(s)
			if err != nil {
				c.refused[f.key] = true
				problems = append(problems, Problem{Source: source, Key: f.key, Message: err.Error()})
			} else {
				c.apply(setting{f: f, value: v, source: source})
			}
			break
		}
	}
	return problems
}

// complete fills in what depends on other keys.
func (c *Config) complete() []Problem {
	var problems []Problem
	if c.Dev {
		if c.isSet("server") && !c.Server && !c.refused["server"] {
			problems = append(problems, c.problem("server", "remove one of the two", "dev is a server, but server = false"))
		}
		c.Server = true
	}
	if !c.isSet("leave_on_terminate") {
		c.LeaveOnTerminate = !c.Server
	}
	if !c.isSet("skip_leave_on_interrupt") {
		c.SkipLeaveOnInterrupt = c.Server
	}
	if c.NodeName == "" && !c.refused["node_name"] {
		name, err := c.env.hostname()
		if err != nil {
			problems = append(problems, c.problem("node_name", "set node_name", "this host has no name: %v", err))
		}
		c.NodeName = name
	}
	if c.ClusterKeyFile != "" && c.ClusterKey == "" {
		problems = append(problems, c.readClusterKey()...)
	}
	return problems
}

func (c *Config) readClusterKey() []Problem {
	const key = "cluster_key_file"
	fi, err := os.Stat(c.ClusterKeyFile)
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	var src []byte
	if err == nil {
		src, err = readBounded(c.ClusterKeyFile)
	}
	if err != nil {
		c.refused["cluster_key"] = true
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return []Problem{c.problem(key, "make one with: debros keygen", "%s: %v", c.ClusterKeyFile, err)}
	}
	c.ClusterKey = Secret(strings.TrimSpace(string(src)))
	c.sources["cluster_key"] = c.sources[key]
	if c.ClusterKey == "" {
		c.refused["cluster_key"] = true
		return []Problem{c.problem(key, "make one with: debros keygen", "%s is empty", c.ClusterKeyFile)}
	}
	if fi.Mode().Perm()&0o077 != 0 {
		p := c.problem(key, "chmod 600 "+c.ClusterKeyFile, "%s can be read by other users (mode %04o)", c.ClusterKeyFile, fi.Mode().Perm())
		p.Warning = true
		return []Problem{p}
	}
	return nil
}

// Role is what this agent is in the cluster.
func (c *Config) Role() structs.Role {
	if c.Server {
		return structs.RoleServer
	}
	return structs.RoleClient
}

// Source is where the key was last set.
func (c *Config) Source(key string) Source { return c.sources[key] }

// problem is about one key, wherever that was set.
func (c *Config) problem(key, hint, format string, args ...any) Problem {
	return Problem{Source: c.sources[key], Key: key, Message: fmt.Sprintf(format, args...), Hint: hint}
}
