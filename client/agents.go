package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/debros/debros/internal/via"
)

// agents are the bootstrap peers, one of which is in use.
type agents struct {
	peers []*via.Peer

	mu   sync.Mutex // protects the following
	used int        // the one that answered last
}

// newAgents reads the addresses and opens nothing.
func newAgents(addrs []string) (*agents, error) {
	if len(addrs) == 0 {
		return nil, errors.New("no bootstrap peers are configured: name an agent's address, which 'debros peer-id' shows there")
	}
	a := &agents{}
	for _, addr := range addrs {
		p, err := via.New(addr)
		if err != nil {
			return nil, fmt.Errorf("bootstrap peer: %w", err)
		}
		a.peers = append(a.peers, p)
	}
	return a, nil
}

// dial opens a connection to the agent that answered last, or else to the next one that does.
func (a *agents) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	a.mu.Lock()
	first := a.used
	a.mu.Unlock()
	var errs []error
	for i := range a.peers {
		n := (first + i) % len(a.peers)
		conn, err := a.peers[n].Dial(ctx, network, addr)
		if err == nil {
			a.mu.Lock()
			a.used = n
			a.mu.Unlock()
			return conn, nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 1 {
		return nil, errs[0] // with its hint
	}
	return nil, errors.Join(errs...)
}

func (a *agents) close() error {
	var errs []error
	for _, p := range a.peers {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
