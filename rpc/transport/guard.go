package transport

import (
	"fmt"
	"net"
)

// Raft's message types that are not small. The transport of hashicorp/raft sends one type byte, then
// the message in msgpack; after an InstallSnapshot its Size bytes follow raw.
const (
	raftAppendEntries   byte = 0
	raftInstallSnapshot byte = 2
	raftTypeMax         byte = 4 // RequestPreVote, the last that raft v1.8 knows
)

const (
	// raftSmallBytesMax bounds votes, snapshot headers (with the cluster's configuration) and every answer.
	raftSmallBytesMax = 1 << 20
	// raftItemsMax bounds the entries of a message: raft refuses a MaxAppendEntries above 1024.
	raftItemsMax = 1024
)

// raftGuard reads Raft's messages on their way to raft's decoder and ends the connection before a message that
// claims absurd sizes gets there. See DESIGN.md for what that decoder would do with one.
type raftGuard struct {
	net.Conn
	refused  func(error) // told once
	entryMax uint64
	frameMax int64
	answers  bool // the peer sends bare values: answers to our requests

	s     scanner
	typed bool  // the type byte of the message in progress was seen
	kind  byte  // it
	size  int64 // Size of the InstallSnapshot in progress
	raw   int64 // snapshot bytes still to come
	err   error
}

func newRaftGuard(c net.Conn, lim Limits, answers bool, refused func(error)) *raftGuard {
	g := &raftGuard{
		Conn:     c,
		refused:  refused,
		entryMax: uint64(lim.RaftEntryBytesMax),
		frameMax: lim.RaftFrameBytesMax,
		answers:  answers,
	}
	g.s.number = func(key string, v int64) {
		if key == "Size" {
			g.size = v
		}
	}
	return g
}

// Read implements net.Conn. Like any Read it is for one goroutine at a time.
func (g *raftGuard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.Conn.Read(p)
	good, bad := g.check(p[:n])
	if bad == nil {
		return n, err
	}
	g.err = fmt.Errorf("raft message refused: %w", bad)
	g.refused(g.err)
	g.Conn.Close()
	return good, g.err
}

// check walks p and says how many bytes of it may go on.
func (g *raftGuard) check(p []byte) (n int, err error) {
	for n < len(p) {
		if g.raw > 0 {
			k := min(g.raw, int64(len(p)-n))
			g.raw -= k
			n += int(k)
			continue
		}
		if !g.typed {
			if !g.answers {
				if p[n] > raftTypeMax {
					return n, fmt.Errorf("unknown type %d", p[n])
				}
				g.kind = p[n]
				n++
			}
			g.begin()
			continue
		}
		k, err := g.s.scan(p[n:])
		n += k
		if err != nil {
			return n, err
		}
		if g.s.done {
			g.typed = false
			if !g.answers && g.kind == raftInstallSnapshot {
				g.raw = g.size
			}
		}
	}
	return n, nil
}

func (g *raftGuard) begin() {
	g.typed = true
	g.size = 0
	lim := scanLimits{
		totalBytesMax: raftSmallBytesMax,
		bytesMax:      raftSmallBytesMax,
		itemsMax:      raftItemsMax,
		topMap:        !g.answers, // an answer begins with its error, a bare string
	}
	if !g.answers && g.kind == raftAppendEntries {
		lim.totalBytesMax = g.frameMax
		lim.bytesMax = g.entryMax
	}
	g.s.reset(lim)
}
