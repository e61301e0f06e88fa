package sqldb

import (
	"fmt"
	"strings"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
	lib "modernc.org/sqlite/lib"
)

const (
	cachedMax     = 128  // statements kept compiled by a connection
	progressSteps = 1000 // virtual machine steps between two looks at the budget or the caller's context
)

// conn is a connection with its authorizer and its statement cache.
type conn struct {
	*sqlite.Conn
	writer  bool
	trusted bool    // one of our own statements is being compiled or run
	running *intent // of the user's statement that runs; nil while none does
	intent  intent  // of the statement that was compiled last
	cache   cache
	own     map[string]*sqlite.Stmt // our own statements
}

func openConn(path, vfs string, writer bool, o Options) (*conn, error) {
	flags := int32(sqlite.ReadOnly)
	if writer {
		flags = sqlite.ReadWrite | sqlite.Create
	}
	sc, err := sqlite.Open(path, vfs, flags)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: sc, writer: writer, cache: newCache(cachedMax), own: map[string]*sqlite.Stmt{}, trusted: true}
	if err := c.configure(o); err != nil {
		c.close()
		return nil, err
	}
	c.trusted = false
	return c, nil
}

func (c *conn) configure(o Options) error {
	for _, op := range []struct {
		switchID int32
		on       bool
	}{
		{lib.SQLITE_DBCONFIG_DEFENSIVE, true},
		{lib.SQLITE_DBCONFIG_TRUSTED_SCHEMA, false},
		{lib.SQLITE_DBCONFIG_DQS_DML, o.DoubleQuotedStrings},
		{lib.SQLITE_DBCONFIG_DQS_DDL, o.DoubleQuotedStrings},
		{lib.SQLITE_DBCONFIG_ENABLE_FKEY, o.ForeignKeys},
		{lib.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, false},
	} {
		if err := c.Config(op.switchID, op.on); err != nil {
			return err
		}
	}
	for _, l := range []struct{ id, value int32 }{
		{lib.SQLITE_LIMIT_LENGTH, valueBytesMax},
		{lib.SQLITE_LIMIT_SQL_LENGTH, sqlBytesMax},
		{lib.SQLITE_LIMIT_COLUMN, columnsMax},
		{lib.SQLITE_LIMIT_EXPR_DEPTH, depthMax},
		{lib.SQLITE_LIMIT_COMPOUND_SELECT, compoundMax},
		{lib.SQLITE_LIMIT_FUNCTION_ARG, functionArgsMax},
		{lib.SQLITE_LIMIT_ATTACHED, 0},
		{lib.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, likeBytesMax},
		{lib.SQLITE_LIMIT_VARIABLE_NUMBER, paramsMax},
		{lib.SQLITE_LIMIT_TRIGGER_DEPTH, triggersMax},
		{lib.SQLITE_LIMIT_WORKER_THREADS, 0},
	} {
		c.Limit(l.id, l.value)
	}
	if err := c.Authorizer(c.authorize); err != nil {
		return err
	}
	if err := defineTextFunctions(c.Conn); err != nil {
		return err
	}
	var pragmas strings.Builder
	// First of all: another connection that closes, or recovers the log, may hold the file for a moment.
	pragmas.WriteString("PRAGMA busy_timeout=5000;")
	if c.writer {
		if o.PageBytes != 0 {
			fmt.Fprintf(&pragmas, "PRAGMA page_size=%d;", o.PageBytes)
		}
		pragmas.WriteString("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;")
	} else {
		pragmas.WriteString("PRAGMA query_only=1;")
	}
	// cell_size_check: a damaged page is found when it is read. cache_size is in KiB.
	pragmas.WriteString("PRAGMA cell_size_check=1; PRAGMA cache_size=-4000; PRAGMA mmap_size=0;")
	return c.Exec(pragmas.String())
}

// close closes the connection with everything on it; twice is fine.
func (c *conn) close() error {
	c.cache.clear()
	c.closeOwn()
	return c.Conn.Close()
}

// closeOwn frees our own statements.
func (c *conn) closeOwn() {
	for _, s := range c.own {
		s.Finalize()
	}
	clear(c.own)
}

// do runs one of our own statements that gives no rows.
func (c *conn) do(sql string, args ...any) error {
	_, err := c.ask(sql, nil, args...)
	return err
}

// ask runs one of our own statements and calls row for each row until it returns false.
func (c *conn) ask(sql string, row func(*sqlite.Stmt) bool, args ...any) (rows int, err error) {
	c.trusted = true
	defer func() { c.trusted = false }()
	s := c.own[sql]
	if s == nil {
		if s, _, err = c.Prepare(sql); err != nil {
			return 0, fmt.Errorf("%s: %w", sql, err)
		}
		c.own[sql] = s
	}
	defer s.Reset()
	if err := bindOwn(s, args); err != nil {
		return 0, fmt.Errorf("%s: %w", sql, err)
	}
	for {
		more, err := s.Step()
		if err != nil {
			return rows, fmt.Errorf("%s: %w", sql, err)
		}
		if !more {
			return rows, nil
		}
		rows++
		if row == nil || !row(s) {
			return rows, nil
		}
	}
}

func bindOwn(s *sqlite.Stmt, args []any) error {
	room := 0
	for _, a := range args {
		switch v := a.(type) {
		case string:
			room += len(v)
		case []byte:
			room += len(v)
		}
	}
	if room > 0 {
		if err := s.BindRoom(room); err != nil {
			return err
		}
	}
	for i, a := range args {
		var err error
		switch v := a.(type) {
		case int64:
			err = s.BindInt64(i+1, v)
		case string:
			err = s.BindText(i+1, v)
		case []byte:
			err = s.BindBlob(i+1, string(v))
		default:
			err = fmt.Errorf("unsupported argument %T", a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// prepared is a user's statement, compiled.
type prepared struct {
	*sqlite.Stmt // nil: only space and comments
	tail         int
	intent       intent
	readOnly     bool
	params       []string // names with their prefix, "" for "?"
	columns      []string
	types        []string
	reprepared   int
}

// prepare compiles the first statement of sql or finds it compiled. refusal: the user's fault.
func (c *conn) prepare(sql string) (p *prepared, refusal *structs.Error, err error) {
	if p := c.cache.get(sql); p != nil {
		return p, nil, nil
	}
	if refusal := c.vet(sql); refusal != nil {
		return nil, refusal, nil
	}
	c.intent = intent{}
	s, tail, err := c.Prepare(sql)
	if err != nil {
		if c.intent.refusal != nil {
			return nil, c.intent.refusal, nil
		}
		if refusal := refusalOf(err); refusal != nil {
			return nil, refusal, nil
		}
		return nil, nil, err
	}
	p = &prepared{Stmt: s, tail: tail, intent: c.intent}
	if s != nil {
		refusal, explain := p.intent.check(), s.Explain()
		if refusal == nil && c.writer && explain == sqlite.ExplainProgram { // the program names how often this connection read the schema
			refusal = denied("EXPLAIN is not allowed in a write: its answer may differ between replicas", "send it as a query, or ask for EXPLAIN QUERY PLAN")
		}
		if refusal != nil {
			s.Finalize()
			return nil, refusal, nil
		}
		p.readOnly = s.ReadOnly() || explain != sqlite.NoExplain
		p.params = make([]string, s.Params())
		for i := range p.params {
			p.params[i] = s.ParamName(i + 1)
		}
		p.describe()
	}
	c.cache.put(sql, p)
	return p, nil, nil
}

// describe reads the columns, which change when SQLite compiles the statement again for a new schema.
func (p *prepared) describe() {
	n := p.Columns()
	if n == 0 {
		return
	}
	p.columns, p.types = make([]string, n), make([]string, n)
	for i := range n {
		p.columns[i] = p.ColumnName(i)
		p.types[i] = strings.ToLower(p.ColumnDecl(i))
	}
}

// row appends the current row to r.
func (p *prepared) row(r structs.SQLRow) structs.SQLRow {
	for i := range p.columns {
		switch p.Type(i) {
		case sqlite.Integer:
			r = r.AppendInteger(p.Int64(i))
		case sqlite.Float:
			r = r.AppendReal(p.Float(i))
		case sqlite.Text:
			r = r.AppendText(p.Bytes(i))
		case sqlite.Blob:
			r = r.AppendBlob(p.Bytes(i))
		default:
			r = r.AppendNull()
		}
	}
	return r
}

// done ends an execution.
func (p *prepared) done() {
	p.Reset()
	if len(p.params) > 0 {
		p.Unbind()
	}
}
