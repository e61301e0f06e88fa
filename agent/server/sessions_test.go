package server

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestASessionsClockRingsOnceUnlessItIsCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fired := make(chan sessionKey, 9)
		timers := newSessionTimers(func(got sessionKey) { fired <- got })
		defer timers.stop()
		k := sessionKey{"default", "s"}
		began := time.Now()
		timers.reset(k, 10*time.Second)
		if got := <-fired; got != k || time.Since(began) != 10*time.Second*sessionTTLFactor {
			t.Fatalf("fired for %v after %s", got, time.Since(began))
		}
		timers.reset(k, 10*time.Second)
		timers.clear()
		time.Sleep(time.Hour)
		if len(fired) != 0 {
			t.Fatal("a cleared clock rang")
		}
	})
}

func TestARingOfAnEarlierRunEndsNoSession(t *testing.T) {
	ended := 0
	timers := newSessionTimers(func(sessionKey) { ended++ })
	defer timers.stop()
	k := sessionKey{"default", "s"}
	timers.reset(k, time.Hour)
	early := timers.timers[k]
	if !timers.renew(k, time.Hour) {
		t.Fatal("renewal refused")
	}
	timers.fire(k, early) // it rang while the renewal was under way
	if ended != 0 {
		t.Fatal("a renewed session was ended by the clock it had before")
	}
	timers.fire(k, timers.timers[k])
	if ended != 1 {
		t.Fatal("the session's own clock ended nothing")
	}
}

func TestASessionThatIsEndingCannotBeRenewed(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	timers := newSessionTimers(func(sessionKey) { close(begun); <-finish })
	defer timers.stop()
	k := sessionKey{"default", "s"}
	timers.reset(k, time.Millisecond)
	<-begun
	if timers.renew(k, time.Hour) {
		t.Error("renewed")
	}
	timers.ensure(k, time.Hour)
	if len(timers.timers) != 0 {
		t.Error("a clock was started for a session that is ending")
	}
	close(finish)
}
