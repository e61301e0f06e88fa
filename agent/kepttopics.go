package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/debros/debros/structs"
)

const (
	// keptIdle is how long an agent follows the streams of a namespace that nobody publishes in.
	keptIdle = 10 * time.Minute
	// keptWait is how long a leader is waited for; then any server's word will do.
	keptWait = time.Second
	// keptRetry is the pause after the servers could not be asked.
	keptRetry = time.Second
)

// keptTopics is what this agent knows of the streams of namespaces, so that publishing asks no server whether a stream keeps a topic.
// It follows them by blocking queries, and goes on with what it knew while no server answers.
type keptTopics struct {
	a *Agent

	mu     sync.Mutex // protects the following
	spaces map[structs.Namespace]*keptSpace
}

// keptSpace is the streams of one namespace, by name.
type keptSpace struct {
	streams []string
	used    time.Time
}

func newKeptTopics(a *Agent) *keptTopics {
	return &keptTopics{a: a, spaces: map[structs.Namespace]*keptSpace{}}
}

// stream names the stream with the longest name that holds a topic; "" = none does.
func (k *keptTopics) stream(ctx context.Context, ns structs.Namespace, topic string) (string, error) {
	streams, err := k.of(ctx, ns)
	best := ""
	for _, s := range streams {
		if len(s) > len(best) && structs.TopicHolds(s, topic) {
			best = s
		}
	}
	return best, err
}

// exists is nil when there is the namespace. The default one always is, also when no server answers.
func (k *keptTopics) exists(ctx context.Context, ns structs.Namespace) error {
	if ns == structs.DefaultNamespace {
		return nil
	}
	_, err := k.of(ctx, ns)
	return err
}

func (k *keptTopics) of(ctx context.Context, ns structs.Namespace) ([]string, error) {
	k.mu.Lock()
	if s := k.spaces[ns]; s != nil {
		s.used = time.Now()
		k.mu.Unlock()
		return s.streams, nil
	}
	k.mu.Unlock()
	brief, cancel := context.WithTimeout(ctx, keptWait)
	streams, index, err := k.ask(brief, ns, structs.QueryOptions{})
	cancel()
	if e := structs.AsError(err); err != nil && notNow(e.Kind) && ctx.Err() == nil {
		streams, index, err = k.ask(ctx, ns, structs.QueryOptions{Consistency: structs.Stale})
	}
	if err != nil {
		if e := structs.AsError(err); notNow(e.Kind) {
			return nil, structs.Errorf(e.Kind, "no server says whether a stream keeps the topic: %s", e.Message).
				WithHint("durable=false publishes to subscribers without asking")
		}
		return nil, err
	}
	s := &keptSpace{streams: streams, used: time.Now()}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.spaces[ns] == nil && k.a.ctx.Err() == nil {
		k.spaces[ns] = s
		k.a.wg.Go(func() { k.follow(ns, s, index) })
	}
	return streams, nil
}

// notNow is for errors of servers that cannot be asked.
func notNow(k structs.Kind) bool {
	return k == structs.KindNoLeader || k == structs.KindUnavailable || k == structs.KindCanceled
}

// forget has the next publisher ask: something changed through this agent, and who did it expects it to hold.
func (k *keptTopics) forget(ns structs.Namespace) {
	if ns == "" {
		ns = structs.DefaultNamespace
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.spaces, ns)
}

// follow keeps s up to date until it is not used or another one has taken its place.
func (k *keptTopics) follow(ns structs.Namespace, s *keptSpace, index uint64) {
	current := func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.spaces[ns] == s && time.Since(s.used) > keptIdle {
			delete(k.spaces, ns)
		}
		return k.spaces[ns] == s
	}
	for current() {
		streams, next, err := k.ask(k.a.ctx, ns, structs.QueryOptions{Index: index, Wait: keptIdle / 10, Consistency: structs.Stale})
		switch {
		case k.a.ctx.Err() != nil:
			return
		case err != nil && structs.AsError(err).Kind == structs.KindNotFound:
			k.forget(ns)
			return
		case err != nil:
			if k.a.sleep(k.a.ctx, keptRetry) != nil {
				return
			}
			continue
		case next < index:
			index = 0 // a restore: from the beginning
			continue
		}
		index = next
		k.mu.Lock()
		s.streams = streams
		k.mu.Unlock()
	}
}

// ask reads the names of a namespace's streams.
func (k *keptTopics) ask(ctx context.Context, ns structs.Namespace, o structs.QueryOptions) (names []string, index uint64, err error) {
	o.Namespace = ns
	if ns != structs.DefaultNamespace {
		var rep structs.NamespaceListReply
		req := &structs.NamespaceListRequest{QueryOptions: structs.QueryOptions{Namespace: ns, Consistency: o.Consistency}, Name: ns}
		if err := k.a.cluster.RPC(ctx, "Namespace.Get", req, &rep); err != nil {
			return nil, 0, err
		}
		if len(rep.Namespaces) == 0 {
			return nil, 0, structs.Errorf(structs.KindNotFound, "namespace %q does not exist", string(ns))
		}
	}
	for {
		var rep structs.StreamListReply
		if err := k.a.cluster.RPC(ctx, "Stream.List", &structs.StreamListRequest{QueryOptions: o}, &rep); err != nil {
			return nil, 0, err
		}
		for _, s := range rep.Streams {
			names = append(names, s.Name)
		}
		index = rep.Index
		if rep.NextToken == "" {
			return slices.Clip(names), index, nil
		}
		o.NextToken, o.Index, o.MinIndex = rep.NextToken, 0, rep.Index
	}
}
