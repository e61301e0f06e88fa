package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// dropTimeout bounds the attempt to drop an upload that failed. What it leaves behind, the next leader drops.
const dropTimeout = 10 * time.Second

// restoreStream is "SQL.Restore", which has an input.
func (s *service) restoreStream() transport.StreamMethod {
	const name = "SQL.Restore"
	return transport.StreamMethod{
		Name: name,
		New:  func() any { return new(structs.SQLRestoreRequest) },
		Handle: func(ctx context.Context, req any, in io.Reader, out io.Writer) error {
			r, ok := req.(*structs.SQLRestoreRequest)
			if !ok {
				return fmt.Errorf("%s: unexpected request %T", name, req)
			}
			c, done, err := s.enterStream(ctx, name, &r.QueryOptions, true, req, in, out)
			if done || err != nil {
				return err
			}
			return s.sqlRestore(ctx, c, r, in, out)
		},
	}
}

// sqlRestore makes a SQLite file a database of the cluster. The leader, which is this server, has all of the file and has
// checked it before anybody else hears of it; then it goes through the log in pieces, and one entry puts it in its place.
func (s *service) sqlRestore(ctx context.Context, c call, req *structs.SQLRestoreRequest, in io.Reader, out io.Writer) error {
	d := structs.SQLDatabase{Name: req.Database.Name, DoubleQuotedStrings: req.Database.DoubleQuotedStrings, ForeignKeys: req.Database.ForeignKeys}
	if err := checkDatabase(&d.Name); err != nil {
		return err
	}
	if !c.may.SQLWrite(c.ns, d.Name) {
		return denied("sql:write", d.Name)
	}
	if in == nil {
		return structs.Errorf(structs.KindInvalid, "there is no file to restore")
	}
	d.Namespace = c.ns
	if _, old := s.b.State().SQLDatabaseGet(nil, c.ns, d.Name); old != nil {
		d.DoubleQuotedStrings, d.ForeignKeys = old.DoubleQuotedStrings, old.ForeignKeys
	}
	staged, err := s.b.State().StageDatabase(ctx, &d, in)
	if err != nil {
		return err
	}
	defer staged.Close()
	d.PageBytes = staged.PageBytes
	up := &upload{s: s, id: strings.ToLower(rand.Text()), ns: c.ns}
	rep, err := up.run(ctx, staged, staged.SizeBytes, d)
	if err != nil {
		return err
	}
	frame, err := structs.AppendFrame(nil, rep)
	if err != nil {
		return err
	}
	_, err = out.Write(frame)
	return err
}

// upload takes a file through the log.
type upload struct {
	s  *service
	id string
	ns structs.Namespace
}

func (u *upload) step(ctx context.Context, r *structs.SQLUploadRequest) (*structs.SQLDatabaseReply, error) {
	r.ID, r.Namespace = u.id, u.ns
	rep, index, err := propose[structs.SQLDatabaseReply](ctx, u.s, structs.CommandSQLUpload, r)
	if err != nil {
		return nil, err
	}
	rep.Index = index
	return rep, nil
}

func (u *upload) run(ctx context.Context, file io.Reader, size int64, d structs.SQLDatabase) (rep *structs.SQLDatabaseReply, err error) {
	defer func() {
		if err != nil && !errors.Is(err, structs.ErrNotFound) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
			defer cancel()
			_, _ = u.step(ctx, &structs.SQLUploadRequest{Op: structs.SQLUploadDrop})
		}
	}()
	if _, err := u.step(ctx, &structs.SQLUploadRequest{Op: structs.SQLUploadBegin}); err != nil {
		return nil, err
	}
	piece := make([]byte, structs.SQLUploadBytesMax)
	for at := int64(0); at < size; {
		n, err := io.ReadFull(file, piece[:min(int64(len(piece)), size-at)])
		if err != nil {
			return nil, fmt.Errorf("read the staged database: %w", err)
		}
		// The piece is encoded before this returns.
		if _, err := u.step(ctx, &structs.SQLUploadRequest{Op: structs.SQLUploadAppend, Offset: at, Data: piece[:n]}); err != nil {
			return nil, unfinished(err)
		}
		at += int64(n)
	}
	return u.step(ctx, &structs.SQLUploadRequest{Op: structs.SQLUploadInstall, Offset: size, Database: d})
}

// unfinished says of a piece whose fate is not known that the database is as it was: that it changes takes another entry.
func unfinished(err error) error {
	if !errors.Is(err, structs.ErrUnknownResult) {
		return err
	}
	return structs.Errorf(structs.KindUnavailable, "the leader was lost while the file was on its way").
		WithHint("the database is as it was; send the file again")
}
