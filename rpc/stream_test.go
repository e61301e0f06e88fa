package rpc

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestBadStreamsAndMessagesAreRefused(t *testing.T) {
	b := newTestBackend(t)
	b.applied = nil
	create := func(name string, l structs.StreamLimits) *structs.StreamRequest {
		return &structs.StreamRequest{Op: structs.StreamCreate, Stream: structs.Stream{Name: name, Limits: l}}
	}
	publish := func(m structs.StreamMessage) *structs.StreamPublishRequest {
		return &structs.StreamPublishRequest{Messages: []structs.StreamMessage{m}}
	}
	many := map[string]string{}
	for i := range structs.MessageHeadersMax + 1 {
		many[strings.Repeat("h", i+1)] = ""
	}
	for name, c := range map[string]struct {
		method string
		req    any
		want   structs.Kind
	}{
		"a name with a wildcard":  {"Stream.Apply", create("a.*", structs.StreamLimits{}), structs.KindInvalid},
		"a name of 1,000 tokens":  {"Stream.Apply", create(strings.Repeat("a.", 999)+"a", structs.StreamLimits{}), structs.KindInvalid},
		"too many messages":       {"Stream.Apply", create("a", structs.StreamLimits{MessagesMax: structs.StreamMessagesMax + 1}), structs.KindInvalid},
		"negative bytes":          {"Stream.Apply", create("a", structs.StreamLimits{BytesMax: -1}), structs.KindInvalid},
		"an age of nothing":       {"Stream.Apply", create("a", structs.StreamLimits{AgeMax: time.Millisecond}), structs.KindInvalid},
		"ids for a month":         {"Stream.Apply", create("a", structs.StreamLimits{Dedupe: 720 * time.Hour}), structs.KindInvalid},
		"the leader's own":        {"Stream.Apply", &structs.StreamRequest{Op: structs.StreamTrim, Stream: structs.Stream{Name: "a"}}, structs.KindInvalid},
		"a consumer without name": {"Stream.Apply", &structs.StreamRequest{Op: structs.StreamAck, Stream: structs.Stream{Name: "news"}}, structs.KindInvalid},
		"no messages":             {"Stream.Publish", &structs.StreamPublishRequest{}, structs.KindInvalid},
		"1,001 messages":          {"Stream.Publish", &structs.StreamPublishRequest{Messages: make([]structs.StreamMessage, 1001)}, structs.KindTooLarge},
		"a topic with a wildcard": {"Stream.Publish", publish(structs.StreamMessage{Topic: "news.>"}), structs.KindInvalid},
		"no topic":                {"Stream.Publish", publish(structs.StreamMessage{}), structs.KindInvalid},
		"a topic of no stream":    {"Stream.Publish", publish(structs.StreamMessage{Topic: "newsx"}), structs.KindNotFound},
		"an id that is no text":   {"Stream.Publish", publish(structs.StreamMessage{Topic: "news", ID: "\xff"}), structs.KindInvalid},
		"an empty header name":    {"Stream.Publish", publish(structs.StreamMessage{Topic: "news", Headers: map[string]string{"": "x"}}), structs.KindInvalid},
		"65 headers":              {"Stream.Publish", publish(structs.StreamMessage{Topic: "news", Headers: many}), structs.KindTooLarge},
		"too large":               {"Stream.Publish", publish(structs.StreamMessage{Topic: "news", Data: make([]byte, structs.MessageBytesMax)}), structs.KindTooLarge},
		"too large together": {"Stream.Publish", &structs.StreamPublishRequest{Messages: []structs.StreamMessage{
			{Topic: "news", Data: make([]byte, 500<<10)}, {Topic: "news", Data: make([]byte, 500<<10)}, {Topic: "news", Data: make([]byte, 500<<10)}}}, structs.KindTooLarge},
		"an unknown stream":     {"Stream.Read", &structs.StreamReadRequest{Name: "none"}, structs.KindNotFound},
		"an unknown consumer":   {"Stream.Read", &structs.StreamReadRequest{Name: "news", Consumer: "none"}, structs.KindNotFound},
		"a filter that is none": {"Stream.Read", &structs.StreamReadRequest{Name: "news", Filter: "a..b"}, structs.KindInvalid},
		"a negative limit":      {"Stream.Read", &structs.StreamReadRequest{Name: "news", Limit: -1}, structs.KindInvalid},
		"an unknown of a txn":   {"Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{{Publish: &structs.StreamMessage{Topic: "*"}}}}, structs.KindInvalid},
		"publishing in a read":  {"Txn.Read", &structs.TxnReadRequest{Ops: []structs.TxnOp{{Publish: &structs.StreamMessage{Topic: "news"}}}}, structs.KindInvalid},
		"another namespace's":   {"Stream.Publish", &structs.StreamPublishRequest{WriteOptions: structs.WriteOptions{Namespace: "n\x00default"}, Messages: []structs.StreamMessage{{Topic: "news"}}}, structs.KindInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			for _, m := range Methods(b) {
				if m.Name == c.method {
					_, err := m.Handle(context.Background(), c.req)
					wantKind(t, err, c.want)
				}
			}
		})
	}
	for _, x := range b.applied {
		if x != structs.CommandPublish { // an unknown topic is known to the state only
			t.Errorf("command %d was proposed", x)
		}
	}
}

func TestAReadOfAStreamWaitsForAMessageThatMatches(t *testing.T) {
	b := newTestBackend(t)
	o := structs.WriteOptions{Namespace: "default"}
	publish := func(topic string) {
		b.apply(t, structs.CommandPublish, &structs.StreamPublishRequest{WriteOptions: o, Messages: []structs.StreamMessage{{Topic: topic}}})
	}
	req := &structs.StreamReadRequest{Name: "news", From: 1, Filter: "news.b"}
	first := mustAsk[structs.StreamReadReply](t, b, "Stream.Read", req)
	if len(first.Messages) != 0 || first.Next != 1 {
		t.Fatalf("%+v", first)
	}
	publish("news.a") // before it waits, and while
	got := make(chan *structs.StreamReadReply, 1)
	req.Index, req.Wait = first.Index, time.Minute
	go func() { got <- mustAsk[structs.StreamReadReply](t, b, "Stream.Read", req) }()
	publish("news.a")
	publish("news.b")
	rep := <-got
	if len(rep.Messages) != 1 || rep.Messages[0].Seq != 3 || rep.Next != 4 {
		t.Fatalf("%+v", rep)
	}
}
