package agent_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

func onOverlay(s *agenttest.Spec) { s.Overlay = true }

// listen begins a subscription at a node.
func listen(t *testing.T, n *agenttest.Node, o api.SubscribeOptions, patterns ...string) *api.Subscription {
	t.Helper()
	s, err := n.API.PubSub().Subscribe(t.Context(), o, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// hear waits for n events and says in short what they are.
func hear(t *testing.T, s *api.Subscription, n int) (out []string) {
	t.Helper()
	defer time.AfterFunc(agenttest.Patience, s.Close).Stop()
	for e, err := range s.All() {
		switch {
		case err != nil:
			t.Logf("while listening: %v", err)
			continue
		case e.Message != nil:
			out = append(out, string(e.Message.Data))
		case e.Gap != nil:
			out = append(out, "gap")
		case e.Presence != nil:
			out = append(out, fmt.Sprintf("presence %v %s", e.Presence.Joined, e.Presence.Subscriber.Topic))
		default:
			out = append(out, fmt.Sprintf("overflow %d", e.Overflow))
		}
		if len(out) == n {
			return out
		}
	}
	t.Fatalf("heard only %v", out)
	return nil
}

func say(t *testing.T, n *agenttest.Node, topic string, texts ...string) {
	t.Helper()
	list := make([]api.Message, len(texts))
	for i, text := range texts {
		list[i] = api.Message{Topic: topic, Data: []byte(text)}
	}
	if _, _, err := n.API.PubSub().Publish(t.Context(), nil, list...); err != nil {
		t.Fatal(err)
	}
}

func TestMessagesReachSubscribersAtEveryAgent(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 2, onOverlay)
	nodes := c.Nodes()
	subs := []*api.Subscription{}
	for _, n := range nodes {
		subs = append(subs, listen(t, n, api.SubscribeOptions{}, "orders.>"))
	}
	for i, n := range nodes {
		say(t, n, "orders.eu", fmt.Sprint(i), fmt.Sprint(i))
	}
	for _, s := range subs {
		got := hear(t, s, 6)
		slices.Sort(got)
		if strings.Join(got, "") != "001122" {
			t.Errorf("%v", got)
		}
	}
	agenttest.Eventually(t, "who subscribes is known everywhere", func() bool {
		list, err := nodes[2].API.PubSub().Subscribers(t.Context(), "orders.x", nil)
		return err == nil && len(list) == 3
	})
	agenttest.Eventually(t, "what is published and subscribed to is known", func() bool {
		topics, err := nodes[1].API.PubSub().Topics(t.Context(), nil)
		return err == nil && len(topics) == 2 && topics[0].Topic == "orders.>" && topics[0].Subscribers == 3 && topics[1].Messages == 6
	})
}

// A topic that a stream keeps goes there, whichever agent it is published at, and not to who listens.
func TestATopicIsDurableWhereAStreamKeepsIt(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 1, onOverlay)
	server, client := c.Servers[0], c.Clients[0]
	publish := func(n *agenttest.Node, topic string) string {
		t.Helper()
		got, _, err := n.API.PubSub().Publish(t.Context(), nil, api.Message{Topic: topic})
		if err != nil {
			t.Fatal(err)
		}
		return got[0].Stream
	}
	for _, n := range []*agenttest.Node{server, client} {
		if s := publish(n, "orders.eu"); s != "" {
			t.Errorf("kept by %q", s)
		}
	}
	if _, _, err := client.API.Streams().Create(t.Context(), "orders", api.StreamSettings{}, nil); err != nil {
		t.Fatal(err)
	}
	if s := publish(client, "orders.eu"); s != "orders" {
		t.Errorf("at the agent that made the stream: kept by %q", s)
	}
	agenttest.Eventually(t, "the other agent knows of the stream", func() bool { return publish(server, "orders.eu") == "orders" })
	if _, _, err := client.API.PubSub().Publish(t.Context(), nil, api.Message{Topic: "orders"}, api.Message{Topic: "other"}); err == nil {
		t.Error("messages for a stream and for none were taken in one request")
	}
	if res := ask(t, client, "POST", "/v1/pubsub/publish/other?durable", nil, "x"); res.StatusCode != 404 {
		t.Errorf("durable without a stream: %s", res.Status)
	}
	s := listen(t, server, api.SubscribeOptions{}, "orders.>")
	if res := ask(t, client, "POST", "/v1/pubsub/publish/orders.eu?durable=false", nil, "live"); res.StatusCode != 200 {
		t.Errorf("durable=false: %s", res.Status)
	}
	if got := hear(t, s, 1); got[0] != "live" {
		t.Errorf("%v", got)
	}
	if _, err := client.API.Streams().Delete(t.Context(), "orders", nil); err != nil {
		t.Fatal(err)
	}
	if s := publish(client, "orders.eu"); s != "" {
		t.Errorf("kept by a stream that is gone: %q", s)
	}
}

func TestAnAgentThatRestartsIsAGapToItsSubscribers(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 1, onOverlay)
	server, client := c.Servers[0], c.Clients[0]
	s, other := listen(t, client, api.SubscribeOptions{}, "a"), listen(t, server, api.SubscribeOptions{}, "a")
	say(t, server, "a", "1")
	if got := hear(t, s, 1); got[0] != "1" {
		t.Errorf("%v", got)
	}
	port := client.API.Address()[strings.LastIndex(client.API.Address(), ":")+1:]
	again := client.Restart(t, func(s *agenttest.Spec) { s.HCL += "ports { http = " + port + " }" })
	done := make(chan []string)
	go func() { done <- hear(t, s, 2) }()
	agenttest.Eventually(t, "it is subscribed again", func() bool {
		say(t, again, "a", "2")
		select {
		case got := <-done:
			if got[0] != "gap" || got[1] != "2" {
				t.Errorf("%v", got)
			}
			return true
		case <-time.After(100 * time.Millisecond):
			return false
		}
	})
	if got := hear(t, other, 2); got[0] != "1" || got[1] != "2" {
		t.Errorf("the one that stayed heard %v", got)
	}
}

func TestEveryFormatSaysTheSame(t *testing.T) {
	t.Parallel()
	n := agenttest.Cluster(t, 1, 0, onOverlay).Servers[0]
	path := "/v1/pubsub/subscribe?topic=a.*&presence"
	lines := map[string]func() string{}
	for format, accept := range map[string]string{"ndjson": "", "sse": "text/event-stream"} {
		res := ask(t, n, "GET", path, map[string]string{"Accept": accept}, "")
		in := bufio.NewReader(res.Body)
		lines[format] = func() string {
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				line = strings.TrimSpace(strings.TrimPrefix(line, "data: "))
				if strings.HasPrefix(line, "{") {
					return line
				}
			}
		}
	}
	ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(n.API.Address(), "http", "ws", 1)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	lines["websocket"] = func() string {
		_, b, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	say(t, n, "a.b", "hello")
	for format, next := range lines {
		controls := []string{}
		for {
			var l struct{ Control, Topic, Publisher, Data string }
			if err := json.Unmarshal([]byte(next()), &l); err != nil {
				t.Fatal(err)
			}
			if l.Control == "" {
				if l.Topic != "a.b" || l.Publisher != string(n.Member.ID) || l.Data != "aGVsbG8=" {
					t.Errorf("%s: %+v", format, l)
				}
				break
			}
			controls = append(controls, l.Control)
		}
		if len(controls) < 2 || controls[0] != "begin" || controls[1] != "presence" {
			t.Errorf("%s: %v", format, controls)
		}
	}
}

func TestAWebSocketThatTalksIsLetGo(t *testing.T) {
	t.Parallel()
	n := agenttest.Cluster(t, 1, 0, onOverlay).Servers[0]
	for name, talk := range map[string]func(*websocket.Conn) error{
		"a message": func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte("hello")) },
		"a long one": func(c *websocket.Conn) error {
			return c.WriteMessage(websocket.BinaryMessage, make([]byte, 1<<20))
		},
		"garbage": func(c *websocket.Conn) error {
			_, err := c.NetConn().Write([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff garbage"))
			return err
		},
	} {
		ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(n.API.Address(), "http", "ws", 1)+"/v1/pubsub/subscribe?topic=a", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		_ = talk(ws) // it may be cut off while it talks
		_ = ws.SetReadDeadline(time.Now().Add(agenttest.Patience))
		for err == nil {
			_, _, err = ws.ReadMessage()
		}
		if strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the socket stays open", name)
		}
	}
	agenttest.Eventually(t, "nobody subscribes any more", func() bool {
		list, err := n.API.PubSub().Subscribers(t.Context(), "a", nil)
		return err == nil && len(list) == 0
	})
}

func TestBadRequestsAboutTopicsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	n := agenttest.Cluster(t, 1, 0, onOverlay).Servers[0]
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/pubsub/subscribe", "", 400, "no topic to subscribe to"},
		{"GET", "/v1/pubsub/subscribe?topic=a..b", "", 400, "is no pattern of topics"},
		{"GET", "/v1/pubsub/subscribe?topic=a&format=xml", "", 400, "is not ndjson, sse or websocket"},
		{"GET", "/v1/pubsub/subscribe?topic=a&format=websocket", "", 400, "is for a WebSocket handshake"},
		{"GET", "/v1/pubsub/subscribe?topic=a&group=a.b", "", 400, "is no name of a group"},
		{"GET", "/v1/pubsub/subscribe?topic=a&queue=0", "", 400, "a queue of 0 messages"},
		{"GET", "/v1/pubsub/subscribe?topic=a&ns=none", "", 404, `namespace \"none\" does not exist`},
		{"GET", "/v1/pubsub/subscribe?topic=a&dc=dc2", "", 400, "go to every datacenter"},
		{"POST", "/v1/pubsub/publish/a?ns=none", "x", 404, `namespace \"none\" does not exist`},
		{"POST", "/v1/pubsub/publish/a.*", "x", 400, "is no topic"},
		{"POST", "/v1/pubsub/publish/" + strings.Repeat("a.", 999) + "a", "x", 400, "is no topic"},
		{"POST", "/v1/pubsub/publish/_event", "x", 400, "own topics"},
		{"POST", "/v1/pubsub/publish/a?id=1", "x", 400, "an id is for messages that a stream keeps"},
		{"POST", "/v1/pubsub/publish/a", strings.Repeat("x", 1<<20), 413, "the limit is 1048576"},
		{"POST", "/v1/pubsub/request/a?timeout=x", "x", 400, "is not a duration"},
		{"POST", "/v1/pubsub/request/a?replies=5000", "x", 400, "5000 replies"},
		{"GET", "/v1/pubsub/peers?topic=*", "", 400, "is no topic"},
		{"PUT", "/v1/event/fire/x?node=(", "x", 400, "no regular expression"},
		{"PUT", "/v1/event/fire/x?service=a", "x", 501, "there are none here"},
	} {
		res := ask(t, n, c.method, c.path, map[string]string{"Content-Type": "application/octet-stream"}, c.body)
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode != c.status || !strings.Contains(strings.ReplaceAll(string(b), `namespace "none"`, `namespace \"none\"`), c.want) {
			t.Errorf("%s %.60s: %s %s, want %d %q", c.method, c.path, res.Status, b, c.status, c.want)
		}
	}
}

func TestTopicsNeedTheOverlay(t *testing.T) {
	t.Parallel()
	n := agenttest.Cluster(t, 1, 0).Servers[0]
	res := ask(t, n, "GET", "/v1/pubsub/subscribe?topic=a", nil, "")
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusNotImplemented || !strings.Contains(string(b), "live topics need the overlay") {
		t.Errorf("%s %s", res.Status, b)
	}
}

func TestAUserEventReachesEveryAgent(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 1, onOverlay)
	server, client := c.Servers[0], c.Clients[0]
	_, meta, err := client.API.UserEvents().List(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.API.UserEvents().Fire(t.Context(), api.UserEvent{Name: "other", NodeFilter: "^nobody$"}, nil); err != nil {
		t.Fatal(err)
	}
	fired, _, err := server.API.UserEvents().Fire(t.Context(), api.UserEvent{Name: "deploy", Payload: []byte("v2"), NodeFilter: client.Member.Name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []*api.UserEvent
	agenttest.Eventually(t, "the event is there", func() bool {
		list, meta, err = client.API.UserEvents().List(t.Context(), "deploy", &api.QueryOptions{Index: meta.Index, Wait: time.Second})
		return err == nil && len(list) > 0
	})
	if len(list) != 1 || list[0].ID != fired.ID || string(list[0].Payload) != "v2" || list[0].LTime != 1 {
		t.Errorf("%+v", list)
	}
	if list, _, err := server.API.UserEvents().List(t.Context(), "", nil); err != nil || len(list) != 0 {
		t.Errorf("an agent whose name does not match notes %+v, %v", list, err)
	}
}

func TestARequestOverHTTPIsReplied(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 1, onOverlay)
	server, client := c.Servers[0], c.Clients[0]
	s := listen(t, client, api.SubscribeOptions{Group: "clock"}, "time.*")
	go func() {
		for e, err := range s.All() {
			if err == nil && e.Message != nil {
				_, _, _ = client.API.PubSub().Publish(t.Context(), nil, api.Message{Topic: e.Message.Reply, Data: []byte("noon")})
			}
		}
	}()
	got, err := server.API.PubSub().Request(t.Context(), api.Message{Topic: "time.utc"}, api.RequestOptions{Timeout: agenttest.Patience})
	if err != nil || len(got) != 1 || string(got[0].Data) != "noon" {
		t.Errorf("%v, %v", got, err)
	}
}

// A reader that takes nothing costs the agent its queue, and hears how much it lost when it reads again.
func TestASubscriberThatDoesNotReadLosesItsOwnMessages(t *testing.T) {
	t.Parallel()
	n := agenttest.Cluster(t, 1, 0, onOverlay).Servers[0]
	res := ask(t, n, "GET", "/v1/pubsub/subscribe?topic=a&queue=10", nil, "")
	in := bufio.NewReaderSize(res.Body, 16)
	if line, err := in.ReadSlice('\n'); err == nil {
		t.Errorf("a long line in a small buffer: %s", line)
	}
	s := listen(t, n, api.SubscribeOptions{}, "a")
	big := strings.Repeat("x", 100<<10)
	const count = 400 // 50 MiB on the wire: more than sockets hold
	for range count {
		say(t, n, "a", big)
		hear(t, s, 1) // the other one is not held up
	}
	all, lost := bufio.NewReaderSize(res.Body, 1<<20), 0
	deadline := time.AfterFunc(agenttest.Patience, func() { res.Body.Close() })
	defer deadline.Stop()
	for got := 0; got+lost < count; {
		line, err := all.ReadSlice('\n')
		if err != nil {
			t.Fatalf("%d messages, %d lost, then: %v", got, lost, err)
		}
		var l struct {
			Control, Topic string
			Dropped        int
		}
		if json.Unmarshal(line, &l) != nil {
			continue // the rest of the first line
		}
		if l.Topic != "" {
			got++
		}
		lost += l.Dropped
	}
	if lost == 0 {
		t.Error("nothing was lost: the test shows nothing")
	}
}
