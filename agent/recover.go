package agent

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/debros/debros/agent/server"
	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/structs"
)

// RecoverRaft rewrites the Raft configuration of a stopped server; see server.Recover. The server
// itself must be among the peers: a list without it is a mistake that would silence it.
func RecoverRaft(dataDir string, peers []server.RecoverPeer) error {
	if _, err := os.Stat(filepath.Join(dataDir, "raft")); err != nil {
		return structs.Errorf(structs.KindInvalid, "%s holds no raft log", dataDir).WithHint("name the data_dir of a stopped server")
	}
	dir, err := lockDataDir(dataDir)
	if err != nil {
		return err
	}
	defer dir.unlock()
	node, created, err := creds.LoadOrCreateNodeKey(dir.file("node.key"))
	if err != nil {
		return err
	}
	if created {
		_ = os.Remove(dir.file("node.key")) // the one that was just made
		return structs.Errorf(structs.KindInvalid, "%s holds no node.key", dataDir)
	}
	self := -1
	for i, p := range peers {
		if p.ID == node.ID() {
			self = i
		}
	}
	if self < 0 {
		return structs.Errorf(structs.KindInvalid, "the server in %s is %s, which is not among those given", dataDir, node.ID())
	}
	backend := server.LogWAL
	if _, err := os.Stat(dir.file("raft", "raft.db")); err == nil {
		backend = server.LogBoltDB
	}
	err = server.Recover(server.Config{
		NodeID: node.ID(), Address: peers[self].Address, DataDir: dataDir, LogBackend: backend,
	}, peers)
	if err != nil {
		return fmt.Errorf("recover %s: %w", dataDir, err)
	}
	return nil
}
