package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/debros/debros/structs"
)

// busy has a message for a subscriber each few milliseconds.
type busy struct{ agent }

func (busy) SubscribeMessages(context.Context, Caller, structs.SubscribeOptions) (Subscription, error) {
	return busySubscription{time.NewTicker(5 * time.Millisecond)}, nil
}

type busySubscription struct{ tick *time.Ticker }

func (s busySubscription) Next(ctx context.Context) ([]structs.MessageItem, error) {
	select {
	case now := <-s.tick.C:
		return []structs.MessageItem{{Message: &structs.Message{Topic: "a", Publisher: "p", Time: now}}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s busySubscription) Close() { s.tick.Stop() }

func TestABusyWebSocketStaysOpenAndADeadOneDoesNot(t *testing.T) {
	s := start(t, Config{})
	s.h.b = busy{s.b}
	s.h.changeHeartbeat = 100 * time.Millisecond // a client may be silent for 300 ms
	dial := func() *websocket.Conn {
		ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(s.url, "http", "ws", 1)+"/v1/pubsub/subscribe?topic=a", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		_ = ws.SetReadDeadline(time.Now().Add(time.Minute))
		return ws
	}
	began := time.Now()
	for ws := dial(); time.Since(began) < 2*time.Second; {
		if _, line, err := ws.ReadMessage(); err != nil {
			t.Fatalf("cut after %s: %v", time.Since(began), err)
		} else if strings.Contains(string(line), `"cut"`) {
			t.Fatalf("cut after %s: %s", time.Since(began), line)
		}
	}
	dead := dial()
	dead.SetPingHandler(func(string) error { return nil })
	for {
		if _, _, err := dead.ReadMessage(); err != nil {
			if strings.Contains(err.Error(), "timeout") {
				t.Errorf("a client that answers no ping is not let go: %v", err)
			}
			return
		}
	}
}
