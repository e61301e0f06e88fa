package transport

import (
	"time"

	"github.com/hashicorp/go-metrics"
)

// counters writes rpc.*, to which the sink puts its service name (debros) in front. The list:
//
//	debros.rpc.request{method}             requests that reached a method here
//	debros.rpc.request_error{method,kind}  those answered with an error
//	debros.rpc.panic{method}               those whose method panicked
//	debros.rpc.duration{method}            ms from decoding to the answer
//	debros.rpc.conn_accepted{protocol}     connections that passed the handshake: raft, grpc
//	debros.rpc.conn_refused{reason}        limit_total, limit_ip, handshake, first_byte, raft_role, raft_unready, closed
//	debros.rpc.raft_frame_refused          Raft messages with absurd sizes
//	debros.rpc.dial, debros.rpc.dial_error connections opened by the pool or for Raft, and attempts that failed
//	debros.rpc.call_unknown_result         calls whose result was lost with the connection
type counters struct{ m *metrics.Metrics }

func label(name, value string) metrics.Label { return metrics.Label{Name: name, Value: value} }

// sink is looked up at each use, since the agent sets the global one up after packages are initialised.
func (c counters) sink() *metrics.Metrics {
	if c.m != nil {
		return c.m
	}
	return metrics.Default()
}

func (c counters) inc(name string, labels ...metrics.Label) {
	c.sink().IncrCounterWithLabels([]string{"rpc", name}, 1, labels)
}

func (c counters) since(name string, start time.Time, labels ...metrics.Label) {
	c.sink().MeasureSinceWithLabels([]string{"rpc", name}, start, labels)
}
