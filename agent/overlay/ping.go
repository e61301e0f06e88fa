package overlay

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// ping sends one libp2p ping on an open stream and returns the round trip.
func pingStream(s network.Stream) (time.Duration, error) {
	var out, in [ping.PingSize]byte
	_, _ = rand.Read(out[:])
	begin := time.Now()
	if _, err := s.Write(out[:]); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(s, in[:]); err != nil {
		return 0, err
	}
	if !bytes.Equal(in[:], out[:]) {
		return 0, errors.New("the answer to a ping is another one's")
	}
	return time.Since(begin), nil
}

// pingOn pings on one connection.
func pingOn(ctx context.Context, c network.Conn) error {
	s, err := openOn(ctx, c, ping.ID)
	if err != nil {
		return err
	}
	defer s.Reset() //nolint:errcheck // it has served
	_, err = pingStream(s)
	return err
}
