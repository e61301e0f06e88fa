package httpapi

import (
	"time"

	"github.com/debros/debros/structs"
)

// levelOf is the consistency that rqlite's word means. strong sends the read through rqlite's log, to the same end as
// linearizable; auto is weak on servers that vote, as all here do.
func levelOf(word string) (level structs.Consistency, known bool) {
	switch word {
	case "none":
		return structs.Stale, true
	case "weak", "auto":
		return structs.Leader, true
	case "linearizable", "strong":
		return structs.Linearizable, true
	}
	return structs.Linearizable, false
}

// sqlFreshness reads how fresh an SQL read must be: ?level=, which says the same as stale, leader and consistent, and
// what bounds a stale read.
func (c *call) sqlFreshness(req *structs.SQLQueryRequest) (err error) {
	if word := c.params.Get("level"); word != "" {
		level, known := levelOf(word)
		if !known {
			return invalid("level=%q is not known", shorten(word)).WithHint("it is none, weak, linearizable, strong or auto")
		}
		if c.flag("stale") || c.flag("leader") || c.flag("consistent") {
			return invalid("level says how consistent the read is, and so does another parameter: give one")
		}
		req.Consistency = level
	}
	if err := c.readFreshness(req); err != nil {
		return err
	}
	if req.Consistency != structs.Stale && (req.Freshness > 0 || req.FreshnessStrict) {
		return invalid("freshness is about stale reads").WithHint("give stale or level=none as well, or neither")
	}
	if req.FreshnessStrict && req.Freshness == 0 {
		return invalid("freshness_strict says how freshness is measured, and there is none").WithHint("give freshness as well, such as freshness=1s")
	}
	return nil
}

// readFreshness reads ?freshness= and ?freshness_strict, which bound how stale a stale read may be.
func (c *call) readFreshness(req *structs.SQLQueryRequest) error {
	req.FreshnessStrict = c.flag("freshness_strict")
	text := c.params.Get("freshness")
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return invalid(`freshness=%q is not a duration such as "1s"`, shorten(text))
	}
	req.Freshness = int64(d)
	return nil
}
