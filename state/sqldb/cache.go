package sqldb

import "container/list"

// cache keeps the statements used last, by their text.
type cache struct {
	max   int
	byKey map[string]*list.Element
	order *list.List // of *cached, the one used last in front
}

type cached struct {
	sql string
	p   *prepared
}

// cachedBytesMax is the longest text kept: a long one is a batch of rows, which never comes again.
const cachedBytesMax = 8 << 10

func newCache(max int) cache {
	return cache{max: max, byKey: map[string]*list.Element{}, order: list.New()}
}

func (c *cache) get(sql string) *prepared {
	e := c.byKey[sql]
	if e == nil {
		return nil
	}
	if c.order.Front() != e {
		c.order.MoveToFront(e)
	}
	return e.Value.(*cached).p
}

// put takes p over; it is freed when it is the oldest of too many, or by clear.
func (c *cache) put(sql string, p *prepared) {
	c.byKey[sql] = c.order.PushFront(&cached{sql, p})
	if c.order.Len() > c.max {
		c.remove(c.order.Back())
	}
}

// trim frees the statement used last if its text is too long to keep.
func (c *cache) trim(sql string) {
	if len(sql) > cachedBytesMax {
		if e := c.byKey[sql]; e != nil {
			c.remove(e)
		}
	}
}

func (c *cache) remove(e *list.Element) {
	v := c.order.Remove(e).(*cached)
	delete(c.byKey, v.sql)
	if v.p.Stmt != nil {
		v.p.Finalize()
	}
}

func (c *cache) clear() {
	for c.order.Len() > 0 {
		c.remove(c.order.Back())
	}
}
