package agent

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestEventsOfABurstAreTakenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := make(chan int)
		go func() {
			defer close(from)
			for i := range 10 {
				from <- i
			}
			time.Sleep(2 * time.Second)
			from <- 10
		}()
		begin := time.Now()
		if got := gather(from, <-from, -time.Hour); len(got) != 1 || time.Since(begin) != 0 {
			t.Errorf("after a quiet time, the first of a burst came as %v after %s", got, time.Since(begin))
		}
		if got := gather(from, <-from, time.Second); len(got) != 9 || got[0] != 1 || got[8] != 9 {
			t.Errorf("the others came as %v", got)
		}
		if got := gather(from, <-from, time.Hour); len(got) != 1 || time.Since(begin) > 3*time.Second {
			t.Errorf("the last came as %v after %s: the end of events was waited for", got, time.Since(begin))
		}
	})
}
