package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// Bounds of SQL requests. What a statement may compute and return is part of the command, so that every replica
// stops at the same place; it is set by whoever proposes it.
const (
	sqlStatementsMax = 100_000
	sqlGuardsMax     = 1_000
	sqlRowsMax       = 100_000 // of RETURNING; a query streams as many as there are
	sqlRowBytesMax   = 16 << 20
	requestIDMax     = 128
)

func (s *service) sqlMethods() []transport.Method {
	return []transport.Method{
		write(s, "SQL.Execute", s.sqlExecute),
		write(s, "SQL.ApplyDatabase", s.sqlApplyDatabase),
		read(s, "SQL.Databases", s.sqlDatabases),
	}
}

func (s *service) sqlStreams() []transport.StreamMethod {
	return []transport.StreamMethod{
		streamOf(s, "SQL.Query", s.sqlQuery),
		streamOf(s, "SQL.Backup", s.sqlBackup),
		streamOf(s, "SQL.Changes", s.sqlChanges),
		s.restoreStream(),
	}
}

func (s *service) sqlExecute(ctx context.Context, c call, req *structs.SQLRequest, rep *structs.SQLReply) (err error) {
	if err := checkDatabase(&req.Database); err != nil {
		return err
	}
	if !c.may.SQLWrite(c.ns, req.Database) {
		return denied("sql:write", req.Database)
	}
	if err := checkSQL(req, s.b.Limits().withDefaults()); err != nil {
		return err
	}
	start := time.Now()
	defer func() { countExecute(start, req, rep, err) }()
	r, index, err := propose[structs.SQLReply](ctx, s, structs.CommandSQL, &structs.SQLRequest{
		WriteOptions: logged(c), Database: req.Database, Statements: req.Statements, Transaction: req.Transaction,
		Guards: req.Guards, RequestID: req.RequestID,
		WorkMax: structs.SQLWorkMax, BytesPerStep: s.bytesPerStep(), TempBytesMax: structs.SQLTempBytesMax, RowsMax: sqlRowsMax, BytesMax: sqlRowBytesMax,
	})
	if err != nil {
		return err
	}
	*rep = *r
	rep.Index = index
	return nil
}

// bytesPerStep is how the work of SQL functions is counted, which all servers must do alike.
func (s *service) bytesPerStep() int64 {
	if s.b.State().FSMVersion() < structs.FSMVersionOfCluster {
		return 0
	}
	return structs.SQLBytesPerStep
}

// checkDatabase gives a request a real database.
func checkDatabase(name *string) error {
	if *name == "" {
		*name = structs.DefaultDatabase
	}
	if !structs.ValidDatabase(*name) {
		return structs.Errorf(structs.KindInvalid, "invalid database name %q", clip(*name)).
			WithHint("1 to 63 of a-z, 0-9, _ and -, beginning with a letter or a digit")
	}
	return nil
}

// checkSQL refuses what cannot be proposed; what the statements say is for the database to judge.
func checkSQL(req *structs.SQLRequest, lim Limits) error {
	switch {
	case len(req.Statements) == 0:
		return structs.Errorf(structs.KindInvalid, "the request has no statements")
	}
	if err := checkRequestID(req.RequestID); err != nil {
		return err
	}
	return new(sqlSize).add("", req.Statements, req.Guards, lim)
}

func checkRequestID(id string) error {
	if len(id) > requestIDMax || !printable(id) {
		return structs.Errorf(structs.KindInvalid, "the request_id must be at most %d bytes that print", requestIDMax)
	}
	return nil
}

// sqlSize is how much SQL a request has.
type sqlSize struct{ statements, guards, bytes int }

// add counts statements and guards in and refuses what is too much, or cannot be read; of says whose they are.
func (s *sqlSize) add(of string, statements []structs.SQLStatement, guards []structs.SQLGuard, lim Limits) error {
	s.statements += len(statements)
	s.guards += len(guards)
	switch {
	case s.statements > sqlStatementsMax:
		return structs.Errorf(structs.KindTooLarge, "the request has %d statements; the limit is %d", s.statements, sqlStatementsMax).
			WithHint("send it in parts")
	case s.guards > sqlGuardsMax:
		return structs.Errorf(structs.KindTooLarge, "the request has %d guards; the limit is %d", s.guards, sqlGuardsMax)
	}
	for i := range statements {
		if err := checkStatement(fmt.Sprintf("statement %d%s", i+1, of), &statements[i], &s.bytes); err != nil {
			return err
		}
	}
	for i := range guards {
		if err := checkStatement(fmt.Sprintf("guard %d%s", i+1, of), &guards[i].SQLStatement, &s.bytes); err != nil {
			return err
		}
	}
	if s.bytes > lim.SQLBytesMax {
		return structs.Errorf(structs.KindTooLarge, "the request is too large: its statements and arguments are %d bytes, the limit is %d bytes (limits.sql_bytes_max)",
			s.bytes, lim.SQLBytesMax).WithHint("send it in parts")
	}
	return nil
}

// checkStatement refuses arguments that no database could decode and adds the statement's size up.
func checkStatement(what string, st *structs.SQLStatement, size *int) error {
	*size += len(st.SQL) + len(st.Args)
	values := 0
	for rest := st.Args; len(rest) > 0; values++ {
		var err error
		if _, rest, err = rest.Next(); err != nil {
			return structs.Errorf(structs.KindInvalid, "the arguments of %s cannot be read: %v", what, err)
		}
	}
	if len(st.Names) > 0 && len(st.Names) != values {
		return structs.Errorf(structs.KindInvalid, "the %d arguments of %s have %d names", values, what, len(st.Names))
	}
	for _, n := range st.Names {
		*size += len(n)
	}
	return nil
}

func (s *service) sqlApplyDatabase(ctx context.Context, c call, req *structs.SQLDatabaseRequest, rep *structs.SQLDatabaseReply) error {
	d := structs.SQLDatabase{
		Name: req.Database.Name, PageBytes: req.Database.PageBytes, DoubleQuotedStrings: req.Database.DoubleQuotedStrings,
		ForeignKeys: req.Database.ForeignKeys, ChangesBytes: req.Database.ChangesBytes,
	}
	if err := checkDatabase(&d.Name); err != nil {
		return err
	}
	if !c.may.SQLWrite(c.ns, d.Name) {
		return denied("sql:write", d.Name)
	}
	if n := d.ChangesBytes; n != 0 && (n < structs.SQLChangesBytesMin || n > structs.SQLChangesBytesMax) {
		return structs.Errorf(structs.KindInvalid, "%d bytes of changes cannot be kept", n).
			WithHint("0 for none, or from %d (1 MiB) to %d (64 GiB)", structs.SQLChangesBytesMin, int64(structs.SQLChangesBytesMax))
	}
	switch req.Op {
	case structs.SQLDatabaseCreate, structs.SQLDatabaseEnsure:
		if p := d.PageBytes; p != 0 && (p < 512 || p > 65536 || p&(p-1) != 0) {
			return structs.Errorf(structs.KindInvalid, "invalid page size %d", p).WithHint("a power of two from 512 to 65536, or 0 for the default")
		}
	case structs.SQLDatabaseDrop:
		d = structs.SQLDatabase{Name: d.Name}
	case structs.SQLDatabaseSetChanges:
		d = structs.SQLDatabase{Name: d.Name, ChangesBytes: d.ChangesBytes}
	default:
		return structs.Errorf(structs.KindInvalid, "unknown database operation %q", clip(string(req.Op)))
	}
	r, index, err := propose[structs.SQLDatabaseReply](ctx, s, structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{
		WriteOptions: logged(c), Op: req.Op, Database: d,
	})
	if err != nil {
		return err
	}
	*rep = *r
	rep.Index = index
	return nil
}

func (s *service) sqlDatabases(ctx context.Context, c call, req *structs.SQLDatabaseListRequest, rep *structs.SQLDatabaseListReply) error {
	if req.Name != "" {
		if err := checkDatabase(&req.Name); err != nil {
			return err
		}
	}
	after, err := decodeToken(req.NextToken, "")
	if err != nil {
		return err
	}
	var rows []*structs.SQLDatabase
	err = s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		rows, rep.NextToken = nil, ""
		if req.Name != "" {
			idx, d := s.b.State().SQLDatabaseGet(ws, c.ns, req.Name)
			if d != nil && c.may.SQLRead(c.ns, d.Name) {
				rows = append(rows, d)
			}
			return idx, len(rows) > 0
		}
		idx, rows, rep.NextToken = pager[*structs.SQLDatabase]{
			fetch: func(after string, limit int) (uint64, []*structs.SQLDatabase, bool) {
				return s.b.State().SQLDatabaseList(ws, c.ns, after, limit)
			},
			key: func(d *structs.SQLDatabase) string { return d.Name },
			see: func(d *structs.SQLDatabase) bool { return c.may.SQLRead(c.ns, d.Name) },
		}.page(perPage(&req.QueryOptions), after)
		return idx, len(rows) > 0
	})
	if err != nil {
		return err
	}
	rep.Databases = make([]*structs.SQLDatabaseInfo, 0, len(rows))
	for _, d := range rows {
		info, err := s.b.State().SQLDatabaseInfo(ctx, d)
		if err != nil {
			return err
		}
		rep.Databases = append(rep.Databases, info)
	}
	return nil
}
