package gossip

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/debros/debros/internal/logging"
)

// rejectLogInterval is the shortest time between two log lines about refused messages: a node with
// another key sends several a second.
const rejectLogInterval = 10 * time.Second

// logTap is serf's and memberlist's logger. memberlist drops what it cannot decrypt and tells only
// its log, so the count of refused messages is taken here; a test with real nodes holds the
// wording to what memberlist writes.
type logTap struct {
	next     io.Writer
	rejected func()

	mu   sync.Mutex // protects the following
	last time.Time
}

func newLogger(l *slog.Logger, rejected func()) *log.Logger {
	next := logging.StdLog(l, "serf", slog.LevelInfo).Writer()
	return log.New(&logTap{next: next, rejected: rejected}, "", 0)
}

// rejections are the lines about a message that was refused for its encryption: UDP, then TCP with
// another key, without one, and with one where we have none.
var (
	packetRejection  = []byte("[ERR] memberlist: Decrypt packet failed")
	streamRejection  = []byte("[ERR] memberlist: failed to receive: ")
	streamRejections = [][]byte{
		[]byte("no installed keys could decrypt the message"),
		[]byte("encryption is configured but remote state is not encrypted"),
		[]byte("remote state is encrypted and encryption is not configured"),
	}
)

func isRejection(line []byte) bool {
	if bytes.HasPrefix(line, packetRejection) {
		return true
	}
	if !bytes.HasPrefix(line, streamRejection) {
		return false
	}
	for _, r := range streamRejections {
		if bytes.Contains(line, r) {
			return true
		}
	}
	return false
}

// Write implements io.Writer for log.Logger, a line a call.
func (t *logTap) Write(p []byte) (int, error) {
	if isRejection(p) {
		t.rejected()
		if !t.mayLog(time.Now()) {
			return len(p), nil
		}
	}
	return t.next.Write(p)
}

func (t *logTap) mayLog(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.last) < rejectLogInterval {
		return false
	}
	t.last = now
	return true
}
