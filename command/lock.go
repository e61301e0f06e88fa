package command

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"syscall"
	"time"

	"github.com/debros/debros/api"
)

func lockCommand() *cmd {
	var n int
	var shell, try, verbose bool
	var name string
	var ttl, delay, timeout, killAfter time.Duration
	return &cmd{
		name: "lock", args: "PREFIX CHILD [ARGUMENT…]", synopsis: "Run a program while holding a lock", min: 2, max: -1, child: true, noFormat: true, ownSignals: true,
		help: `Waits for the lock PREFIX/.lock (the same as "consul lock" takes), runs CHILD, and gives the lock up when it
ends. The exit status is the child's.

When the lock is lost (at the latest when its session's TTL has passed since the last renewal, by the
clock of this machine, however the network behaves) the child gets SIGTERM, after -kill-after
SIGKILL, and the exit status is 1. A signal to debros is passed on; SIGINT, SIGTERM and SIGQUIT leave
the child -kill-after too, and a second one kills it. On Linux the child is killed when debros is. On a
terminal, the child has the keyboard, and Ctrl-Z does not stop it. The child finds a number in DEBROS_LOCK_FENCING_TOKEN that is larger than that of
every earlier holder: what it writes to can refuse a late former holder by it.

  debros lock jobs/nightly ./backup.sh
  debros lock -n=3 jobs/crawl -- ./crawl -fast       at most three at a time`,
		flags: func(fs *flag.FlagSet) {
			fs.IntVar(&n, "n", 1, "`number` of holders at a time")
			fs.BoolVar(&shell, "shell", false, "give CHILD to sh -c")
			fs.BoolVar(&try, "try", false, "do not wait: fail if the lock is taken")
			fs.DurationVar(&timeout, "timeout", 0, "wait for the lock at most this `duration`; 0 = for ever")
			fs.StringVar(&name, "name", "debros lock", "`name` of the session, for people")
			fs.DurationVar(&ttl, "ttl", api.DefaultLockTTL, "`duration` without renewal after which the lock is lost; at least 10s")
			fs.DurationVar(&delay, "lock-delay", 15*time.Second, "`duration` for which nobody gets the lock after its holder vanished")
			fs.DurationVar(&killAfter, "kill-after", 5*time.Second, "`duration` from the signal to SIGKILL; keep it below -lock-delay")
			fs.BoolVar(&verbose, "verbose", false, "tell on standard error what is going on")
		},
		run: func(ctx context.Context, c *call) error {
			if n < 1 {
				return usagef("-n=%d: want 1 or more", n)
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			if delay == 0 {
				delay = api.NoLockDelay
			}
			prefix, argv := c.args[0], c.args[1:]
			if argv[0] == "--" {
				argv = argv[1:]
			}
			if shell {
				argv = append([]string{"sh", "-c"}, argv...)
			}
			if len(argv) == 0 {
				return usagef("lock: a CHILD is needed")
			}
			o := &api.LockOptions{SessionName: name, TTL: ttl, LockDelay: delay}
			r := lockRun{c: c, argv: argv, killAfter: killAfter, verbose: verbose}
			if n > 1 {
				r.lock = client.Semaphore(prefix, n, o)
			} else {
				r.lock = client.Lock(path.Join(prefix, ".lock"), o)
			}
			return r.run(ctx, try, timeout)
		},
	}
}

// locker is a lock or a semaphore.
type locker interface {
	Lock(context.Context) (lost <-chan struct{}, fencing uint64, err error)
	TryLock(context.Context) (lost <-chan struct{}, fencing uint64, err error)
	Unlock(context.Context) error
}

type lockRun struct {
	c         *call
	lock      locker
	argv      []string
	killAfter time.Duration
	verbose   bool
}

// These bound the farewell; the session's TTL frees the lock later anyway.
const (
	unlockTimeout     = 10 * time.Second
	unlockLostTimeout = 2 * time.Second // nothing is left to give up but the session
)

func (r *lockRun) run(ctx context.Context, try bool, timeout time.Duration) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	lost, fencing, err := r.acquire(ctx, signals, try, timeout)
	if err != nil {
		return err
	}
	r.say("holding the lock, fencing token %d", fencing)
	err = r.child(lost, fencing, signals)
	timeout = unlockTimeout
	select {
	case <-lost:
		timeout = unlockLostTimeout
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if uerr := r.lock.Unlock(ctx); uerr != nil {
		r.say("give up the lock: %v", uerr) // its session's TTL does
	}
	return err
}

func (r *lockRun) say(format string, args ...any) {
	if r.verbose {
		fmt.Fprintf(r.c.Stderr, "debros: "+format+"\n", args...)
	}
}

// acquire waits for the lock, a signal, or the timeout.
func (r *lockRun) acquire(ctx context.Context, signals <-chan os.Signal, try bool, timeout time.Duration) (<-chan struct{}, uint64, error) {
	if try {
		return r.lock.TryLock(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the lock was not free within %s", timeout))
		defer stop()
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case s := <-signals:
			cancel(fmt.Errorf("%s while waiting for the lock", s))
		case <-done:
		}
	}()
	lost, fencing, err := r.lock.Lock(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return lost, fencing, err
}
