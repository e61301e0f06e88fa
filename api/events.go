package api

import (
	"context"
	"net/http"
	"net/url"
)

// UserEvent is a user event: told to every agent, which remembers the last 256.
type UserEvent struct {
	ID         string
	Name       string
	Payload    []byte
	NodeFilter string // a regular expression: agents of other names do not note it
	Version    int
	LTime      uint64 // grows from event to event at one agent
}

// UserEvents are those of the cluster.
type UserEvents struct{ c *Client }

// UserEvents returns the user events.
func (c *Client) UserEvents() *UserEvents { return &UserEvents{c} }

// Fire tells every agent of an event of e's Name, Payload and NodeFilter, and returns it with its id.
func (u *UserEvents) Fire(ctx context.Context, e UserEvent, o *WriteOptions) (*UserEvent, *WriteMeta, error) {
	r := u.c.newRequest(http.MethodPut, "/v1/event/fire/"+url.PathEscape(e.Name))
	r.body, r.contentType = e.Payload, "application/octet-stream"
	set(r.params, "node", e.NodeFilter)
	out := &UserEvent{}
	m, err := u.c.put(ctx, r, o, out)
	if err != nil {
		return nil, m, err
	}
	return out, m, nil
}

// List are the events that the agent remembers, the oldest first; of one name, "" = all. QueryOptions.Index waits for another one; it
// changes with each event and is no order.
func (u *UserEvents) List(ctx context.Context, name string, o *QueryOptions) ([]*UserEvent, *QueryMeta, error) {
	var out []*UserEvent
	_, m, err := u.c.get(ctx, "/v1/event/list", o, &out, "name", name)
	return out, m, err
}
