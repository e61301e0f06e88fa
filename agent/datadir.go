package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/debros/debros/internal/creds"
)

// dataDir is the directory of what outlives the process, locked for this agent.
//
//	agent.lock          held while the agent runs
//	node.key            the node's identity (PKCS #8 in PEM, 0600)
//	serf/snapshot       members to rejoin
//	serf/keyring.json   gossip keys (0600)
//	raft/               log and snapshots, servers only
//	sql/                databases, which raft/ can make anew, servers only
//	cluster.id          the cluster that this server belongs to (0600), servers only
type dataDir struct {
	path string
	lock *flock.Flock
}

// lockDataDir makes the directory if need be and takes its lock.
func lockDataDir(path string) (*dataDir, error) {
	keepPrivate()
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("create data_dir: %w", err)
	}
	d := &dataDir{path: path, lock: flock.New(filepath.Join(path, "agent.lock"), flock.SetPermissions(0o600))}
	ok, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data_dir %s: %w", path, err)
	}
	if !ok {
		return nil, fmt.Errorf("data_dir %s is in use by another agent: stop that one, or give this one a data_dir of its own", path)
	}
	return d, nil
}

func (d *dataDir) unlock() {
	if d != nil {
		_ = d.lock.Unlock() // the process is ending; the kernel would do it too
	}
}

// file is a path in the directory; "" when there is none.
func (d *dataDir) file(elem ...string) string {
	if d == nil {
		return ""
	}
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// openDataDir locks the data directory and reads or makes the node key.
func (a *Agent) openDataDir() (err error) {
	dir := a.Config().DataDir
	if dir == "" {
		a.node, err = creds.GenerateNodeKey()
		return err
	}
	if a.dir, err = lockDataDir(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(a.dir.file("serf"), 0o700); err != nil {
		return fmt.Errorf("create %s: %w", a.dir.file("serf"), err)
	}
	var created bool
	a.node, created, err = creds.LoadOrCreateNodeKey(a.dir.file("node.key"))
	if err != nil {
		return err
	}
	if created {
		if _, err := os.Stat(a.dir.file("raft")); err == nil {
			return errors.Join(os.Remove(a.dir.file("node.key")), fmt.Errorf(
				"data_dir %s holds a raft log but no node.key: with a new key this node would be another server; restore node.key, or remove the directory to join as a new server", dir))
		}
		a.log.Info("new node key", "id", a.node.ID())
	}
	return nil
}
