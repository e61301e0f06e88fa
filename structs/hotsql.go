package structs

import (
	"bytes"
	"time"

	"github.com/tinylib/msgp/msgp"
)

func (r *SQLRequest) appendTo(b []byte) ([]byte, bool) {
	if len(r.Guards) > 0 || r.Statements == nil {
		return nil, false
	}
	size := hotSlack + len(r.Database) + len(r.RequestID) + len(r.Token)
	for i := range r.Statements {
		if len(r.Statements[i].Names) > 0 {
			return nil, false
		}
		size += len(r.Statements[i].SQL) + len(r.Statements[i].Args) + len("\x82\xa4Args\xc6\x00\x00\x00\x00\xa3SQL\xdb\x00\x00\x00\x00")
	}
	b = msgp.Require(b, size)
	b = msgp.AppendMapHeader(b, 2+count(r.BytesMax != 0, r.BytesPerStep != 0, r.Datacenter != "", r.Forwarded, r.Namespace != "",
		r.RequestID != "", r.RowsMax != 0, r.TempBytesMax != 0, r.Token != "", r.Transaction, r.WorkMax != 0))
	b = appendInt(b, "BytesMax", int64(r.BytesMax))
	b = appendInt(b, "BytesPerStep", r.BytesPerStep)
	b = msgp.AppendString(msgp.AppendString(b, "Database"), r.Database)
	b = appendText(b, "Datacenter", r.Datacenter)
	b = appendTrue(b, "Forwarded", r.Forwarded)
	b = appendText(b, "Namespace", string(r.Namespace))
	b = appendText(b, "RequestID", r.RequestID)
	b = appendInt(b, "RowsMax", int64(r.RowsMax))
	b = msgp.AppendArrayHeader(msgp.AppendString(b, "Statements"), uint32(len(r.Statements)))
	for i := range r.Statements {
		b = r.Statements[i].appendTo(b)
	}
	b = appendInt(b, "TempBytesMax", r.TempBytesMax)
	b = appendText(b, "Token", r.Token)
	b = appendTrue(b, "Transaction", r.Transaction)
	return appendInt(b, "WorkMax", r.WorkMax), true
}

func (r *SQLRequest) readFrom(w *wire) {
	for range w.members() {
		switch name := w.name(); string(name) {
		case "BytesMax":
			r.BytesMax = int(w.int())
		case "BytesPerStep":
			r.BytesPerStep = w.int()
		case "Database":
			r.Database = w.string()
		case "RequestID":
			r.RequestID = w.string()
		case "RowsMax":
			r.RowsMax = int(w.int())
		case "Statements":
			r.Statements = make([]SQLStatement, w.items())
			for i := range r.Statements {
				r.Statements[i].readFrom(w)
			}
		case "TempBytesMax":
			r.TempBytesMax = w.int()
		case "Transaction":
			r.Transaction = w.bool()
		case "WorkMax":
			r.WorkMax = w.int()
		default:
			r.WriteOptions.readMember(name, w)
		}
	}
}

func (s *SQLStatement) appendTo(b []byte) []byte {
	b = msgp.AppendMapHeader(b, 1+count(len(s.Args) > 0))
	if len(s.Args) > 0 {
		b = msgp.AppendBytes(msgp.AppendString(b, "Args"), s.Args)
	}
	return msgp.AppendString(msgp.AppendString(b, "SQL"), s.SQL)
}

func (s *SQLStatement) readFrom(w *wire) {
	for range w.members() {
		switch string(w.name()) {
		case "Args":
			s.Args = w.bytes()
		case "SQL":
			s.SQL = w.string()
		default:
			w.bad = true
		}
	}
}

func (c *SQLChunk) appendTo(b []byte) ([]byte, bool) {
	if c.Done != nil && c.Done.Err != nil {
		return nil, false
	}
	size := hotSlack
	for _, row := range c.Rows {
		size += len(row) + len("\xc6\x00\x00\x00\x00")
	}
	b = msgp.Require(b, size)
	b = msgp.AppendMapHeader(b, count(c.Begin != nil, c.Done != nil, len(c.Rows) > 0))
	if c.Begin != nil {
		b = c.Begin.appendTo(msgp.AppendString(b, "Begin"))
	}
	if c.Done != nil {
		b = msgp.AppendMapHeader(msgp.AppendString(b, "Done"), 2)
		b = msgp.AppendInt64(msgp.AppendString(b, "Elapsed"), c.Done.Elapsed)
		b = msgp.AppendInt64(msgp.AppendString(b, "Rows"), c.Done.Rows)
	}
	if len(c.Rows) > 0 {
		b = msgp.AppendArrayHeader(msgp.AppendString(b, "Rows"), uint32(len(c.Rows)))
		for _, row := range c.Rows {
			b = appendBytes(b, row)
		}
	}
	return b, true
}

func (c *SQLChunk) readFrom(w *wire) {
	for range w.members() {
		switch string(w.name()) {
		case "Begin":
			c.Begin = new(SQLBegin)
			c.Begin.readFrom(w)
		case "Done":
			c.Done = new(SQLDone)
			c.Done.readFrom(w)
		case "Rows":
			w.rest = bytes.Clone(w.rest) // one copy for all rows
			c.Rows = make([]SQLRow, w.items())
			for i := range c.Rows {
				c.Rows[i] = w.raw()
			}
		default:
			w.bad = true
		}
	}
}

func (s *SQLBegin) appendTo(b []byte) []byte {
	b = msgp.AppendMapHeader(b, 5+count(s.NextToken != ""))
	b = appendTexts(b, "Columns", s.Columns)
	b = msgp.AppendUint64(msgp.AppendString(b, "Index"), s.Index)
	b = msgp.AppendBool(msgp.AppendString(b, "KnownLeader"), s.KnownLeader)
	b = msgp.AppendInt64(msgp.AppendString(b, "LastContact"), int64(s.LastContact))
	b = appendText(b, "NextToken", s.NextToken)
	return appendTexts(b, "Types", s.Types)
}

func (s *SQLBegin) readFrom(w *wire) {
	for range w.members() {
		switch string(w.name()) {
		case "Columns":
			s.Columns = w.texts()
		case "Index":
			s.Index = w.uint()
		case "KnownLeader":
			s.KnownLeader = w.bool()
		case "LastContact":
			s.LastContact = time.Duration(w.int())
		case "NextToken":
			s.NextToken = w.string()
		case "Types":
			s.Types = w.texts()
		default:
			w.bad = true
		}
	}
}

func (d *SQLDone) readFrom(w *wire) {
	for range w.members() {
		switch string(w.name()) {
		case "Elapsed":
			d.Elapsed = w.int()
		case "Rows":
			d.Rows = w.int()
		default:
			w.bad = true
		}
	}
}
