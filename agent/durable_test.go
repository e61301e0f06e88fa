package agent_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// newsOf is an agent with a stream of four messages, of which the first is gone.
func newsOf(t *testing.T) *agenttest.Node {
	t.Helper()
	n := agenttest.Cluster(t, 1, 0).Leader()
	s := n.API.Streams()
	if _, _, err := s.Create(t.Context(), "news", api.StreamSettings{MessagesMax: 3}, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Publish(t.Context(), nil, api.Message{Topic: "news.a", ID: "1", Data: []byte("one")}, api.Message{Topic: "news.b", ID: "2"},
		api.Message{Topic: "news.a", ID: "3", Data: []byte{0, 0xff}, Headers: map[string]string{"k": "v"}}, api.Message{Topic: "news.b", ID: "4"}); err != nil {
		t.Fatal(err)
	}
	return n
}

func ask(t *testing.T, n *agenttest.Node, method, path string, header map[string]string, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.API.Address()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func TestBadRequestsAboutStreamsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	n := newsOf(t)
	asJSON := map[string]string{"Content-Type": "application/json"}
	for _, c := range []struct {
		method, path string
		header       map[string]string
		body         string
		status       int
		want         string
	}{
		{"GET", "/v1/pubsub/messages/none", nil, "", 404, `there is no stream \"none\"`},
		{"GET", "/v1/pubsub/messages/a..b", nil, "", 400, "is no name of a stream"},
		{"GET", "/v1/pubsub/messages/news?from=-1", nil, "", 400, "from="},
		{"GET", "/v1/pubsub/messages/news?limit=0", nil, "", 400, "limit=0"},
		{"GET", "/v1/pubsub/messages/news?limit=10001", nil, "", 400, "10000"},
		{"GET", "/v1/pubsub/messages/news?since=yesterday", nil, "", 400, "since="},
		{"GET", "/v1/pubsub/messages/news?filter=a..b", nil, "", 400, "is no pattern"},
		{"GET", "/v1/pubsub/messages/news?consumer=x", nil, "", 404, `has no consumer \"x\"`},
		{"GET", "/v1/pubsub/messages/news?per_page=1", nil, "", 400, "limit=N"},
		{"GET", "/v1/pubsub/messages/news?follow&index=3", nil, "", 400, "does not take index"},
		{"GET", "/v1/pubsub/messages/news?format=xml", nil, "", 400, "neither ndjson nor sse"},
		{"GET", "/v1/pubsub/messages/none?follow", nil, "", 404, "there is no stream"},
		{"GET", "/v1/pubsub/messages/news?format=sse", map[string]string{"Last-Event-ID": "x"}, "", 400, "Last-Event-ID"},
		{"POST", "/v1/pubsub/publish/news", asJSON, "{", 400, "not the JSON expected"},
		{"POST", "/v1/pubsub/publish/news", asJSON, `{"data":"!"}`, 400, "not the JSON expected"},
		{"POST", "/v1/pubsub/publish/news", asJSON, `{"topic":"other"}`, 400, "is not the path's"},
		{"POST", "/v1/pubsub/publish/news.*", nil, "x", 400, "is no topic"},
		{"POST", "/v1/pubsub/publish/other", nil, "x", 404, "no stream keeps"},
		{"POST", "/v1/pubsub/publish/news", nil, strings.Repeat("x", 512<<10), 413, "524288"},
		{"POST", "/v1/pubsub/publish/news", nil, strings.Repeat("x", 3<<20), 413, "the limit is 2097152"},
		{"POST", "/v1/pubsub/publish", nil, `{"topic":"news"}` + "\nx", 400, "line 2"},
		{"POST", "/v1/pubsub/publish", nil, "", 400, "no message"},
		{"POST", "/v1/pubsub/publish", nil, strings.Repeat(`{"topic":"news"}`+"\n", 1001), 413, "1000"},
		{"POST", "/v1/pubsub/streams", asJSON, `{"name":"news"}`, 409, "exists already"},
		{"POST", "/v1/pubsub/streams", asJSON, `{"name":"x","age_max":"soon"}`, 400, "duration"},
		{"POST", "/v1/pubsub/streams", asJSON, `{"name":"x","bytes_max":-1}`, 400, "bytes"},
		{"PATCH", "/v1/pubsub/streams/news", asJSON, `{"name":"other"}`, 400, "renamed"},
		{"DELETE", "/v1/pubsub/messages/news?up_to=0", nil, "", 400, "names no message"},
		{"PUT", "/v1/pubsub/consumers/news", nil, "", 400, "missing name"},
		{"POST", "/v1/pubsub/ack/news?consumer=x", nil, "", 400, "missing seq"},
		{"POST", "/v1/pubsub/ack/news?consumer=x&seq=1", nil, "", 404, "has no consumer"},
		{"PUT", "/v1/pubsub/streams/news", nil, "", 405, ""},
	} {
		res := ask(t, n, c.method, c.path, c.header, c.body)
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode != c.status || !strings.Contains(string(b), c.want) {
			t.Errorf("%s %s: %d %.200s, want %d and %q", c.method, c.path, res.StatusCode, b, c.status, c.want)
		}
	}
}

// A browser's EventSource gets the gap, the messages, what comes later, and goes on behind what it got.
func TestEventsOfAStreamGoOnBehindTheLastOne(t *testing.T) {
	t.Parallel()
	n := newsOf(t)
	ctx, cancel := context.WithTimeout(t.Context(), agenttest.Patience)
	defer cancel()
	read := func(res *http.Response, lines int) string {
		var got []string
		for in := bufio.NewScanner(res.Body); len(got) < lines && in.Scan(); {
			if text := in.Text(); text != "" {
				if i := strings.Index(text, `"time":`); i >= 0 { // differs
					text = text[:i] + text[i+strings.Index(text[i:], ",")+1:]
				}
				got = append(got, text)
			}
		}
		return strings.Join(got, "\n")
	}
	accept := map[string]string{"Accept": "text/event-stream"}
	res := ask(t, n, "GET", "/v1/pubsub/messages/news?from=1", accept, "")
	const first = `event: begin
data: {"control":"begin","next":2}
event: gap
data: {"control":"gap","next":2,"lost":1}
id: 2
data: {"seq":2,"topic":"news.b","id":"2","data":""}
id: 3
data: {"seq":3,"topic":"news.a","id":"3","headers":{"k":"v"},"data":"AP8="}
id: 4
data: {"seq":4,"topic":"news.b","id":"4","data":""}`
	if got := read(res, 10); got != first || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s\n%s", res.Header.Get("Content-Type"), got)
	}
	if _, _, err := n.API.Streams().Publish(ctx, nil, api.Message{Topic: "news", ID: "5"}); err != nil {
		t.Fatal(err)
	}
	const later = `id: 5
data: {"seq":5,"topic":"news","id":"5","data":""}`
	if got := read(res, 2); got != later {
		t.Errorf("later: %s", got)
	}
	res.Body.Close()
	accept["Last-Event-ID"] = "4"
	if got := read(ask(t, n, "GET", "/v1/pubsub/messages/news?from=1", accept, ""), 4); got != "event: begin\ndata: {\"control\":\"begin\",\"next\":5}\n"+later {
		t.Errorf("resumed: %s", got)
	}
	// Over JSON, a read waits for the next message, for as long as it says.
	b, err := io.ReadAll(ask(t, n, "GET", "/v1/pubsub/messages/news?from=6&index=1&wait=200ms", nil, "").Body)
	if err != nil || !strings.Contains(string(b), `"messages":[],"next":6,"last_seq":5`) {
		t.Errorf("nothing yet: %s %v", b, err)
	}
}
