package overlay

import (
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

// A handshake takes longer than libp2p's 30 ms where agents start together; both transports would be dialled.
func TestTCPWaitsForQUICOnPrivateNetworksToo(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "10.0.0.1", "5.5.5.1"} {
		quic, tcp := ma.StringCast("/ip4/"+host+"/udp/4001/quic-v1"), ma.StringCast("/ip4/"+host+"/tcp/4001")
		at := map[string]time.Duration{}
		for _, r := range rankAddrs([]ma.Multiaddr{tcp, quic}) {
			at[r.Addr.String()] = r.Delay
		}
		if d, ok := at[quic.String()]; !ok || d != 0 {
			t.Errorf("%s waits %s", quic, d)
		}
		if d := at[tcp.String()]; d < 200*time.Millisecond || d > 300*time.Millisecond {
			t.Errorf("%s waits %s", tcp, d)
		}
		for _, r := range rankAddrs([]ma.Multiaddr{tcp}) {
			if r.Delay != 0 {
				t.Errorf("%s, the only way, waits %s", tcp, r.Delay)
			}
		}
	}
}
