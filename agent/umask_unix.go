//go:build unix

package agent

import "golang.org/x/sys/unix"

// privateMask takes every right from everybody but the user.
const privateMask = 0o077

// keepPrivate makes files of this process 0600 and directories 0700, those of libraries (logs,
// snapshots, members) included. It holds for the whole process, which an agent has for itself.
func keepPrivate() { unix.Umask(privateMask) }
