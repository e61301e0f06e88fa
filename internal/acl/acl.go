// Package acl answers one question for every endpoint: may the bearer of this token do that?
//
// Contract: an endpoint obtains an Authorizer from a token and asks it before it reads or writes;
// it never looks at tokens itself. Answers are cheap (no I/O) and hold for the state at which the
// Authorizer was made. Until access control exists the only Authorizer is AllowAll, but the questions
// already name all that a decision can depend on, so that it will change this package and no endpoint.
package acl

import "github.com/debros/debros/structs"

// Authorizer decides for one token. All methods are safe for concurrent use. Namespaces are real
// ones (never ""), nodes are node names. false is answered with structs.KindDenied.
type Authorizer interface {
	// KVRead: may this one key's existence, value and lock be seen?
	KVRead(ns structs.Namespace, key string) bool
	// KVList: may keys under the prefix be enumerated? A list is also filtered by KVRead per key.
	KVList(ns structs.Namespace, prefix string) bool
	// KVWrite: may this one key be set, deleted, locked or unlocked?
	KVWrite(ns structs.Namespace, key string) bool
	// KVWritePrefix: may every key under the prefix, whatever its name, be deleted?
	KVWritePrefix(ns structs.Namespace, prefix string) bool

	// SQLRead and SQLWrite concern a database; writing includes creating and dropping it.
	SQLRead(ns structs.Namespace, database string) bool
	SQLWrite(ns structs.Namespace, database string) bool

	// TopicRead and TopicWrite concern the messages of a topic, or of a stream and the topics below it; StreamWrite, the stream
	// itself: creating, changing, emptying and deleting it.
	TopicRead(ns structs.Namespace, topic string) bool
	TopicWrite(ns structs.Namespace, topic string) bool
	StreamWrite(ns structs.Namespace, stream string) bool

	// SessionRead and SessionWrite concern the sessions bound to a node.
	SessionRead(ns structs.Namespace, node string) bool
	SessionWrite(ns structs.Namespace, node string) bool

	// NamespaceRead and NamespaceWrite concern the row of a namespace; writing includes deleting it with all in it.
	NamespaceRead(ns structs.Namespace) bool
	NamespaceWrite(ns structs.Namespace) bool

	// NodeRead: may this node's catalog row, membership and coordinate be seen?
	NodeRead(node string) bool

	// AgentRead and AgentWrite concern the agent itself: its configuration, logs and metrics; join,
	// leave, reload and maintenance.
	AgentRead(node string) bool
	AgentWrite(node string) bool

	// EventRead and EventWrite concern user events of a name.
	EventRead(ns structs.Namespace, name string) bool
	EventWrite(ns structs.Namespace, name string) bool

	// OperatorRead and OperatorWrite concern Raft, autopilot and other matters of the whole cluster.
	OperatorRead() bool
	OperatorWrite() bool

	// KeyringRead and KeyringWrite concern the gossip encryption keys.
	KeyringRead() bool
	KeyringWrite() bool

	// SnapshotRead: may the whole state, secrets included, leave the cluster? SnapshotWrite: may it be replaced?
	SnapshotRead() bool
	SnapshotWrite() bool
}

// AllowAll is the Authorizer of a cluster without access control: it answers every question with yes.
func AllowAll() Authorizer { return allowAll{} }

type allowAll struct{}

func (allowAll) KVRead(structs.Namespace, string) bool        { return true }
func (allowAll) KVList(structs.Namespace, string) bool        { return true }
func (allowAll) KVWrite(structs.Namespace, string) bool       { return true }
func (allowAll) KVWritePrefix(structs.Namespace, string) bool { return true }
func (allowAll) SQLRead(structs.Namespace, string) bool       { return true }
func (allowAll) SQLWrite(structs.Namespace, string) bool      { return true }
func (allowAll) TopicRead(structs.Namespace, string) bool     { return true }
func (allowAll) TopicWrite(structs.Namespace, string) bool    { return true }
func (allowAll) StreamWrite(structs.Namespace, string) bool   { return true }
func (allowAll) SessionRead(structs.Namespace, string) bool   { return true }
func (allowAll) SessionWrite(structs.Namespace, string) bool  { return true }
func (allowAll) NamespaceRead(structs.Namespace) bool         { return true }
func (allowAll) NamespaceWrite(structs.Namespace) bool        { return true }
func (allowAll) NodeRead(string) bool                         { return true }
func (allowAll) AgentRead(string) bool                        { return true }
func (allowAll) AgentWrite(string) bool                       { return true }
func (allowAll) EventRead(structs.Namespace, string) bool     { return true }
func (allowAll) EventWrite(structs.Namespace, string) bool    { return true }
func (allowAll) OperatorRead() bool                           { return true }
func (allowAll) OperatorWrite() bool                          { return true }
func (allowAll) KeyringRead() bool                            { return true }
func (allowAll) KeyringWrite() bool                           { return true }
func (allowAll) SnapshotRead() bool                           { return true }
func (allowAll) SnapshotWrite() bool                          { return true }
