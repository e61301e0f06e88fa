package httpapi

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/structs"
)

const (
	perPageMax = 10_000         // more than this is no page
	waitMax    = 24 * time.Hour // up to here a wait is cut to structs.MaxWait, as Consul does; beyond, it is a mistake
)

// readManners fills in what every request may carry: query, token, namespace, datacenter.
func (c *call) readManners() error {
	var params url.Values
	var err error
	if c.r.URL.RawQuery != "" {
		if params, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
			return invalid("the query string is malformed")
		}
	}
	c.params = params
	if _, ok := params["token"]; ok {
		return invalid("a token in the URL is refused: it would end in logs and histories").
			WithHint("send it in the header X-Debros-Token")
	}
	c.token = token(c.r.Header)
	if _, password, ok := c.r.BasicAuth(); ok && c.basic && c.token == "" {
		c.token = password
	}
	if c.ns, err = c.namespace(); err != nil {
		return err
	}
	c.dc = params.Get("dc")
	if len(c.dc) > 64 || !printable(c.dc) {
		return invalid("dc=%q is not the name of a datacenter", shorten(c.dc))
	}
	if p := params.Get("partition"); p != "" && p != "default" {
		return invalid("there are no admin partitions here").WithHint("use a namespace")
	}
	return nil
}

// token takes the first of the headers that has one.
func token(h http.Header) string {
	for _, name := range []string{"X-Debros-Token", "X-Consul-Token"} {
		if t := h.Get(name); t != "" {
			return t
		}
	}
	scheme, t, ok := strings.Cut(h.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(t)
	}
	return ""
}

func (c *call) namespace() (structs.Namespace, error) {
	name := c.params.Get("ns")
	for _, other := range []string{c.params.Get("namespace"), c.r.Header.Get("X-Debros-Namespace"), c.r.Header.Get("X-Consul-Namespace")} {
		if name == "" {
			name = other
		}
	}
	ns := structs.Namespace(name)
	if name != "" && !structs.ValidNamespace(ns) {
		return "", invalid("%q is not a namespace: names are 1 to 63 of a-z, 0-9 and -, not beginning with -", shorten(name))
	}
	return ns, nil
}

// query reads the options of a read.
func (c *call) query() (structs.QueryOptions, error) {
	o := structs.QueryOptions{Token: c.token, Namespace: c.ns, Datacenter: c.dc}
	var err error
	if o.Consistency, err = c.consistency(); err != nil {
		return o, err
	}
	if c.params.Get("index") != "" { // an empty one is Consul's way of not giving it
		if o.Index, _, err = c.uint("index"); err != nil {
			return o, err
		}
	}
	if o.MinIndex, _, err = c.uint("min_index"); err != nil {
		return o, err
	}
	if o.Wait, err = c.wait(); err != nil {
		return o, err
	}
	o.MinWait = o.Wait
	return o, c.paging(&o)
}

func (c *call) consistency() (structs.Consistency, error) {
	modes := []struct {
		name string
		c    structs.Consistency
	}{
		{"consistent", structs.Linearizable},
		{"stale", structs.Stale},
		{"leader", structs.Leader},
	}
	found, got := "", structs.Linearizable
	for _, m := range modes {
		if !c.flag(m.name) {
			continue
		}
		if found != "" {
			return got, invalid("%s and %s cannot both hold: give one", found, m.name)
		}
		found, got = m.name, m.c
	}
	return got, nil
}

func (c *call) wait() (time.Duration, error) {
	text := c.params.Get("wait")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, invalid(`wait=%q is not a duration such as "30s" or "5m"`, shorten(text))
	}
	if d < 0 || d > waitMax {
		return 0, invalid("wait=%q is outside 0 to %s", shorten(text), waitMax).
			WithHint("what is above %s is cut to it", structs.MaxWait)
	}
	return min(d, structs.MaxWait), nil
}

func (c *call) paging(o *structs.QueryOptions) error {
	if text, ok := c.params["per_page"]; ok {
		n, err := strconv.Atoi(text[0])
		if err != nil || n < 1 || n > perPageMax {
			return invalid("per_page=%q is not a whole number from 1 to %d", shorten(text[0]), perPageMax)
		}
		o.PerPage = n
	}
	o.NextToken = c.params.Get("next_token")
	if o.NextToken != "" && o.PerPage == 0 {
		return invalid("next_token needs per_page")
	}
	return nil
}
