package agent

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/debros/debros/agent/config"
	"github.com/debros/debros/agent/httpapi"
	"github.com/debros/debros/agent/overlay"
)

// Protocols of the overlay that carry what TCP ports carry on the LAN.
const (
	// protoHTTP is the HTTP API; a stream is a connection of HTTP/1.1.
	protoHTTP protocol.ID = "/debros/http/1.0.0"
)

// Streams of HTTP that a peer, and all peers together, have open at most; each holds some 20 KB here.
const (
	httpStreamsPerPeer = 1024
	httpStreamsTotal   = 4 * httpStreamsPerPeer
)

// streamLimits are what others may open of our protocols.
func streamLimits(cfg *config.Config) map[protocol.ID]overlay.ProtocolLimit {
	return map[protocol.ID]overlay.ProtocolLimit{
		// As many again are let in, to be told with 429 that they are too many.
		protoHTTP: {PerPeer: min(2*cfg.Limits.HTTPMaxConnsPerClient, httpStreamsPerPeer), Total: httpStreamsTotal},
	}
}

// serveHTTPStreams serves the API to peers. They are counted by their id as others are by their address.
func (a *Agent) serveHTTPStreams(handler *httpapi.Handler) error {
	if a.overlay == nil || a.Config().OverlayHTTP() == config.HTTPOff {
		return nil
	}
	who := overlay.MembersOnly
	if a.Config().OverlayHTTP() == config.HTTPAll {
		who = overlay.Anyone
	}
	l, err := a.overlay.Listen(protoHTTP, who)
	if err != nil {
		return fmt.Errorf("serve http to peers: %w", err)
	}
	srv := handler.Server(a.ctx)
	a.web = append(a.web, srv)
	a.wg.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.stopSoon(fmt.Errorf("serve http to peers: %w", err))
		}
	})
	a.log.Info("the HTTP API is served to peers", "protocol", protoHTTP, "to", a.Config().OverlayHTTP())
	return nil
}
