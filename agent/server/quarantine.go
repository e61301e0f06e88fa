package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-metrics"

	"github.com/debros/debros/internal/atomicfile"
	"github.com/debros/debros/structs"
)

// quarantineFile, in the data directory, says that what the server holds is wrong. It is there before anything is done about
// it and goes when all is done, so that no crash in between lets a wrong state answer.
const quarantineFile = "quarantine.json"

// quarantine is whether this server's state is known to be wrong. The Raft log below is not: the server votes, replicates
// and acknowledges as ever; only what it made of the log is not shown, and it does not lead.
type quarantine struct {
	file string // "" without a data directory

	// why is nil while the state is sound, as far as anybody knows. Every read asks, so it is read without the lock.
	why atomic.Pointer[structs.Quarantine]

	// mu protects the following, and changes of why. It is held while the file is written: the two say the same.
	mu       sync.Mutex
	began    chan struct{} // closed while why is set
	replaced bool          // the state has been replaced since
	until    uint64        // with replaced: where the state stood before, which it must reach again
	faulted  bool          // the server stops for a fault of its disk
}

// open reads what an earlier process left.
func (q *quarantine) open(dir string) error {
	q.began = make(chan struct{})
	if dir == "" {
		return nil
	}
	q.file = filepath.Join(dir, quarantineFile)
	data, err := os.ReadFile(q.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	why := &structs.Quarantine{}
	if err == nil {
		err = json.Unmarshal(data, why)
	}
	if err != nil {
		return fmt.Errorf("read %s, which says that the state of this server is wrong: %w", q.file, err)
	}
	q.why.Store(why)
	close(q.began)
	return nil
}

// begin puts the server into quarantine, or, when it is in there, tells it whose state it may take.
func (q *quarantine) begin(why structs.Quarantine) (begun bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.file != "" {
		data, err := json.MarshalIndent(&why, "", "  ")
		if err == nil {
			err = atomicfile.Write(q.file, append(data, '\n'), 0o600)
		}
		if err != nil {
			return false, fmt.Errorf("note that the state is wrong: %w", err)
		}
	}
	begun = q.why.Swap(&why) == nil
	if begun {
		q.replaced, q.until = false, 0
		close(q.began)
	}
	return begun, nil
}

// state is why the server is in quarantine, nil when it is not, and a channel that is closed while it is.
func (q *quarantine) state() (*structs.Quarantine, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.why.Load(), q.began
}

// reason is why the server is in quarantine; "" when it is not.
func (q *quarantine) reason() string {
	if why := q.why.Load(); why != nil {
		return why.Reason
	}
	return ""
}

// noteReplaced says that another's state came in the place of one that stood at index.
func (q *quarantine) noteReplaced(index uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.replaced, q.until = true, max(index, q.until)
}

// mustReach is the index that a state which has been replaced must reach before it is shown.
func (q *quarantine) mustReach() (index uint64, replaced bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.until, q.replaced
}

// fault notes that the server stops: from now on nothing makes its databases trusted again.
func (q *quarantine) fault() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.faulted = true
}

// end lets the server answer again. trust is called before, unless the server has failed meanwhile.
func (q *quarantine) end(trust func() error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.why.Load() == nil {
		return nil
	}
	if q.faulted {
		return errStopping()
	}
	if err := trust(); err != nil {
		return err
	}
	if q.file != "" {
		if err := os.Remove(q.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("note that the state is right again: %w", err)
		}
		if err := atomicfile.SyncDir(filepath.Dir(q.file)); err != nil {
			return fmt.Errorf("note that the state is right again: %w", err)
		}
	}
	q.why.Store(nil)
	q.replaced, q.until = false, 0
	q.began = make(chan struct{})
	return nil
}

// gauge shows the quarantine to who watches this server.
func (s *Server) quarantineGauge() {
	v := float32(0)
	if s.quarantine.reason() != "" {
		v = 1
	}
	metrics.SetGauge([]string{"replica", "quarantined"}, v)
}

// Sound implements rpc.Backend.
func (s *Server) Sound() error {
	why := s.quarantine.why.Load()
	if why == nil {
		return nil
	}
	return structs.Errorf(structs.KindUnavailable, "this server does not answer: its state was found to differ from that of the others (%s), and it is taking a right one from them", why.Reason).
		WithHint("ask another server; `debros operator verify` shows all of them")
}
