package state

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

// SQLChanges reads the changes of a database behind a position, about bytesMax of them, and the position behind what it
// gives. ws gets the watch that fires when there may be more. What cannot be given is a *structs.Error: see sqldb.DB.Changes.
func (s *Store) SQLChanges(ctx context.Context, ws memdb.WatchSet, ns structs.Namespace, database string, from structs.SQLPosition, bytesMax int) (runs []structs.SQLChanges, at structs.SQLPosition, err error) {
	s.SQLDatabaseGet(ws, ns, databaseName(database)) // before the changes are read: at worst it fires for one that is read already
	err = s.reading(ns, database, func(db *sqldb.DB, _ uint64) error {
		runs, at, err = db.Changes(ctx, from, bytesMax)
		return err
	})
	return runs, at, hintAtChanges(err, database)
}

// SQLLastChange is the position behind all changes of a database.
func (s *Store) SQLLastChange(ctx context.Context, ns structs.Namespace, database string) (at structs.SQLPosition, err error) {
	err = s.reading(ns, database, func(db *sqldb.DB, _ uint64) error {
		at, err = db.LastChange(ctx)
		return err
	})
	return at, hintAtChanges(err, database)
}

// hintAtChanges says what to do about changes that are not there.
func hintAtChanges(err error, database string) error {
	e, refused := err.(*structs.Error)
	if !refused {
		return err
	}
	switch e.Kind {
	case structs.KindConflict:
		return e.WithHint("have them kept from now on: debros sql database update -changes=64MiB %s", databaseName(database))
	case structs.KindGone:
		return e.WithHint("read the tables anew, then follow: debros sql backup names its index, and -from=INDEX (?from=INDEX) goes on behind it")
	}
	return err
}
