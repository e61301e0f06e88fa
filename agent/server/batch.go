package server

import (
	"github.com/debros/debros/structs"
)

// batch is one entry in the making.
type batch struct {
	waiting []*pending
	keys    map[string]struct{}
	bytes   int
	alone   bool // holds a command that may write any row
}

func (b *batch) empty() bool { return len(b.waiting) == 0 }

func (b *batch) full() bool {
	return b.alone || len(b.waiting) >= entryCommandsMax || b.bytes >= entryBytesMax
}

// fits reports whether p may share this entry: within the bounds, and writing no row that another writes.
func (b *batch) fits(p *pending) bool {
	if b.empty() {
		return true
	}
	if b.full() || p.keys == nil || b.bytes+p.size() > entryBytesMax {
		return false
	}
	for _, k := range p.keys {
		if _, ok := b.keys[k]; ok {
			return false
		}
	}
	return true
}

func (b *batch) add(p *pending) {
	b.waiting = append(b.waiting, p)
	b.bytes += p.size()
	b.alone = b.alone || p.keys == nil
	if b.keys == nil {
		b.keys = make(map[string]struct{}, len(p.keys))
	}
	for _, k := range p.keys {
		b.keys[k] = struct{}{}
	}
}

func (b *batch) commands() []structs.Command {
	cmds := make([]structs.Command, len(b.waiting))
	for i, p := range b.waiting {
		cmds[i] = p.cmd
	}
	return cmds
}

func (b *batch) fail(err error) { failAll(b.waiting, err) }

func (p *pending) size() int { return len(p.cmd.Body) + commandOverheadBytes }
