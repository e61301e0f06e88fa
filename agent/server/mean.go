package server

import (
	"sync/atomic"
	"time"
)

// mean is a moving mean of durations, the last dozen of them for the most part. The zero value has none.
type mean struct{ ns atomic.Int64 }

func (m *mean) add(d time.Duration) {
	old := m.ns.Load()
	if old == 0 {
		m.ns.Store(int64(d))
		return
	}
	m.ns.Store(old + (int64(d)-old)/8) // two at once lose one: it is a mean
}

func (m *mean) get() time.Duration { return time.Duration(m.ns.Load()) }
