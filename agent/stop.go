package agent

import (
	"errors"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Done is closed when the agent has stopped.
func (a *Agent) Done() <-chan struct{} { return a.doneCh }

// Err is why the agent stopped: nil after Shutdown or Leave. Valid once Done is closed.
func (a *Agent) Err() error { return a.err }

// Shutdown stops the agent without leaving the cluster: leadership is handed over, files are closed. A
// server that left answers until leave_drain_time is over.
func (a *Agent) Shutdown() { a.stop(nil) }

// stopSoon stops the agent from one of its own goroutines.
func (a *Agent) stopSoon(err error) {
	if err != nil {
		a.log.Error("the agent stops", "error", err)
	}
	go a.stop(err)
}

// stop closes everything in reverse order, once, and waits.
func (a *Agent) stop(cause error) {
	a.stopOnce.Do(func() {
		if cause == nil {
			a.drain()
		}
		a.notifySystemd(daemon.SdNotifyStopping)
		a.cancel()
		a.stopHTTP()
		if a.bus != nil {
			a.bus.Close()
		}
		errs := []error{cause}
		if a.server != nil {
			errs = append(errs, a.server.Close())
		}
		if a.gossip != nil {
			errs = append(errs, a.gossip.Shutdown())
		}
		if a.overlay != nil {
			errs = append(errs, a.overlay.Close())
		}
		if a.transport != nil {
			errs = append(errs, a.transport.Close())
		}
		if a.pool != nil {
			errs = append(errs, a.pool.Close())
		}
		a.wg.Wait()
		a.listeners.close()
		a.dir.unlock()
		a.err = errors.Join(errs...)
		if a.err == nil {
			a.log.Info("the agent has stopped")
		}
		close(a.doneCh)
	})
	<-a.doneCh
}
