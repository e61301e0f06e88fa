package httpapi

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/debros/debros/structs"
)

// webSocket sends lines as text messages, a line each. It takes nothing: a client that sends a message is let go.
type webSocket struct {
	c      *call
	conn   *websocket.Conn
	lines  [][]byte
	pinged time.Time
}

const (
	// webSocketReadMax bounds what a client may send, which is control frames.
	webSocketReadMax = 512
	// webSocketSilence is how many pings, of which there is one for each heartbeat at least, a client may leave unanswered.
	webSocketSilence = 3
)

// upgrade answers a WebSocket handshake. The guard has looked at Host and Origin already.
func (c *call) upgrade() (*webSocket, error) {
	u := websocket.Upgrader{
		HandshakeTimeout: headerTimeout, WriteBufferSize: 32 << 10, ReadBufferSize: 1 << 10,
		CheckOrigin: func(*http.Request) bool { return true },
		Error:       func(http.ResponseWriter, *http.Request, int, error) {}, // as every other error, by the caller
	}
	conn, err := u.Upgrade(hijacker{c.w}, c.r, nil)
	if err != nil {
		var e websocket.HandshakeError
		if errors.As(err, &e) {
			return nil, invalid("not a WebSocket handshake: %v", err)
		}
		return nil, err
	}
	c.w.status = http.StatusSwitchingProtocols
	return &webSocket{c: c, conn: conn, pinged: time.Now()}, nil
}

// hijacker is a response whose connection can be taken over, however it is wrapped.
type hijacker struct{ *response }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		err = structs.Errorf(structs.KindUnsupported, "a WebSocket is not possible on this connection").
			WithHint("format=sse and format=ndjson are")
	}
	return conn, rw, err
}

// listen reads until the client is gone, and then calls gone. Browsers answer pings by themselves.
func (s *webSocket) listen(gone context.CancelFunc) {
	defer gone()
	s.conn.SetReadLimit(webSocketReadMax)
	alive := func(string) error {
		return s.conn.SetReadDeadline(time.Now().Add(webSocketSilence * s.c.h.changeHeartbeat))
	}
	_ = alive("")
	s.conn.SetPongHandler(alive)
	if _, _, err := s.conn.NextReader(); err == nil {
		s.say(websocket.ClosePolicyViolation, "this socket only sends; publish by POST /v1/pubsub/publish")
	}
}

func (s *webSocket) begin() error { return nil }

func (s *webSocket) message(line []byte) { s.lines = append(s.lines, line) }

func (s *webSocket) control(_ string, line []byte) { s.lines = append(s.lines, line) }

// ping asks the client to show that it is there. A feed with messages all the time has no heartbeats, so each line looks whether it is time.
func (s *webSocket) ping() {
	if now := time.Now(); now.Sub(s.pinged) >= s.c.h.changeHeartbeat {
		s.pinged = now
		_ = s.conn.WriteControl(websocket.PingMessage, nil, now.Add(streamWriteTimeout)) // the next write says what is wrong
	}
}

func (s *webSocket) flush() error {
	lines := s.lines
	s.lines = s.lines[:0]
	for _, line := range lines {
		s.ping()
		_ = s.conn.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
		if err := s.conn.WriteMessage(websocket.TextMessage, line); err != nil {
			s.c.w.gone = true
			return context.Canceled
		}
		s.c.w.bytes += int64(len(line))
	}
	return nil
}

func (s *webSocket) end() { s.say(websocket.CloseGoingAway, "") }

func (s *webSocket) say(code int, reason string) {
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
}

func (s *webSocket) close() { _ = s.conn.Close() }

var _ feedWriter = (*webSocket)(nil)
