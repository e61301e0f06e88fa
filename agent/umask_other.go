//go:build !unix

package agent

// keepPrivate does nothing where files have no modes: they have the rights of the directory above.
func keepPrivate() {}
