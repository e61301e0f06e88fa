package api

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// VerifyOutcome is what a comparison of the servers found.
type VerifyOutcome string

// The outcomes of a comparison.
const (
	VerifyNone       VerifyOutcome = "none"       // they were never compared
	VerifyRunning    VerifyOutcome = "running"    // answers are missing yet
	VerifyEqual      VerifyOutcome = "equal"      // all servers hold the same
	VerifyDifferent  VerifyOutcome = "different"  // some differ from the majority, or are damaged; they take another's state by themselves
	VerifyUndecided  VerifyOutcome = "undecided"  // they differ, and no majority says which are right: see Operator.Reinstall
	VerifyIncomplete VerifyOutcome = "incomplete" // those that could be compared hold the same, others could not
)

// VerifyReport is what came of a comparison of what the servers hold.
type VerifyReport struct {
	Index       uint64 // the entry of the log after which their states were compared
	Outcome     VerifyOutcome
	Time        time.Time // of the entry
	Servers     []*VerifyServer
	Differences []*VerifyDifference `json:",omitempty"`
}

// VerifyServer is one server in a VerifyReport.
type VerifyServer struct {
	ID            string
	Node          string
	Address       string
	Leader        bool
	Voter         bool
	Verdict       string // waiting, right, different, damaged, undecided or not compared
	Hash          string // SHA-256 of all it holds, in hexadecimal; "" while there is none
	Databases     int
	DatabasesDone int // how many of them are read
	Took          Duration
	Build         string
	Error         string `json:",omitempty"` // why it was not compared
	Quarantine    string `json:",omitempty"` // why it answers no reads; "" = it answers
}

// VerifyDifference is a part of the state that is not the same on all servers.
type VerifyDifference struct {
	Part   string            // such as "table kv" or "database orders of namespace default"
	Right  string            // the hash of the majority; "" = there is none, "absent" = such a part should not be
	Hashes map[string]string // by the server's id; "absent" = it has no such part, "damaged" = it cannot be read
}

const verifyPath = "/v1/operator/verify"

// Verify has all servers compare what they hold, as it is right after the entry of the log whose index it returns. It does not wait for
// what they find: VerifyReport tells. A server that a majority finds wrong takes another's state by itself and answers no
// reads until then.
func (op *Operator) Verify(ctx context.Context, o *WriteOptions) (uint64, error) {
	return op.verify(ctx, "", o)
}

// Reinstall has the server of that id take the leader's state in the place of its own, whatever a comparison says.
func (op *Operator) Reinstall(ctx context.Context, id string, o *WriteOptions) error {
	if id == "" {
		return errorf(KindInvalid, "reinstall: no server is named")
	}
	_, err := op.verify(ctx, id, o)
	return err
}

func (op *Operator) verify(ctx context.Context, reinstall string, o *WriteOptions) (uint64, error) {
	r := op.c.newRequest(http.MethodPut, verifyPath)
	set(r.params, "reinstall", reinstall)
	var out struct{ Index uint64 }
	_, err := op.c.put(ctx, r, o, &out)
	return out.Index, err
}

// VerifyReport is what came of the comparison at that index, 0 = the newest. While its Outcome is VerifyRunning it shows how far the servers are.
func (op *Operator) VerifyReport(ctx context.Context, at uint64, o *QueryOptions) (*VerifyReport, error) {
	out := &VerifyReport{}
	params := []string{}
	if at != 0 {
		params = []string{"at", strconv.FormatUint(at, 10)}
	}
	found, _, err := op.c.get(ctx, verifyPath, o, out, params...)
	if err == nil && !found {
		err = errorf(KindNotFound, "the leader knows of no comparison at index %d", at)
	}
	return out, err
}
