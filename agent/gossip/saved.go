package gossip

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/debros/debros/internal/atomicfile"
)

const (
	// saveDelay gathers what comes together, when a site starts say.
	saveDelay = 500 * time.Millisecond
	// savedMax bounds the members that are written down: one that answers is enough.
	savedMax = 64
)

// savedFile stands beside serf's snapshot, in whose buffer the last members may stay until something else happens: a node that is killed a
// few seconds after it joined would find nobody again.
func (g *Gossip) savedFile() string { return g.cfg.SnapshotPath + ".members" }

// readSaved gives "name/address" as previousNodes does. A missing or broken file names nobody.
func readSaved(path, self string) (out []string) {
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &out) != nil {
		return nil
	}
	return slices.DeleteFunc(out[:min(len(out), savedMax)], func(s string) bool { return len(s) > len(self) && s[:len(self)+1] == self+"/" })
}

// save writes down who lives, whenever that has changed, until this node leaves or stops.
func (g *Gossip) save() {
	var last []byte
	for {
		select {
		case <-g.saveCh:
		case <-g.done:
			return
		}
		select {
		case <-time.After(saveDelay):
		case <-g.done:
			return
		}
		if g.serf.State() != serf.SerfAlive {
			continue
		}
		list := []string{}
		for _, m := range g.serf.Members() {
			if m.Status == serf.StatusAlive && m.Name != g.cfg.Name && len(list) < savedMax {
				list = append(list, m.Name+"/"+net.JoinHostPort(m.Addr.String(), strconv.Itoa(int(m.Port))))
			}
		}
		slices.Sort(list)
		b, err := json.Marshal(list)
		if err != nil || len(list) == 0 || bytes.Equal(b, last) {
			continue // with nobody there, what was saved is worth more
		}
		if err := atomicfile.Write(g.savedFile(), append(b, '\n'), 0); err != nil {
			g.log.Warn("members are not saved for the next start", "error", err)
			continue
		}
		last = b
	}
}

// forgetSaved is for a node that leaves: it is not to come back by itself.
func (g *Gossip) forgetSaved() {
	if g.cfg.SnapshotPath != "" && !g.cfg.RejoinAfterLeave {
		_ = os.Remove(g.savedFile()) // there may be none
	}
}
