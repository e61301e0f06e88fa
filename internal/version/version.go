// Package version says which build of debros this is.
//
// The linker sets the variables:
//
//	go build -ldflags "-X github.com/debros/debros/internal/version.version=1.2.3 -X github.com/debros/debros/internal/version.commit=$(git rev-parse HEAD)"
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Written by the linker only; variables because -X cannot set constants.
var (
	version = "0.1.0-dev"
	commit  = ""
)

// Version is the semantic version without a leading "v", e.g. "0.1.0-dev". It goes into serf tags and
// into replies, so it stays short and free of spaces.
func Version() string { return version }

// Commit is the git commit of the build, "" when unknown. Without the linker's help it is what the go
// tool recorded, with "+dirty" when the tree had changes.
func Commit() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var revision, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + dirty
}

// String is one line for people: version, commit, Go version and platform.
func String() string {
	c := Commit()
	if c == "" {
		c = "unknown"
	}
	return fmt.Sprintf("debros %s (commit %s, %s, %s/%s)", version, c, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
