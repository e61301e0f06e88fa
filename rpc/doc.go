// Package rpc says what may be asked of a server: one file per endpoint (KV, Txn, Session,
// Namespace, Catalog, Status, Operator, Snapshot), each written against Backend, which the server
// implements. The package knows no sockets, no Raft and no gossip.
//
// Contract: every endpoint resolves the namespace, passes on what is meant for another datacenter
// or for the leader, asks the authorizer, checks the input, and only then reads or proposes. A
// write that was proposed is proposed once; nothing here retries. Errors that a user is to
// understand are *structs.Error.
package rpc
