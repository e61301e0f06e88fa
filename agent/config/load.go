package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/debros/debros/agent/config/settings"
)

// What Load reads and reports is in the words of settings.
type (
	FlagValues = settings.FlagValues
	Problem    = settings.Problem
	Warning    = settings.Problem // one that does not prevent a start
	Error      = settings.Error
)

// LoadOptions say where settings come from. The zero value gives the defaults.
type LoadOptions struct {
	Files []string                    // read first, in this order
	Dirs  []string                    // then these: their *.hcl and *.json in the order of their names
	Env   func(string) (string, bool) // os.LookupEnv; nil = no environment
	Flags *FlagValues                 // then its -config-file and -config-dir, and last its flags; nil = none

	host *environment // tests; nil = this host
}

// Flags defines a flag for every key that has one, and -config-file and -config-dir (both repeatable),
// on fs. Parse fs, then give the result to Load.
func Flags(fs *flag.FlagSet) *FlagValues { return schema().Flags(fs) }

// Load reads all sources (defaults, files, environment, flags: later ones win, maps merge, lists grow)
// and checks the result. The error is an *Error with everything that is wrong; only then the Config is nil.
func Load(o LoadOptions) (*Config, []Warning, error) {
	c := &Config{env: host()}
	if o.host != nil {
		c.env = *o.host
	}
	var problems []Problem
	c.origins, problems = schema().Load(c, settings.Sources{Files: o.Files, Dirs: o.Dirs, Env: o.Env, Flags: o.Flags})
	problems = append(problems, c.complete()...)
	v := validate(c)
	c.Addrs = v.addrs
	warnings, err := settings.Judge(append(problems, v.problems...))
	if err != nil {
		return nil, warnings, err
	}
	return c, warnings, nil
}

// complete fills in what depends on other keys.
func (c *Config) complete() []Problem {
	var problems []Problem
	o := &c.origins
	if c.Dev {
		if o.IsSet("server") && !c.Server && !o.Refused("server") {
			problems = append(problems, o.Problem("server", "remove one of the two", "dev is a server, but server = false"))
		}
		c.Server = true
	}
	if !o.IsSet("leave_on_terminate") {
		c.LeaveOnTerminate = !c.Server
	}
	if !o.IsSet("skip_leave_on_interrupt") {
		c.SkipLeaveOnInterrupt = c.Server
	}
	c.completeOverlay()
	if c.NodeName == "" && !o.Refused("node_name") {
		name, err := c.env.hostname()
		if err != nil {
			problems = append(problems, o.Problem("node_name", "set node_name", "this host has no name: %v", err))
		}
		c.NodeName = name
	}
	if c.ClusterKeyFile != "" && c.ClusterKey == "" {
		problems = append(problems, c.takeClusterKey()...)
	}
	return problems
}

// takeClusterKey sets cluster_key to what cluster_key_file holds.
func (c *Config) takeClusterKey() []Problem {
	const key = "cluster_key_file"
	o := &c.origins
	text, mode, err := readKeyFile(c.ClusterKeyFile)
	if err == nil {
		c.ClusterKey = settings.Secret(text)
		o.Set("cluster_key", o.Source(key))
	}
	problem := ""
	switch {
	case err != nil:
		problem = fmt.Sprintf("%s: %v", c.ClusterKeyFile, cause(err))
	case text == "":
		problem = c.ClusterKeyFile + " is empty"
	case mode&0o077 != 0:
		p := o.Problem(key, "chmod 600 "+c.ClusterKeyFile, "%s can be read by other users (mode %04o)", c.ClusterKeyFile, mode)
		p.Warning = true
		return []Problem{p}
	default:
		return nil
	}
	o.Refuse("cluster_key")
	return []Problem{o.Problem(key, "make one with: debros keygen", "%s", problem)}
}

// keyFileBytesMax is far more than a key has: what is read of a file that holds none.
const keyFileBytesMax = 4 << 10

func readKeyFile(name string) (text string, mode fs.FileMode, err error) {
	fi, err := os.Stat(name)
	if err != nil {
		return "", 0, err
	}
	if !fi.Mode().IsRegular() {
		return "", 0, errors.New("not a regular file") // a FIFO would block
	}
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, keyFileBytesMax))
	return strings.TrimSpace(string(src)), fi.Mode().Perm(), err
}
