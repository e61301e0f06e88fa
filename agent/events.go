package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/debros/debros/agent/httpapi"
	"github.com/debros/debros/structs"
)

// eventsKept is how many user events an agent remembers, as Consul's does.
const eventsKept = 256

// userEvents are the last user events that this agent has heard of.
type userEvents struct {
	a *Agent

	mu      sync.Mutex // protects the following
	list    []*structs.UserEvent
	clock   uint64
	changed chan struct{} // closed with the next event
}

func newUserEvents(a *Agent) *userEvents { return &userEvents{a: a, changed: make(chan struct{})} }

// follow hears user events until the agent stops. Every agent does, whether somebody asks or not.
func (u *userEvents) follow() {
	for u.a.ctx.Err() == nil {
		sub, err := u.a.bus.Subscribe(u.a.ctx, structs.DefaultNamespace, structs.SubscribeOptions{Patterns: []string{structs.EventTopic}, Quiet: true})
		if err != nil {
			if u.a.sleep(u.a.ctx, time.Second) != nil {
				return
			}
			continue
		}
		for {
			items, err := sub.Next(u.a.ctx)
			if err != nil {
				break
			}
			for _, it := range items {
				if it.Message != nil {
					u.heard(it.Message.Data)
				}
			}
		}
		sub.Close()
	}
}

// heard notes an event that is for this node.
func (u *userEvents) heard(data []byte) {
	var e structs.UserEvent
	if json.Unmarshal(data, &e) != nil || checkEvent(&e) != nil {
		return
	}
	if ok, err := regexp.MatchString(e.NodeFilter, u.a.Config().NodeName); err != nil || !ok {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clock++
	e.LTime = u.clock
	if u.list = append(u.list, &e); len(u.list) > eventsKept {
		u.list = slices.Clone(u.list[len(u.list)-eventsKept:])
	}
	close(u.changed)
	u.changed = make(chan struct{})
}

func checkEvent(e *structs.UserEvent) error {
	switch {
	case e.Name == "" || len(e.Name) > structs.EventNameBytesMax:
		return structs.Errorf(structs.KindInvalid, "the name of an event has 1 to %d bytes", structs.EventNameBytesMax)
	case len(e.Payload) > structs.EventPayloadBytesMax:
		return structs.Errorf(structs.KindTooLarge, "the payload has %d bytes; the limit is %d", len(e.Payload), structs.EventPayloadBytesMax)
	case len(e.NodeFilter) > structs.EventNameBytesMax:
		return structs.Errorf(structs.KindTooLarge, "the filter of nodes has %d bytes; the limit is %d", len(e.NodeFilter), structs.EventNameBytesMax)
	}
	if _, err := regexp.Compile(e.NodeFilter); err != nil {
		return structs.Errorf(structs.KindInvalid, "the filter of nodes is no regular expression: %v", err)
	}
	return nil
}

// FireEvent implements httpapi.Messages.
func (l local) FireEvent(ctx context.Context, by httpapi.Caller, e *structs.UserEvent) error {
	bus, ns, may, err := l.topics(ctx, by)
	switch {
	case err != nil:
		return err
	case ns != structs.DefaultNamespace:
		return structs.Errorf(structs.KindInvalid, "events are of the default namespace").WithHint("publish to a topic of %s instead", ns)
	case !may.EventWrite(ns, e.Name):
		return denied("event:write", e.Name)
	}
	if err := checkEvent(e); err != nil {
		return err
	}
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	h := hex.EncodeToString(id[:])
	e.ID = fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return bus.Publish(ctx, ns, []*structs.Message{{Topic: structs.EventTopic, Data: data}})
}

// Events implements httpapi.Messages.
func (l local) Events(ctx context.Context, by httpapi.Caller, seen uint64) ([]*structs.UserEvent, uint64, error) {
	_, ns, may, err := l.topics(ctx, by)
	if err != nil {
		return nil, 0, err
	}
	u := l.a.events
	for {
		u.mu.Lock()
		list, changed := slices.Clone(u.list), u.changed
		u.mu.Unlock()
		index := eventIndex(list)
		if ns != structs.DefaultNamespace {
			list = nil
		}
		list = slices.DeleteFunc(list, func(e *structs.UserEvent) bool { return !may.EventRead(ns, e.Name) })
		if seen == 0 || seen != index {
			return list, index, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return list, index, ctx.Err()
		case <-l.a.ctx.Done():
			return nil, 0, structs.Errorf(structs.KindUnavailable, "the agent is shutting down")
		}
	}
}

// eventIndex is a number of the last event, the same at every agent, as Consul makes it.
func eventIndex(list []*structs.UserEvent) uint64 {
	if len(list) == 0 {
		return 1
	}
	var id [16]byte
	text := []byte(list[len(list)-1].ID)
	text = slices.DeleteFunc(text, func(c byte) bool { return c == '-' })
	if n, err := hex.Decode(id[:], text[:min(len(text), 32)]); err != nil || n != 16 {
		return 1
	}
	return max(1, binary.BigEndian.Uint64(id[:8])^binary.BigEndian.Uint64(id[8:]))
}
