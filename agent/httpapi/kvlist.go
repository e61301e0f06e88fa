package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/debros/debros/structs"
)

// Long lists. A reply over RPC has a bounded size, so without ?per_page= a list is fetched in pages.
// Up to gatherBytesMax the pages are gathered first, and are only sent if the index of the prefix
// stayed the same from the first to the last: then they are one view of the store, as Consul's
// reply is. If it did not, they are fetched again, gatherTries times. Larger trees, and trees that
// change faster than they can be read, are sent page by page; the trailer X-Debros-Index-End then
// carries the index of the last page, which is above X-Consul-Index if the tree changed meanwhile.
const (
	listPageRows   = 1000    // at 1 KiB a row, a page is 1 MiB
	gatherBytesMax = 8 << 20 // gathered per request at most, before JSON
	gatherTries    = 3
	indexEnd       = "X-Debros-Index-End"
	rowOverhead    = 128 // bytes a pair takes beside key and value
)

// page is one reply of a list, whatever it lists.
type page[T any] struct {
	meta  structs.QueryMeta
	items []T
}

// pager fetches the pages of one list.
type pager[T any] struct {
	fetch func(structs.QueryOptions) (page[T], error)
	size  func(T) int
	show  func(T) any
	// empty answers a list without items; nil = an empty list is a good answer.
	empty func() error
}

func kvList(c *call, o structs.QueryOptions) error {
	return sendList(c, o, pager[*structs.KVPair]{
		fetch: func(o structs.QueryOptions) (page[*structs.KVPair], error) {
			var rep structs.KVListReply
			err := c.rpc("KV.List", &structs.KVListRequest{QueryOptions: o, Prefix: c.param}, &rep)
			return page[*structs.KVPair]{rep.QueryMeta, rep.Entries}, err
		},
		size:  func(e *structs.KVPair) int { return len(e.Key) + len(e.Value) + rowOverhead },
		show:  func(e *structs.KVPair) any { return shown(e) },
		empty: c.notFound,
	})
}

func kvKeys(c *call, o structs.QueryOptions) error {
	p := pager[string]{
		fetch: func(o structs.QueryOptions) (page[string], error) {
			var rep structs.KVKeysReply
			req := structs.KVListRequest{QueryOptions: o, Prefix: c.param, Separator: c.params.Get("separator")}
			err := c.rpc("KV.Keys", &req, &rep)
			return page[string]{rep.QueryMeta, rep.Keys}, err
		},
		size:  func(k string) int { return len(k) },
		show:  func(k string) any { return k },
		empty: c.notFound,
	}
	if c.param == "" { // as Consul: the root always exists
		p.empty = nil
	}
	return sendList(c, o, p)
}

// sendList answers with one page where the caller pages, else with everything.
func sendList[T any](c *call, o structs.QueryOptions, p pager[T]) error {
	if o.PerPage > 0 {
		pg, err := p.fetch(o)
		if err != nil {
			return err
		}
		if o.NextToken != "" { // the end of a list that has a beginning is empty, not missing
			p.empty = nil
		}
		c.meta(&pg.meta)
		return sendPages(c, o, p, []page[T]{pg}, false)
	}
	var pages []page[T]
	var more bool
	for try := 0; ; try++ {
		var one bool
		var err error
		if pages, one, more, err = gather(o, p); err != nil {
			return err
		}
		if one || more || try == gatherTries-1 {
			break
		}
		o.Index = 0 // it has waited already
	}
	first := pages[0].meta
	first.NextToken = ""
	c.meta(&first)
	return sendPages(c, o, p, pages, more)
}

// gather fetches pages up to the bound. one: all pages are the same view. more: there are further ones.
func gather[T any](o structs.QueryOptions, p pager[T]) (pages []page[T], one, more bool, err error) {
	o.PerPage = listPageRows
	bytes := 0
	for {
		pg, err := p.fetch(o)
		if err != nil {
			return nil, false, false, err
		}
		pages = append(pages, pg)
		for _, item := range pg.items {
			bytes += p.size(item)
		}
		more = pg.meta.NextToken != ""
		if !more || bytes > gatherBytesMax {
			return pages, pages[0].meta.Index == pg.meta.Index, more, nil
		}
		o = following(o, pg.meta)
	}
}

// following are the options of the page after one with this meta: it does not block, and is no
// older, should another server answer it.
func following(o structs.QueryOptions, m structs.QueryMeta) structs.QueryOptions {
	o.Index, o.Wait = 0, 0
	o.MinIndex = max(o.MinIndex, m.Index)
	o.NextToken = m.NextToken
	return o
}

// sendPages writes the pages as one JSON list, element by element, and fetches what follows them.
func sendPages[T any](c *call, o structs.QueryOptions, p pager[T], pages []page[T], more bool) error {
	if p.empty != nil && len(pages[0].items) == 0 && !more {
		return p.empty()
	}
	c.w.Header().Set("Content-Type", "application/json")
	if more {
		c.w.Header().Set("Trailer", indexEnd)
	}
	c.w.WriteHeader(http.StatusOK)
	defer c.clearDeadline()
	l := listWriter{c: c}
	o.PerPage = max(o.PerPage, listPageRows)
	for {
		for i := range pages {
			c.extendDeadline()
			for _, item := range pages[i].items {
				if err := l.item(p.show(item)); err != nil {
					return err
				}
			}
		}
		last := pages[len(pages)-1].meta
		if !more {
			break
		}
		o = following(o, last)
		pg, err := p.fetch(o)
		if err != nil {
			return err
		}
		pages, more = []page[T]{pg}, pg.meta.NextToken != ""
		if !more {
			c.w.Header().Set(indexEnd, strconv.FormatUint(pg.meta.Index, 10))
		}
	}
	return l.end()
}

// listWriter writes a JSON list, an element at a time.
type listWriter struct {
	c *call
	n int
}

func (l *listWriter) item(v any) error {
	b, err := l.c.marshal(v, "    ")
	if err != nil {
		return err
	}
	sep := ","
	if l.n == 0 {
		sep = "["
	}
	if l.c.pretty() {
		sep += "\n    "
	}
	l.n++
	return l.put(append([]byte(sep), b...))
}

func (l *listWriter) end() error {
	end := "]"
	switch {
	case l.n == 0:
		end = "[]"
	case l.c.pretty():
		end = "\n]\n"
	}
	return l.put([]byte(end))
}

// put fails as the reader does: gone, or too slow.
func (l *listWriter) put(b []byte) error {
	if _, err := l.c.w.Write(b); err != nil {
		l.c.w.gone = true
		return context.Canceled
	}
	return nil
}
