package sqlrun

import (
	"fmt"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

// AppendChangeJSON appends a change as the HTTP API gives it, without a line's end.
func AppendChangeJSON(b []byte, c *api.SQLChange) []byte {
	b = appendJSONString(append(b, `{"id":`...), c.ID)
	b = c.Time.UTC().AppendFormat(append(b, `,"time":"`...), "2006-01-02T15:04:05.000Z07:00")
	b = appendJSONString(append(b, `","op":`...), string(c.Op))
	b = appendJSONString(append(b, `,"table":`...), c.Table)
	switch {
	case c.Op == api.SQLSchema:
		return append(appendJSONString(append(b, `,"sql":`...), c.SQL), '}')
	case c.Key != nil:
		b = appendRowJSON(append(b, `,"key":`...), c.Key)
	default:
		b = fmt.Appendf(b, `,"rowid":%d`, c.RowID)
		if c.NewRowID != c.RowID {
			b = fmt.Appendf(b, `,"new_rowid":%d`, c.NewRowID)
		}
	}
	if c.Old != nil {
		b = appendRowJSON(append(b, `,"old":`...), c.Old)
	}
	if c.New != nil {
		b = appendRowJSON(append(b, `,"new":`...), c.New)
	}
	return append(b, '}')
}

func appendRowJSON(b []byte, r *api.SQLRow) []byte {
	values := r.Values()
	b = append(b, '{')
	for i, name := range r.Columns() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(append(appendJSONString(b, name), ':'), values[i])
	}
	return append(b, '}')
}

// ChangeText is a change in one line for people: of an update, the columns that changed.
func ChangeText(c *api.SQLChange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %-6s  %s", c.ID, c.Time.UTC().Format(time.DateTime), c.Op, visible(c.Table))
	switch {
	case c.Op == api.SQLSchema:
		return b.String() + "  " + visible(strings.Join(strings.Fields(c.SQL), " "))
	case c.Key != nil:
		fmt.Fprintf(&b, "  %s", rowText(c.Key))
	case c.NewRowID != c.RowID:
		fmt.Fprintf(&b, "  row %d, now %d", c.RowID, c.NewRowID)
	default:
		fmt.Fprintf(&b, "  row %d", c.RowID)
	}
	switch c.Op {
	case api.SQLInsert:
		fmt.Fprintf(&b, "  %s", rowText(c.New))
	case api.SQLDelete:
		fmt.Fprintf(&b, "  %s", rowText(c.Old))
	default:
		b.WriteString(updateText(c.Old, c.New))
	}
	return b.String()
}

func rowText(r *api.SQLRow) string {
	parts, values := []string{}, r.Values()
	for i, name := range r.Columns() {
		parts = append(parts, visible(name)+"="+cellText(values[i]))
	}
	return strings.Join(parts, " ")
}

func updateText(before, after *api.SQLRow) string {
	var b strings.Builder
	olds, news := before.Values(), after.Values()
	for i, name := range after.Columns() {
		if was, is := string(appendJSON(nil, olds[i])), string(appendJSON(nil, news[i])); was != is {
			fmt.Fprintf(&b, "  %s=%s, was %s", visible(name), cellText(news[i]), cellText(olds[i]))
		}
	}
	if b.Len() == 0 {
		return "  as it was"
	}
	return b.String()
}
