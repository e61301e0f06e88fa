package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// PubSub are the live topics of a namespace: tokens of letters, digits, _ and - with dots between them. Messages go to whoever subscribes
// at that moment, anywhere in the cluster, in each publisher's order; nothing is kept. Topics that a stream keeps are Streams.
type PubSub struct{ c *Client }

// PubSub returns the live topics of the client's namespace.
func (c *Client) PubSub() *PubSub { return &PubSub{c} }

// Publish publishes messages in order, to their subscribers, or to the streams that keep their topics: Published says which.
//
// It is not repeated after an answer that was lost, since subscribers would get messages twice: ErrUnknownResult says so.
func (p *PubSub) Publish(ctx context.Context, o *WriteOptions, messages ...Message) ([]Published, *WriteMeta, error) {
	var body []byte
	for _, m := range messages {
		line, err := json.Marshal(m)
		if err != nil {
			return nil, nil, errorf(KindInvalid, "message to %q: %v", m.Topic, err)
		}
		body = append(append(body, line...), '\n')
	}
	r := p.c.newRequest(http.MethodPost, "/v1/pubsub/publish")
	r.body, r.contentType = body, "application/x-ndjson"
	var out struct {
		Messages []Published `json:"messages"`
	}
	m, err := p.c.put(ctx, r, o, &out)
	return out.Messages, m, err
}

// RequestOptions say how long a request waits, and for what.
type RequestOptions struct {
	Timeout time.Duration // 0 = 5 s
	Replies int           // 0 = 1. When Timeout is over, those that came are the answer.
	Write   *WriteOptions
}

// Request publishes a message and waits for replies. Subscribers reply by publishing to its Reply topic. ErrCanceled: none came in time.
func (p *PubSub) Request(ctx context.Context, m Message, o RequestOptions) ([]*Message, error) {
	r := p.c.newRequest(http.MethodPost, "/v1/pubsub/request/"+url.PathEscape(m.Topic))
	if err := r.json(m); err != nil {
		return nil, err
	}
	if o.Timeout > 0 {
		r.params.Set("timeout", o.Timeout.String())
	}
	if o.Replies > 0 {
		r.params.Set("replies", strconv.Itoa(o.Replies))
	}
	var out []*Message
	_, err := p.c.put(ctx, r, o.Write, &out)
	return out, err
}

// TopicInfo is a topic with messages that passed the agent, or a pattern that somebody subscribes to.
type TopicInfo struct {
	Topic       string    `json:"topic"`
	Subscribers int       `json:"subscribers"` // in the whole cluster, of exactly this pattern
	Messages    int64     `json:"messages"`    // that passed the agent
	Rate        float64   `json:"rate"`        // a second
	Last        time.Time `json:"last,omitzero"`
}

// Topics are the topics that the agent knows of.
func (p *PubSub) Topics(ctx context.Context, o *QueryOptions) ([]TopicInfo, error) {
	var out []TopicInfo
	_, _, err := p.c.get(ctx, "/v1/pubsub/topics", o, &out)
	return out, err
}

// Subscriber is subscriptions of one pattern and group at one agent.
type Subscriber struct {
	Agent string `json:"agent"` // its id
	Topic string `json:"topic"` // a pattern
	Group string `json:"group,omitempty"`
	Count int    `json:"count"`
}

// Subscribers are those of the whole cluster; with a topic, those who would get a message of it.
func (p *PubSub) Subscribers(ctx context.Context, topic string, o *QueryOptions) ([]Subscriber, error) {
	var out []Subscriber
	_, _, err := p.c.get(ctx, "/v1/pubsub/peers", o, &out, "topic", topic)
	return out, err
}
