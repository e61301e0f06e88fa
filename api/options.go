package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Consistency is how fresh a read must be.
type Consistency string

const (
	// Linearizable, the default, sees every write acknowledged before the read began, on any server.
	Linearizable Consistency = ""
	// Stale is any server's own state, at once; QueryMeta.LastContact says how old it may be.
	Stale Consistency = "stale"
	// Leader is the leader's state without a check that it still leads.
	Leader Consistency = "leader"
)

// ParseConsistency is the Consistency of a word, as people write it: linearizable, leader and stale, or rqlite's none
// (stale), weak and auto (leader), strong (linearizable).
func ParseConsistency(word string) (Consistency, error) {
	switch word {
	case "linearizable", "strong":
		return Linearizable, nil
	case "leader", "weak", "auto":
		return Leader, nil
	case "stale", "none":
		return Stale, nil
	}
	return Linearizable, &Error{Kind: KindInvalid, Message: fmt.Sprintf("there is no consistency %q", word), Hint: "it is linearizable, leader or stale; also strong, weak, auto and none, as rqlite calls them"}
}

// QueryOptions refine a read. nil means none.
type QueryOptions struct {
	Token       string // instead of the client's
	Namespace   string // instead of the client's
	Datacenter  string // instead of the client's
	Consistency Consistency
	// Index > 0 makes the read wait until what it reads has changed after that index, at most for
	// Wait (0 = the server's 5 min; 10 min at most), then answer as it is.
	Index uint64
	Wait  time.Duration
	// MinIndex > 0 makes the read first wait until the answering server has applied that index, e.g.
	// that of the caller's last write; at most for Wait, or 10 s.
	MinIndex uint64
	// Freshness > 0 refuses an SQL query with Stale, ErrUnavailable, where the answering server last heard
	// from the leader longer ago than that. Other reads ignore it.
	Freshness time.Duration
	// FreshnessStrict, with Freshness, also refuses it where that server knows of entries that it has not applied, and the
	// last one that it has was made longer ago than that.
	FreshnessStrict bool
	// PerPage > 0 asks for pages of that many; NextToken is the QueryMeta.NextToken of the page before.
	PerPage   int
	NextToken string
}

// QueryMeta comes with the answer to a read.
type QueryMeta struct {
	Index       uint64        // of the newest change to what was read; never 0
	KnownLeader bool          // the answering server knows a leader
	LastContact time.Duration // since the answering server last heard from the leader
	NextToken   string        // not "" when there are more pages
	RequestTime time.Duration // how long the call took, repetitions included
}

// WriteOptions refine a write. nil means none.
type WriteOptions struct {
	Token      string // instead of the client's
	Namespace  string // instead of the client's
	Datacenter string // instead of the client's
	// TTL > 0 makes a key that is put, acquired or released vanish so long after the write. A write
	// without one clears an earlier one. Other writes ignore it.
	TTL time.Duration
	// RequestID makes the repetition of a transaction harmless: within a day the same id in the same namespace gives the stored reply and
	// does nothing. Client.Txn makes one up where it is "". Other writes ignore it; SQL has its own.
	RequestID string
}

// WriteMeta comes with the answer to a write.
type WriteMeta struct {
	// Index at which the write was applied; give it to QueryOptions.MinIndex to read it anywhere.
	Index       uint64
	RequestTime time.Duration // how long the call took, repetitions included
}

// waitMax is the longest a server blocks a read.
const waitMax = 10 * time.Minute

func (r *request) query(o *QueryOptions) {
	if o == nil {
		return
	}
	r.common(o.Token, o.Namespace, o.Datacenter)
	if o.Consistency != Linearizable {
		r.params.Set(string(o.Consistency), "")
	}
	if o.Index > 0 {
		r.params.Set("index", strconv.FormatUint(o.Index, 10))
		wait := o.Wait
		if wait <= 0 {
			wait = 5 * time.Minute
		}
		wait = min(wait, waitMax)
		r.block = wait + wait/16 // the server adds up to a sixteenth
	}
	if o.Wait > 0 {
		r.params.Set("wait", strconv.FormatInt(o.Wait.Milliseconds(), 10)+"ms")
	}
	if o.MinIndex > 0 {
		r.params.Set("min_index", strconv.FormatUint(o.MinIndex, 10))
		r.block += max(o.Wait, 10*time.Second)
	}
	if o.Freshness > 0 {
		r.params.Set("freshness", o.Freshness.String())
		if o.FreshnessStrict {
			r.params.Set("freshness_strict", "")
		}
	}
	if o.PerPage > 0 {
		r.params.Set("per_page", strconv.Itoa(o.PerPage))
	}
	if o.NextToken != "" {
		r.params.Set("next_token", o.NextToken)
	}
}

func (r *request) write(o *WriteOptions) {
	r.isWrite = true
	if o != nil {
		r.common(o.Token, o.Namespace, o.Datacenter)
	}
}

func (r *request) common(token, ns, dc string) {
	if token != "" {
		r.token = token
	}
	set(r.params, "ns", ns)
	set(r.params, "dc", dc)
}

// ttl adds the TTL of a key.
func (r *request) ttl(o *WriteOptions) {
	if o != nil && o.TTL > 0 {
		r.params.Set("ttl", o.TTL.String())
	}
}

func set(v url.Values, name, value string) {
	if value != "" {
		v.Set(name, value)
	}
}

func queryMeta(h http.Header, took time.Duration) *QueryMeta {
	ms, _ := strconv.ParseInt(h.Get("X-Consul-LastContact"), 10, 64)
	return &QueryMeta{
		Index:       replyIndex(h),
		KnownLeader: h.Get("X-Consul-KnownLeader") == "true",
		LastContact: time.Duration(ms) * time.Millisecond,
		NextToken:   h.Get("X-Debros-NextToken"),
		RequestTime: took,
	}
}

func replyIndex(h http.Header) uint64 {
	v := h.Get("X-Debros-Index")
	if v == "" {
		v = h.Get("X-Consul-Index")
	}
	n, _ := strconv.ParseUint(v, 10, 64)
	return n
}
