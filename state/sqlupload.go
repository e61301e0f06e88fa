package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

// uploadExt ends the name of a file that is being gathered. It has no index of its own: each piece is written at
// its place, and again after a crash, until the row, from a snapshot and the log, says how much of it counts.
const uploadExt = ".upload"

// SQLUpload does one step of an upload. A refusal is the same on every replica; an error is a fault of this server's own.
func (t *Txn) SQLUpload(r *structs.SQLUploadRequest) (*structs.SQLDatabaseReply, *structs.Error, error) {
	if refusal := t.needNamespace(r.Namespace); refusal != nil {
		return nil, refusal, nil
	}
	name := structs.UploadName(r.ID)
	if !structs.ValidUpload(name) {
		return nil, structs.Errorf(structs.KindInvalid, "invalid upload %q", r.ID), nil
	}
	up := t.view().databaseRow(nil, r.Namespace, name)
	if r.Op == structs.SQLUploadBegin {
		return t.beginUpload(r.Namespace, name, up)
	}
	if up == nil {
		return nil, structs.Errorf(structs.KindNotFound, "the upload is gone: the leader has changed, or the namespace was deleted").
			WithHint("the database is as it was; send the file again"), nil
	}
	switch r.Op {
	case structs.SQLUploadAppend:
		return t.appendUpload(r, up)
	case structs.SQLUploadInstall:
		return t.installUpload(r, up)
	case structs.SQLUploadDrop:
		t.dropUpload(up)
		return t.uploaded(up), nil, nil
	}
	return nil, structs.Errorf(structs.KindInvalid, "unknown upload operation %q", r.Op), nil
}

func (t *Txn) uploaded(d *structs.SQLDatabase) *structs.SQLDatabaseReply {
	reply := &structs.SQLDatabaseReply{Database: *d}
	reply.Index = t.index
	return reply
}

func (t *Txn) beginUpload(ns structs.Namespace, name string, up *structs.SQLDatabase) (*structs.SQLDatabaseReply, *structs.Error, error) {
	if up != nil {
		return nil, structs.Errorf(structs.KindConflict, "upload %q has begun already", name), nil
	}
	if t.files == nil {
		return nil, nil, errNoSQL
	}
	d := &structs.SQLDatabase{Namespace: ns, Name: name, Upload: &structs.SQLUpload{}, CreateIndex: t.index, ModifyIndex: t.index}
	if err := os.WriteFile(t.files.pathOf(d), nil, 0o600); err != nil {
		return nil, nil, fmt.Errorf("begin an upload: %w", err)
	}
	replace(t, tableDatabases, nil, d)
	return t.uploaded(d), nil, nil
}

func (t *Txn) appendUpload(r *structs.SQLUploadRequest, up *structs.SQLDatabase) (*structs.SQLDatabaseReply, *structs.Error, error) {
	if r.Offset != up.Upload.SizeBytes || len(r.Data) == 0 {
		return nil, structs.Errorf(structs.KindConflict, "the upload has %d bytes: a piece of %d at %d does not follow", up.Upload.SizeBytes, len(r.Data), r.Offset), nil
	}
	if refusal := t.roomForUpload(r.Namespace, int64(len(r.Data))); refusal != nil {
		return nil, refusal, nil
	}
	f, err := os.OpenFile(t.files.pathOf(up), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("go on with an upload: %w", err)
	}
	_, err = f.WriteAt(r.Data, r.Offset)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, fmt.Errorf("go on with an upload: %w", err)
	}
	d := *up
	d.Upload = &structs.SQLUpload{SizeBytes: r.Offset + int64(len(r.Data))}
	d.ModifyIndex = t.index
	replace(t, tableDatabases, up, &d)
	return t.uploaded(&d), nil, nil
}

// installUpload makes the file that was gathered a database's. The leader has made the file and seen that it is
// sound; that this server cannot open it would be a fault. Its own file, under a name of its own, is read by nobody before
// the entry is committed, and the old one stays until then.
func (t *Txn) installUpload(r *structs.SQLUploadRequest, up *structs.SQLDatabase) (*structs.SQLDatabaseReply, *structs.Error, error) {
	name := databaseName(r.Database.Name)
	switch {
	case !structs.ValidDatabase(name):
		return nil, structs.Errorf(structs.KindInvalid, "invalid database name %q", name), nil
	case r.Offset != up.Upload.SizeBytes:
		return nil, structs.Errorf(structs.KindConflict, "the upload has %d bytes of %d", up.Upload.SizeBytes, r.Offset), nil
	}
	old := t.view().database(nil, r.Namespace, name)
	d := r.Database
	d.Namespace, d.Name, d.Upload, d.UsedBytes, d.CreateIndex = r.Namespace, name, nil, 0, t.index
	if old == nil {
		if refusal := t.roomForDatabase(r.Namespace); refusal != nil {
			return nil, refusal, nil
		}
	} else {
		d = *old
		d.PageBytes = r.Database.PageBytes
	}
	d.FileIndex, d.ModifyIndex = t.index, t.index
	if err := t.files.install(up, &d); err != nil {
		return nil, nil, fmt.Errorf("install database %s of namespace %s: %w", d.Name, d.Namespace, err)
	}
	t.dropUpload(up)
	replace(t, tableDatabases, old, &d)
	t.touch(tableDatabases, d.Namespace)
	if old != nil {
		t.dropped = append(t.dropped, old)
	}
	if err := t.setChanges(&d); err != nil { // it opens the file, and its commit writes this entry's index there
		return nil, nil, err
	}
	return t.uploaded(&d), nil, nil
}

// dropUpload is not seen by those who watch databases.
func (t *Txn) dropUpload(up *structs.SQLDatabase) {
	replace(t, tableDatabases, up, nil)
	t.dropped = append(t.dropped, up)
}

func (s *sqlFiles) pathOf(d *structs.SQLDatabase) string {
	return filepath.Join(s.dir, databaseFile(d))
}

// install gives the file of an upload the name of a database's. One that is there and has the entry already was installed
// before the process crashed.
func (s *sqlFiles) install(up, d *structs.SQLDatabase) error {
	if _, done := s.notOlder(d); done {
		return nil
	}
	if err := sqldb.Remove(s.pathOf(d)); err != nil {
		return err
	}
	if err := s.pinForSnapshots(databaseFile(up)); err != nil {
		return err
	}
	from, to := s.pathOf(up), s.pathOf(d)
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	if st.Size() != up.Upload.SizeBytes {
		return fmt.Errorf("its upload has %d bytes on this server, not %d", st.Size(), up.Upload.SizeBytes)
	}
	if s.inSnapshot(databaseFile(up)) { // it still reads the file, which the database will change
		return copyFile(from, to)
	}
	return os.Rename(from, to)
}

// inSnapshot reports whether a snapshot has a file that it may not have read yet.
func (s *sqlFiles) inSnapshot(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for snap := range s.snaps {
		if snap.pins[name] != nil {
			return true
		}
	}
	return false
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// restoreUpload writes what a snapshot has of an upload.
func restoreUpload(path string, d *structs.SQLDatabase, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("restore an upload: %w", err)
	}
	n, err := io.Copy(f, r)
	return wholeUpload(d, n, errors.Join(err, f.Close()))
}

func wholeUpload(d *structs.SQLDatabase, n int64, err error) error {
	if err != nil {
		return fmt.Errorf("restore an upload: %w", err)
	}
	if n != d.Upload.SizeBytes {
		return structs.Errorf(structs.KindInvalid, "an upload of %d bytes has %d", d.Upload.SizeBytes, n)
	}
	return nil
}

// SQLUploads are the rows of all uploads.
func (s *Store) SQLUploads() []*structs.SQLDatabase {
	var all []*structs.SQLDatabase
	for d := range scan[structs.SQLDatabase](nil, s.view(nil).tx, tableDatabases, indexID, nil) {
		if d.Upload != nil {
			all = append(all, d)
		}
	}
	return all
}
