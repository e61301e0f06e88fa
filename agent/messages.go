package agent

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/agent/httpapi"
	"github.com/debros/debros/agent/pubsub"
	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/internal/atomicfile"
	"github.com/debros/debros/structs"
)

// startMessages takes part in live topics, where there is an overlay.
func (a *Agent) startMessages() error {
	if a.overlay == nil {
		return nil
	}
	epoch, err := a.nextEpoch()
	if err != nil {
		return err
	}
	a.bus, err = pubsub.Start(pubsub.Config{
		Host: a.overlay.Host(), Key: a.node.Private(), Epoch: epoch,
		MessageBytesMax: a.Config().Limits.MessageBytesMax, Logger: a.log,
	})
	if err != nil {
		return fmt.Errorf("start live topics: %w", err)
	}
	a.kept = newKeptTopics(a)
	a.events = newUserEvents(a)
	a.wg.Go(a.events.follow)
	return nil
}

// nextEpoch is a number higher than at any start of this node before, also when the clock was set back.
func (a *Agent) nextEpoch() (uint64, error) {
	epoch := uint64(time.Now().UnixMilli())
	file := a.dir.file("pubsub.epoch")
	if file == "" {
		return epoch, nil
	}
	if b, err := os.ReadFile(file); err == nil {
		last, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || last > 1<<62 {
			a.log.Warn("pubsub.epoch holds no number and is written anew", "file", file)
			last = 0
		}
		epoch = max(epoch, last+1)
	} else if !os.IsNotExist(err) {
		return 0, fmt.Errorf("read %s: %w", file, err)
	}
	if err := atomicfile.Write(file, strconv.AppendUint(nil, epoch, 10), 0o600); err != nil {
		return 0, fmt.Errorf("write %s: %w", file, err)
	}
	return epoch, nil
}

var _ httpapi.Messages = local{}

// topics is the bus, or why there is none; the namespace that a caller means; and what the caller may.
func (l local) topics(ctx context.Context, by httpapi.Caller) (*pubsub.Bus, structs.Namespace, acl.Authorizer, error) {
	if l.a.bus == nil {
		return nil, "", nil, structs.Errorf(structs.KindUnsupported, "live topics need the overlay, in which this agent takes no part").
			WithHint("set data_dir, or overlay { enabled = true }, and ports { overlay } to a port; durable topics (streams) need none")
	}
	may, err := l.a.authorize(by.Token)
	if err != nil {
		return nil, "", nil, err
	}
	ns := namespaceOf(by)
	return l.a.bus, ns, may, l.a.kept.exists(ctx, ns)
}

func denied(right, topic string) error {
	return structs.Errorf(structs.KindDenied, "the token may not do this: %s %s", right, topic)
}

// reserved are the topics that debros uses itself.
func reserved(topic string) bool {
	first, _, _ := strings.Cut(topic, ".")
	return first == structs.EventTopic || first == pubsub.PresenceTopic
}

// PublishMessages implements httpapi.Messages.
func (l local) PublishMessages(ctx context.Context, by httpapi.Caller, list []*structs.Message) error {
	bus, ns, may, err := l.topics(ctx, by)
	if err != nil {
		return err
	}
	for _, m := range list {
		if err := mayPublish(may, ns, m.Topic); err != nil {
			return err
		}
	}
	return bus.Publish(ctx, ns, list)
}

func mayPublish(may acl.Authorizer, ns structs.Namespace, topic string) error {
	if reserved(topic) {
		return structs.Errorf(structs.KindInvalid, "%s is one of debros' own topics", topic)
	}
	if !may.TopicWrite(ns, topic) {
		return denied("topic:write", topic)
	}
	return nil
}

// SubscribeMessages implements httpapi.Messages.
func (l local) SubscribeMessages(ctx context.Context, by httpapi.Caller, opts structs.SubscribeOptions) (httpapi.Subscription, error) {
	bus, ns, may, err := l.topics(ctx, by)
	if err != nil {
		return nil, err
	}
	for _, p := range opts.Patterns {
		if !may.TopicRead(ns, p) {
			return nil, denied("topic:read", p)
		}
	}
	sub, err := bus.Subscribe(ctx, ns, opts)
	if err != nil {
		return nil, err
	}
	return sub, nil
}

// RequestMessages implements httpapi.Messages.
func (l local) RequestMessages(ctx context.Context, by httpapi.Caller, m *structs.Message, replies int) ([]*structs.Message, error) {
	bus, ns, may, err := l.topics(ctx, by)
	if err != nil {
		return nil, err
	}
	if err := mayPublish(may, ns, m.Topic); err != nil {
		return nil, err
	}
	return bus.Request(ctx, ns, m, replies)
}

// Topics implements httpapi.Messages.
func (l local) Topics(ctx context.Context, by httpapi.Caller) ([]structs.TopicInfo, error) {
	bus, ns, may, err := l.topics(ctx, by)
	if err != nil {
		return nil, err
	}
	list, err := bus.Topics(ctx, ns)
	out := list[:0]
	for _, t := range list {
		if may.TopicRead(ns, t.Topic) {
			out = append(out, t)
		}
	}
	return out, err
}

// Subscribers implements httpapi.Messages.
func (l local) Subscribers(ctx context.Context, by httpapi.Caller, topic string) ([]structs.Subscriber, error) {
	bus, ns, may, err := l.topics(ctx, by)
	if err != nil {
		return nil, err
	}
	list, err := bus.Subscribers(ctx, ns, topic)
	out := list[:0]
	for _, s := range list {
		if may.TopicRead(ns, s.Pattern) && !strings.HasPrefix(s.Pattern, "_") {
			out = append(out, s)
		}
	}
	return out, err
}

// StreamOf implements httpapi.Messages.
func (l local) StreamOf(ctx context.Context, by httpapi.Caller, topic string) (string, error) {
	if l.a.kept == nil {
		return topic, nil // without live topics there are streams only
	}
	return l.a.kept.stream(ctx, namespaceOf(by), topic)
}

// StreamsAmong implements httpapi.Messages.
func (l local) StreamsAmong(ctx context.Context, by httpapi.Caller, patterns []string) (out []string, err error) {
	if l.a.kept == nil {
		return nil, nil
	}
	streams, err := l.a.kept.of(ctx, namespaceOf(by))
	for _, s := range streams {
		keeps := func(p string) bool { return structs.TopicPatternsMeet(p, s) || structs.TopicPatternsMeet(p, s+".>") }
		if slices.ContainsFunc(patterns, keeps) {
			out = append(out, s)
		}
	}
	return out, err
}

func namespaceOf(by httpapi.Caller) structs.Namespace {
	if by.Namespace == "" {
		return structs.DefaultNamespace
	}
	return by.Namespace
}
