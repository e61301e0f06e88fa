package httpapi

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/debros/debros/structs"
)

func sessionRoutes() []route {
	const p = "/v1/session/"
	return []route{
		{
			method: "PUT", pattern: p + "create", handle: sessionCreate, errors: textErrors,
			doc:   "Create a session.",
			body:  "`{\"Name\", \"Node\" (default: this one), \"TTL\" (\"10s\" to \"24h\"), \"LockDelay\" (\"15s\", or a number: seconds below 1000, else nanoseconds), \"Behavior\" (release or delete), \"NodeChecks\" ([\"serfHealth\"]; [] lets the session outlive a failure of its node)}`, all optional",
			reply: "`{\"ID\"}`",
		},
		{
			method: "PUT", pattern: p + "destroy/{id}", handle: sessionDestroy, errors: textErrors,
			doc: "End a session; true for an unknown one too.", reply: "`true`",
		},
		{
			method: "PUT", pattern: p + "renew/{id}", handle: sessionRenew, errors: textErrors,
			doc: "Restart a session's TTL; 404 for an unknown one.", reply: "a list of the one session",
		},
		{
			method: "GET", pattern: p + "info/{id}", handle: sessionInfo, errors: textErrors,
			doc: "Read a session.", params: "blocking", reply: "a list of the one session, empty for an unknown one",
		},
		{
			method: "GET", pattern: p + "node/{node}", handle: sessionNode, errors: textErrors,
			doc: "List the sessions of a node.", params: "blocking and paging", reply: "a list of sessions",
		},
		{
			method: "GET", pattern: p + "list", handle: sessionList, errors: textErrors,
			doc: "List the sessions of the namespace.", params: "blocking and paging", reply: "a list of sessions",
		},
	}
}

// sessionBody is what Consul's clients send; unknown fields, an ID of the client's choice among
// them, are ignored.
type sessionBody struct {
	Name       string
	Node       string
	LockDelay  lockDelay
	Behavior   structs.SessionBehavior
	TTL        string
	Checks     []string // older clients' name for NodeChecks
	NodeChecks []string
	Namespace  structs.Namespace
}

// lockDelay is a duration string, or a number: seconds below lockDelaySecondsBelow, else nanoseconds.
type lockDelay time.Duration

// lockDelaySecondsBelow is Consul's: no lock-delay of a thousand seconds is allowed, none of a
// microsecond makes sense.
const lockDelaySecondsBelow = 1000

// UnmarshalJSON implements json.Unmarshaler.
func (d *lockDelay) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if text == "" { // null too
			return nil
		}
		v, err := time.ParseDuration(text)
		if err != nil || v < 0 {
			return invalid("LockDelay %q is not a duration such as \"15s\"", shorten(text))
		}
		*d = lockDelay(v)
		return nil
	}
	var n float64 // Consul itself writes 1.5e+10
	if err := json.Unmarshal(raw, &n); err != nil || n < 0 || n > math.MaxInt64/2 {
		return invalid("LockDelay %s is neither a duration nor a number", shorten(string(raw)))
	}
	if n < lockDelaySecondsBelow {
		n *= float64(time.Second)
	}
	*d = lockDelay(n)
	return nil
}

func sessionCreate(c *call) error {
	in := sessionBody{
		LockDelay:  lockDelay(structs.SessionLockDelayUnset),
		Behavior:   structs.SessionRelease,
		NodeChecks: []string{structs.NodeHealthCheck},
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Checks != nil {
		in.NodeChecks = in.Checks
	}
	if in.Node == "" {
		in.Node = c.h.nodeName()
	}
	if in.Behavior == "" {
		in.Behavior = structs.SessionRelease
	}
	if in.Namespace != "" {
		if c.ns != "" && c.ns != in.Namespace {
			return invalid("the body's namespace %q is not the request's %q", shorten(string(in.Namespace)), c.ns)
		}
		c.ns = in.Namespace
	}
	req := structs.SessionRequest{
		WriteOptions: c.write(), Op: structs.SessionCreate, Why: "api",
		Session: structs.Session{
			Name: in.Name, Node: in.Node, LockDelay: time.Duration(in.LockDelay),
			Behavior: in.Behavior, TTL: in.TTL, NodeChecks: in.NodeChecks,
		},
	}
	var rep structs.SessionReply
	if err := c.rpc("Session.Apply", &req, &rep); err != nil {
		return asConsulFault(err)
	}
	c.index(rep.Index)
	return c.ok(struct{ ID string }{rep.ID})
}

func (h *Handler) nodeName() string {
	if h.cfg.NodeName != "" {
		return h.cfg.NodeName
	}
	return h.b.Self().Config.NodeName
}

// sessionID is the {id}, lower case as ids are made.
func sessionID(c *call) (string, error) {
	if c.param == "" {
		return "", invalid("Missing session")
	}
	return strings.ToLower(c.param), nil
}

func sessionDestroy(c *call) error {
	id, err := sessionID(c)
	if err != nil {
		return err
	}
	req := structs.SessionRequest{
		WriteOptions: c.write(), Op: structs.SessionDestroy, Why: "api", Session: structs.Session{ID: id},
	}
	var rep structs.SessionReply
	if err := c.rpc("Session.Apply", &req, &rep); err != nil {
		return err
	}
	c.index(rep.Index)
	return c.ok(true)
}

func sessionRenew(c *call) error {
	id, err := sessionID(c)
	if err != nil {
		return err
	}
	var rep structs.SessionListReply
	if err := c.rpc("Session.Renew", &structs.SessionRenewRequest{WriteOptions: c.write(), ID: id}, &rep); err != nil {
		return err
	}
	if len(rep.Sessions) == 0 {
		return structs.Errorf(structs.KindNotFound, "Session id '%s' not found", shorten(id))
	}
	c.meta(&rep.QueryMeta)
	return c.ok(rep.Sessions)
}

func sessionInfo(c *call) error {
	id, err := sessionID(c)
	if err != nil {
		return err
	}
	return sessions(c, "Session.Get", func(o structs.QueryOptions) any {
		return &structs.SessionGetRequest{QueryOptions: o, ID: id}
	})
}

func sessionNode(c *call) error {
	if c.param == "" {
		return invalid("Missing node name")
	}
	return sessions(c, "Session.Node", func(o structs.QueryOptions) any {
		return &structs.SessionGetRequest{QueryOptions: o, Node: c.param}
	})
}

func sessionList(c *call) error {
	return sessions(c, "Session.List", func(o structs.QueryOptions) any {
		return &structs.SessionListRequest{QueryOptions: o}
	})
}

func sessions(c *call, method string, req func(structs.QueryOptions) any) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	var rep structs.SessionListReply
	if err := c.rpc(method, req(o), &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	return sendSlice(c, rep.Sessions)
}

// sendSlice answers with a list that is in memory, [] when it is nil.
func sendSlice[T any](c *call, items []T) error {
	return sendPages(c, structs.QueryOptions{}, pager[T]{show: func(v T) any { return v }}, []page[T]{{items: items}}, false)
}
