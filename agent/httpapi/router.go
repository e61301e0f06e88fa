package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/debros/debros/structs"
)

// route is a row of the table in routes.go.
type route struct {
	method  string
	pattern string // "/v1/x", "/v1/x/{name}" (rest without a slash) or "/v1/x/{name...}" (any rest)
	handle  func(*call) error
	errors  errorForm
	reads   bool   // a POST that changes nothing
	basic   bool   // the token may be the password of HTTP basic authentication
	plain   bool   // programs send the body as text/plain
	doc     string // one sentence for the reference
	params  string // query parameters beside the common ones, "" = none
	body    string // what the request body is, "" = none
	reply   string // what a good reply's body is
}

type errorForm uint8

const (
	jsonErrors errorForm = iota // {"error": {…}}
	textErrors                  // text/plain, as Consul's clients expect
)

// resource is every route of one pattern.
type resource struct {
	prefix  string // of the path, up to the {name}
	param   bool
	rest    bool // the {name...} takes slashes too
	methods map[string]*route
	allow   string
	text    bool
	basic   bool
}

// table finds the resource of a path.
type table struct {
	exact    map[string]*resource
	prefixes []*resource // longest first
}

func newTable(routes []route) (*table, error) {
	t := &table{exact: map[string]*resource{}}
	byPattern := map[string]*resource{}
	for i := range routes {
		rt := &routes[i]
		res := byPattern[rt.pattern]
		if res == nil {
			res = newResource(rt.pattern)
			byPattern[rt.pattern] = res
			if res.param {
				t.prefixes = append(t.prefixes, res)
			} else {
				t.exact[rt.pattern] = res
			}
			res.text, res.basic = rt.errors == textErrors, rt.basic
		}
		if res.methods[rt.method] != nil || res.text != (rt.errors == textErrors) || res.basic != rt.basic {
			return nil, fmt.Errorf("route table: %s %s contradicts another row", rt.method, rt.pattern)
		}
		res.methods[rt.method] = rt
	}
	for _, res := range byPattern {
		names := []string{http.MethodOptions}
		for m := range res.methods {
			names = append(names, m)
		}
		slices.Sort(names)
		res.allow = strings.Join(names, ",") // without blanks, as Consul writes it
	}
	sort.Slice(t.prefixes, func(i, j int) bool { return len(t.prefixes[i].prefix) > len(t.prefixes[j].prefix) })
	return t, nil
}

func newResource(pattern string) *resource {
	res := &resource{prefix: pattern, methods: map[string]*route{}}
	if i := strings.IndexByte(pattern, '{'); i >= 0 {
		res.prefix, res.param = pattern[:i], true
		res.rest = strings.HasSuffix(pattern, "...}")
	}
	return res
}

// find returns nil when no route has the path.
func (t *table) find(path string) (res *resource, param string) {
	if res := t.exact[path]; res != nil {
		return res, ""
	}
	for _, res := range t.prefixes {
		if path+"/" == res.prefix {
			return res, ""
		}
		rest, ok := strings.CutPrefix(path, res.prefix)
		if ok && (res.rest || !strings.Contains(rest, "/")) {
			return res, rest
		}
	}
	return nil, ""
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{h: h, w: &response{ResponseWriter: w}, r: r, id: newRequestID()}
	hdr := w.Header()
	hdr["X-Request-Id"] = []string{c.id}
	hdr["X-Content-Type-Options"] = noSniff
	hdr["Cache-Control"] = noStore // nothing here outlives its index
	defer func() {
		p := recover()
		h.logAccess(c, time.Since(start))
		if p != nil {
			h.recovered(c, p)
		}
	}()
	if err := c.serve(); err != nil {
		c.fail(err)
	}
}

// serve holds the manners, in the order in which a stranger's request may be turned away.
func (c *call) serve() error {
	if tooManyConns(c.r) {
		return structs.Errorf(structs.KindRateLimited, "this client already holds %d connections, the limit", c.h.conns.max).
			WithHint("reuse connections, or raise limits.http_max_conns_per_client")
	}
	path := cleanPath(c.r.URL.Path)
	res, param := c.h.table.find(path)
	c.text, c.basic = res != nil && res.text, res != nil && res.basic
	if path != c.r.URL.Path {
		if asked, _ := c.h.table.find(c.r.URL.Path); asked != nil { // /v1/kv/../x is refused as Consul's clients expect
			c.text = asked.text
		}
	}
	if err := c.h.guard.check(c.r); err != nil {
		return err
	}
	if err := c.readManners(); err != nil {
		return err
	}
	redirect, perr := checkPath(c.r.Method, c.r.URL)
	if perr != nil {
		return perr
	}
	if redirect != "" {
		c.w.Header().Set("Location", redirect)
		c.w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	if res == nil {
		return structs.Errorf(structs.KindNotFound, "there is nothing at %s", shorten(c.r.URL.Path))
	}
	c.param = param
	if c.r.Method == http.MethodOptions {
		c.w.Header().Set("Allow", res.allow)
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	rt := res.methods[c.r.Method]
	if rt == nil {
		c.w.Header().Set("Allow", res.allow)
		return &statusError{http.StatusMethodNotAllowed, invalid("method %s not allowed", c.r.Method)}
	}
	if err := checkForm(c.r, rt.plain); err != nil {
		return err
	}
	c.reads = rt.reads || rt.method == http.MethodGet
	return rt.handle(c)
}

func (h *Handler) logAccess(c *call, took time.Duration) {
	status := c.w.status
	if c.w.gone {
		status = 499 // as nginx calls a client that went away
	}
	// The query is left out: it holds session ids.
	if !h.log.Enabled(c.r.Context(), slog.LevelDebug) {
		return // before a dozen values are boxed for nothing
	}
	h.log.Debug("http request", "request_id", c.id, "method", c.r.Method, "path", c.r.URL.Path, "client", c.r.RemoteAddr,
		"status", status, "bytes", c.w.bytes, "took", took)
}
