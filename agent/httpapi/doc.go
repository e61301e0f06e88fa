// Package httpapi is the HTTP API of an agent: it turns requests into calls of a Backend and replies
// into JSON.
//
// Contract: routes are a table written out in routes.go, a file per group of handlers; a handler
// reads its request completely and within a bound before it calls the Backend. It never reaches for
// state or Raft. The same handler serves a TCP listener and any other net.Listener.
package httpapi
