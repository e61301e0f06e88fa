package config

import (
	"fmt"
	"math"
	"reflect"
	"time"
)

// between is a bound on a number or duration, both ends included.
type between struct {
	key      string
	min, max float64
}

func (v *validator) ranges() {
	const (
		none = math.MaxInt64
		mib  = 1 << 20
		ms   = float64(time.Millisecond)
		s    = float64(time.Second)
	)
	for _, b := range []between{
		{"retry_interval", 100 * ms, none}, {"retry_max", 0, none}, {"reconnect_timeout", s, none},
		{"raft_snapshot_threshold", 1, none}, {"raft_snapshot_interval", 100 * ms, none}, {"raft_trailing_logs", 1, none},
		// A value travels in one log entry, which every server holds in memory a few times over.
		{"limits.kv_value_bytes_max", 1, 16 * mib}, {"limits.txn_ops_max", 1, 65536}, {"limits.txn_bytes_max", 1, 32 * mib},
		{"limits.snapshot_bytes_max", 1, none},
		{"limits.http_max_conns_per_client", 1, none}, {"limits.http_blocked_watches_per_client", 1, none},
		{"limits.rpc_rate", 0, none}, {"limits.rpc_burst", 1, none}, {"limits.rpc_max_conns_per_client", 1, none},
		{"limits.rpc_handshake_timeout", 100 * ms, none},
		{"performance.raft_multiplier", 1, 10}, {"performance.leave_drain_time", 0, none}, {"performance.rpc_hold_timeout", 0, none},
		{"raft_logstore.wal.segment_size_mb", 1, 1024},
		{"autopilot.last_contact_threshold", ms, none}, {"autopilot.server_stabilization_time", 0, none}, {"autopilot.min_quorum", 0, math.MaxUint8},
		{"gossip_lan.gossip_nodes", 1, 100}, {"gossip_lan.gossip_interval", ms, none}, {"gossip_lan.probe_interval", ms, none},
		{"gossip_lan.probe_timeout", ms, none}, {"gossip_lan.suspicion_mult", 1, 100}, {"gossip_lan.retransmit_mult", 1, 100},
		{"log_rotate_bytes", 0, none}, {"log_rotate_duration", 0, none}, {"log_rotate_max_files", 0, none}, {"log_rotate_max_age", 0, none},
	} {
		v.inRange(b)
	}
}

func (v *validator) inRange(b between) {
	f := keys().byKey[b.key]
	x := f.value(v.c)
	var n float64
	switch x.Kind() {
	case reflect.Float64:
		n = x.Float()
	case reflect.Uint, reflect.Uint64:
		n = float64(x.Uint())
	default:
		n = float64(x.Int())
	}
	text := func(n float64) string {
		if f.kind == kindDuration {
			return time.Duration(n).String()
		}
		return fmt.Sprintf("%.0f", n)
	}
	switch {
	case n < b.min:
		v.refuse(b.key, "", "%v is below %s", x.Interface(), text(b.min))
	case n > b.max:
		v.refuse(b.key, "", "%v is above %s", x.Interface(), text(b.max))
	}
}
