package httpapi

import (
	"fmt"
	"strings"
)

const referenceHead = `<!-- Made from the route table in agent/httpapi by "go test ./agent/httpapi -run Reference -update". Do not edit. -->

# HTTP API

The agent listens on port 5001, on the loopback address by default. Routes speak Consul's API, so that its
clients work unchanged; what they leave open is said here.

## On every route

- **Token**: the header X-Debros-Token, X-Consul-Token or Authorization: Bearer; on rqlite's routes also the password of
  HTTP basic authentication. A token in the URL is refused with 400.
- **Namespace**: ?ns=, or the header X-Debros-Namespace or X-Consul-Namespace; else the token's own, else default.
- **Consistency** of reads: linearizable by default and with ?consistent; ?stale answers from any server's own state;
  ?leader from the leader without asking the others. Two of them: 400.
- **Read your writes**: ?min_index=N waits, at most ?wait= (10 s by default), until the index N is applied.
- **Index**: X-Consul-Index and X-Debros-Index on reads and writes of the replicated state, never 0; reads also carry
  X-Consul-KnownLeader and X-Consul-LastContact (milliseconds).
- **Blocking**: ?index=N&wait=5m waits until the answer is newer than N; a wait above 10 minutes is cut to 10 minutes, one above a day is 400.
- **Paging**: ?per_page= (1 to 10000), then ?next_token= with the header X-Debros-NextToken of the page before. Without
  it a list is sent whole: up to 8 MiB as one view of the store; of a larger one, the trailer X-Debros-Index-End is
  above X-Consul-Index if it changed while it was sent.
- ?pretty indents JSON; ?dc= asks another datacenter. A flag such as ?recurse counts as absent when it is "false" or "0".
- **Bodies** over their limit are 413, and the limit is in the message. Numbers are exact; bytes in JSON are base64.
- **Errors** are text/plain on routes that Consul has; on all others
  {"error":{"kind","message","hint","request_id"}}. 400 malformed, 403 denied, 404 not there, 405 wrong method (Allow says
  which), 409 a condition did not hold, 413 too large, 429 too much at once (Retry-After), 500 a fault or an unknown
  result, 503 no leader or not ready. X-Request-Id names the request in the agent's log.
- **Paths** are percent-decoded once (%2F is a slash) and must be printable UTF-8. Empty, "." and ".." segments are
  answered with 307 to the cleaned path; a path whose ".." leaves its group of routes, and a write whose key would
  become empty, are 400. Keys are at most 8192 bytes, else 414.
- **Browsers**: Host must be an IP address, localhost, the node's name or a configured name; pages of other origins are
  refused, no CORS headers are sent, a POST with a form's content type is refused.
`

// Reference is the page of the documentation that describes every route.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n## %s\n", g.title)
		for _, r := range g.routes {
			fmt.Fprintf(&b, "\n### %s %s\n\n%s\n", r.method, r.pattern, r.doc)
			for _, line := range []struct{ name, text string }{{"Parameters", r.params}, {"Body", r.body}, {"Reply", r.reply}} {
				if line.text != "" {
					fmt.Fprintf(&b, "\n- %s: %s", line.name, line.text)
				}
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}
