package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

// SQLDatabase is one database of a namespace. Names are 1 to 63 of a-z, 0-9, '_' and '-', beginning with
// a letter or a digit. The database "default" always exists; its file is made by the first write.
type SQLDatabase struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// PageBytes is the size of a page, fixed when the database is made: a power of two from 512 to 65536,
	// 0 = SQLite's own 4096. Small ones suit thousands of small databases.
	PageBytes int `json:"page_bytes"`
	// DoubleQuotedStrings lets "text" be a string where no column has that name, as old programs expect.
	DoubleQuotedStrings bool `json:"double_quoted_strings"`
	// ChangesBytes is how much of its changes is kept for SQL.Changes, 0 = none. SetChanges sets it later.
	ChangesBytes  int64  `json:"changes_bytes"`
	CreateIndex   uint64 `json:"create_index"`
	ModifyIndex   uint64 `json:"modify_index"`
	SizeBytes     int64  `json:"size_bytes"`     // on the answering server; 0 while nothing was written
	AppliedIndex  uint64 `json:"applied_index"`  // of the last write to it
	SchemaVersion int64  `json:"schema_version"` // grows with every change of the schema
}

// Databases lists the databases of the namespace, in the order of their names.
func (s *SQL) Databases(ctx context.Context, o *QueryOptions) ([]*SQLDatabase, *QueryMeta, error) {
	q := copyOptions(o)
	all := q.PerPage == 0 && q.NextToken == "" // then every page
	var out []*SQLDatabase
	for {
		var page []*SQLDatabase
		_, m, err := s.c.get(ctx, "/v1/sql/databases", q, &page)
		if err != nil {
			return nil, m, err
		}
		out = append(out, page...)
		if m.NextToken == "" || !all {
			return out, m, nil
		}
		q.NextToken, q.Index, q.MinIndex = m.NextToken, 0, 0
	}
}

func databasePath(name string) string { return "/v1/sql/databases/" + url.PathEscape(name) }

// ReadDatabase reads one database's entry; nil when it does not exist.
func (s *SQL) ReadDatabase(ctx context.Context, name string, o *QueryOptions) (*SQLDatabase, *QueryMeta, error) {
	out := &SQLDatabase{}
	found, m, err := s.c.get(ctx, databasePath(name), o, out)
	if err != nil || !found {
		return nil, m, err
	}
	return out, m, nil
}

// CreateDatabase makes a database of d's Name, PageBytes, DoubleQuotedStrings and ChangesBytes. One that exists gives ErrConflict.
func (s *SQL) CreateDatabase(ctx context.Context, d *SQLDatabase, o *WriteOptions) (*SQLDatabase, *WriteMeta, error) {
	r := s.c.newRequest(http.MethodPost, "/v1/sql/databases")
	err := r.json(struct {
		Name                string `json:"name"`
		PageBytes           int    `json:"page_bytes,omitempty"`
		DoubleQuotedStrings bool   `json:"double_quoted_strings,omitempty"`
		ChangesBytes        int64  `json:"changes_bytes,omitempty"`
	}{d.Name, d.PageBytes, d.DoubleQuotedStrings, d.ChangesBytes})
	if err != nil {
		return nil, nil, err
	}
	out := &SQLDatabase{}
	m, err := s.c.put(ctx, r, o, out)
	if err != nil {
		return nil, m, err
	}
	return out, m, nil
}

// DeleteDatabase deletes a database with everything in it.
func (s *SQL) DeleteDatabase(ctx context.Context, name string, o *WriteOptions) (*WriteMeta, error) {
	return s.c.put(ctx, s.c.newRequest(http.MethodDelete, databasePath(name)), o, nil)
}

// Backup streams the database, as it is now, as one file that any SQLite opens. It is only whole if it was read to io.EOF.
func (s *SQL) Backup(ctx context.Context, o *QueryOptions) (io.ReadCloser, *QueryMeta, error) {
	r := s.c.newRequest(http.MethodGet, "/v1/sql/backup")
	r.query(o)
	if s.database != "" {
		r.params.Set("db", s.database)
	}
	r.streaming = true
	start := time.Now()
	reply, err := s.c.send(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	return reply.Body, queryMeta(reply.Header, time.Since(start)), nil
}

// Restore puts a SQLite file in the place of the database, or makes a new one of it, on every server in one step, after
// all of the file was checked: until then, and when it is refused, the database is as it was. For a new database,
// DoubleQuotedStrings of d is heeded; d may be nil. It is sent once and never repeated.
func (s *SQL) Restore(ctx context.Context, file io.Reader, d *SQLDatabase, o *WriteOptions) (*SQLDatabase, *WriteMeta, error) {
	r := s.c.newRequest(http.MethodPost, "/v1/sql/restore")
	r.stream, r.streaming, r.contentType = file, true, "application/vnd.sqlite3"
	if s.database != "" {
		r.params.Set("db", s.database)
	}
	if d != nil && d.DoubleQuotedStrings {
		r.params.Set("double_quoted_strings", "")
	}
	out := &SQLDatabase{}
	m, err := s.c.put(ctx, r, o, out)
	if err != nil {
		return nil, m, err
	}
	return out, m, nil
}
