package overlay

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// strangerStream opens a stream of a program that is no member.
func strangerStream(t *testing.T, o *Overlay, pid protocol.ID) network.Stream {
	t.Helper()
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	h.Peerstore().AddAddrs(o.ID(), o.cfg.Listen, peerstore.PermanentAddrTTL)
	if err := h.Connect(t.Context(), peer.AddrInfo{ID: o.ID()}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := h.NewStream(ctx, o.ID(), pid)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAStrangerThatDoesNotReadIsCutOff(t *testing.T) {
	const pid = "/test/open/1.0.0"
	o := start(t, func(c *Config) { c.WriteTimeout = 300 * time.Millisecond })
	l, err := o.Listen(pid, Anyone)
	if err != nil {
		t.Fatal(err)
	}
	s := strangerStream(t, o, pid)
	if _, err := s.Write([]byte{1}); err != nil { // the protocol is chosen with the first byte
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	failed := make(chan error, 1)
	go func() {
		for {
			if _, err := c.Write(make([]byte, 1<<20)); err != nil {
				failed <- err
				return
			}
		}
	}()
	select {
	case err := <-failed:
		if !errors.Is(err, os.ErrDeadlineExceeded) && !isTimeout(err) {
			t.Errorf("the write ended with %v, want a timeout", err)
		}
	case <-time.After(patience):
		t.Fatal("a write to a peer that does not read has no end")
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestASlowReaderThatGoesOnIsNotCutOff(t *testing.T) {
	const within = 500 * time.Millisecond
	a, b := net.Pipe() // no buffer: a write takes as long as its reader
	c := &pacedConn{Conn: a, within: within}
	go func() {
		buf := make([]byte, pacedBytes)
		for {
			time.Sleep(within / 8)
			if _, err := b.Read(buf); err != nil {
				return
			}
		}
	}()
	began := time.Now()
	if n, err := c.Write(make([]byte, 16*pacedBytes)); err != nil || n != 16*pacedBytes {
		t.Fatalf("wrote %d: %v", n, err)
	}
	if took := time.Since(began); took < within {
		t.Fatalf("the reader was not slow: %s", took)
	}
	// A deadline of the user's own that is nearer counts.
	if err := c.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("write after its deadline: %v", err)
	}
	_ = b.Close()
}
