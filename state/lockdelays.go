package state

import (
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// LockDelay keeps a key from being acquired for a while after its holder's session was invalidated:
// a former holder that does not know yet gets time to notice. It is replicated, so it holds through a
// change of leader and a restart.
type LockDelay struct {
	Namespace structs.Namespace
	Key       string
	Until     int64 // Unix nanoseconds, by the time of entries
}

func lockDelaysSchema() *memdb.TableSchema {
	t := table(tableLockDelays, lockDelayID)
	secondary(t, indexUntil, false, func(r *LockDelay) []byte { return numberKey(uint64(r.Until)) })
	return t
}

func lockDelayID(r *LockDelay) []byte {
	if r.Namespace == "" {
		return nil
	}
	return kvKey(r.Namespace, r.Key)
}

// delayLock starts a lock-delay; one that ends later stays.
func (t *Txn) delayLock(ns structs.Namespace, key string, d time.Duration) {
	d = min(d, structs.LockDelayMax)
	if d <= 0 {
		return
	}
	old := first[LockDelay](nil, t.tx, tableLockDelays, indexID, kvKey(ns, key))
	until := t.until(d)
	if old != nil && old.Until >= until {
		return
	}
	replace(t, tableLockDelays, old, &LockDelay{Namespace: ns, Key: key, Until: until})
}

// lockDelayed reports whether the key may not be acquired yet.
func (t *Txn) lockDelayed(ns structs.Namespace, key string) bool {
	r := first[LockDelay](nil, t.tx, tableLockDelays, indexID, kvKey(ns, key))
	return r != nil && r.Until > t.now
}

// dropPassedLockDelays keeps the table small: it holds little more than the last minute's.
func (t *Txn) dropPassedLockDelays() {
	for r := range scan[LockDelay](nil, t.tx, tableLockDelays, indexUntil, nil) {
		if r.Until > t.now {
			return
		}
		replace(t, tableLockDelays, r, nil)
	}
}
