package state

import (
	"context"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// slowReader takes nothing until it may go on.
type slowReader struct{ begun, goOn chan struct{} }

func (w slowReader) Write(b []byte) (int, error) {
	select {
	case w.begun <- struct{}{}:
	case <-w.goOn:
	}
	<-w.goOn
	return len(b), nil
}

func TestSlowBackupsDoNotHoldUpEntriesBehindASnapshot(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)")
	const readers = 12
	w := slowReader{begun: make(chan struct{}), goOn: make(chan struct{})}
	done := make(chan error, readers)
	for range readers {
		go func() {
			done <- r.s.SQLBackup(context.Background(), &structs.SQLBackupRequest{QueryOptions: structs.QueryOptions{Namespace: ns}}, w)
		}()
	}
	<-w.begun
	for begun := true; begun; { // all that may begin
		select {
		case <-w.begun:
		case <-time.After(200 * time.Millisecond):
			begun = false
		}
	}
	snap := r.s.Snapshot()
	applied := make(chan struct{})
	go func() { // it pins the database for the snapshot
		r.exec("", "insert into t values (1)")
		close(applied)
	}()
	select {
	case <-applied:
	case <-time.After(5 * time.Second):
		t.Error("an entry waits for readers of backups")
	}
	close(w.goOn)
	for range readers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	<-applied
	snap.Release()
}
