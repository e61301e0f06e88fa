package httpapi

import (
	"context"
	"errors"
	"time"

	"github.com/debros/debros/structs"
)

func eventRoutes() []route {
	return []route{
		{
			method: "PUT", pattern: "/v1/event/fire/{name}", handle: eventFire, errors: textErrors, plain: true,
			doc:    "Tell every agent of a user event. Agents remember the last 256; who must miss none uses a stream.",
			params: "`node=` a regular expression: agents of other names do not note it",
			body:   "the payload, up to 64 KiB", reply: "the event: `{\"ID\", \"Name\", \"Payload\" (base64), \"NodeFilter\", \"ServiceFilter\", \"TagFilter\", \"Version\", \"LTime\"}`",
		},
		{
			method: "GET", pattern: "/v1/event/list", handle: eventList, errors: textErrors,
			doc:    "List the user events that this agent remembers, the oldest first.",
			params: "`name=` only those; `index=` and `wait=` wait for another event: the index is no order, it changes with each event", reply: "a list of events",
		},
	}
}

func eventFire(c *call) error {
	by, err := c.caller()
	if err != nil {
		return err
	}
	if c.params.Get("service") != "" || c.params.Get("tag") != "" {
		return structs.Errorf(structs.KindUnsupported, "events cannot be for services: there are none here").WithHint("node= is a filter of nodes")
	}
	payload, err := c.body(structs.EventPayloadBytesMax, "")
	if err != nil {
		return err
	}
	e := &structs.UserEvent{Name: c.param, NodeFilter: c.params.Get("node"), Version: 1}
	if len(payload) > 0 {
		e.Payload = payload
	}
	if err := c.h.b.FireEvent(c.r.Context(), by, e); err != nil {
		return err
	}
	return c.ok(e)
}

func eventList(c *call) error {
	by, err := c.caller()
	if err != nil {
		return err
	}
	o, err := c.query()
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	if o.Index > 0 {
		release, err := c.h.watch(c)
		if err != nil {
			return err
		}
		defer release()
		wait := o.Wait
		if wait == 0 {
			wait = structs.DefaultWait
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, min(wait, structs.MaxWait))
		defer cancel()
	}
	deadline, _ := ctx.Deadline()
	list, index, err := c.h.b.Events(ctx, by, o.Index)
	if err != nil && !(errors.Is(err, context.DeadlineExceeded) && !time.Now().Before(deadline)) {
		return err
	}
	out := []*structs.UserEvent{}
	for _, e := range list {
		if name := c.params.Get("name"); name == "" || name == e.Name {
			out = append(out, e)
		}
	}
	c.index(max(index, 1))
	return c.ok(out)
}
