package overlay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/internal/atomicfile"
)

// Saved peers let a node come back when its bootstrap peers are gone.
const (
	savedMax = 32
	// saveSoon lets members come in groups before they are written down.
	saveSoon = 2 * time.Second
	// saveEvery is the shortest time between two writes.
	saveEvery = 30 * time.Second
)

// loadPeers makes the peers known that were members when this node last ran. A file that cannot be read is
// no reason not to start: there are other ways to find peers.
func (o *Overlay) loadPeers() {
	list, err := readPeers(o.cfg.PeersFile, o.rule)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.log.Warn("the peers of the last run are not known", "error", err)
	}
	for _, info := range list {
		o.keeper.add(info, fromSaved)
	}
}

// readPeers reads a file of saved peers, which has the form of an answer of peer exchange.
func readPeers(path string, rule addrRule) ([]peer.AddrInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, exchangeReplyMax+1))
	if err == nil && len(b) > exchangeReplyMax {
		err = fmt.Errorf("more than %d bytes", exchangeReplyMax)
	}
	var list []peer.AddrInfo
	if err == nil {
		list, err = parseExchange(b, rule)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return list[:min(len(list), savedMax)], nil
}

// savePeers writes down who is a member, when that has changed, until ctx ends.
func (o *Overlay) savePeers(ctx context.Context) {
	var last []byte
	for {
		select {
		case <-o.saveCh:
		case <-ctx.Done():
			return
		}
		if sleep(ctx, min(saveSoon, o.cfg.DiscoveryInterval)) != nil {
			return
		}
		list := o.worthSaving()
		if len(list.Peers) == 0 {
			continue // what was saved is worth more
		}
		b, err := json.Marshal(list)
		if err != nil || bytes.Equal(b, last) {
			continue
		}
		if err := atomicfile.Write(o.cfg.PeersFile, append(b, '\n'), 0); err != nil {
			o.log.Warn("peers are not saved for the next start", "error", err)
			continue
		}
		last = b
		if sleep(ctx, min(saveEvery, 3*o.cfg.DiscoveryInterval)) != nil {
			return
		}
	}
}

// worthSaving are members, who have proven to be: those that hold the table first, then those that have been here for
// longest.
func (o *Overlay) worthSaving() exchangeReply {
	holders := o.MembersWith(tableProtocol(o.cfg.Network))
	list := o.members.bySeniority()
	slices.SortStableFunc(list, func(a, b peer.ID) int {
		return boolInt(slices.Contains(holders, b)) - boolInt(slices.Contains(holders, a))
	})
	return o.describeAll(list, savedMax)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
