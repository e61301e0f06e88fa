package httpapi

import (
	"context"

	"github.com/debros/debros/structs"
)

// Messages are live topics. Without an overlay every method answers KindUnsupported.
type Messages interface {
	// PublishMessages hands messages to the mesh, in order, all of them or none, and sets what says where each is.
	PublishMessages(ctx context.Context, by Caller, list []*structs.Message) error
	// SubscribeMessages begins a subscription: what is published when it returns will come, or be named as missing.
	SubscribeMessages(ctx context.Context, by Caller, opts structs.SubscribeOptions) (Subscription, error)
	// RequestMessages publishes a message and waits for so many replies, or for ctx.
	RequestMessages(ctx context.Context, by Caller, m *structs.Message, replies int) ([]*structs.Message, error)
	// Topics are the topics and patterns that this agent knows of.
	Topics(ctx context.Context, by Caller) ([]structs.TopicInfo, error)
	// Subscribers are those of the whole cluster; with a topic, those who would get a message of it.
	Subscribers(ctx context.Context, by Caller, topic string) ([]structs.Subscriber, error)
	// StreamOf names the stream that keeps a topic; "" = none does.
	StreamOf(ctx context.Context, by Caller, topic string) (string, error)
	// StreamsAmong names the streams that keep topics of patterns.
	StreamsAmong(ctx context.Context, by Caller, patterns []string) ([]string, error)
	// Events are the user events that this agent remembers, oldest first, and a number that changes with each. With a number it waits
	// for another one, at most until ctx ends.
	Events(ctx context.Context, by Caller, seen uint64) ([]*structs.UserEvent, uint64, error)
	// FireEvent tells every agent of a user event.
	FireEvent(ctx context.Context, by Caller, e *structs.UserEvent) error
}

// Subscription is one reader's queue of messages.
type Subscription interface {
	// Next waits for items and gives all that are there, in order.
	Next(ctx context.Context) ([]structs.MessageItem, error)
	Close()
}

// Caller is who asks, and where.
type Caller struct {
	Token     string
	Namespace structs.Namespace // "" = the token's own, else default
}

func (c *call) caller() (Caller, error) {
	if c.dc != "" {
		return Caller{}, invalid("live messages go to every datacenter: dc has no meaning here")
	}
	return Caller{c.token, c.ns}, nil
}
